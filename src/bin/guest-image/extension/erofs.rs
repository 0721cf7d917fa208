//! The EROFS file system of an image, by mkfs.erofs. No crate writes EROFS as completely.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::word::guid;

/// The folders of programs beside those of PATH: not every user has /usr/sbin in PATH.
const MORE_PATH: &str = "/usr/sbin:/sbin";

/// The compression of the files.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Compression {
    /// No compression, which every EROFS driver reads
    None,
    /// LZ4, compressed as far as it goes, as Kata's extensions often are; the kernel needs CONFIG_EROFS_FS_ZIP
    Lz4hc,
}

/// Makes a file system with the files of a folder. Its times are `epoch`, and its UUID depends on the disk's serial
/// number alone.
pub fn make(tree: &Path, target: &Path, compression: Compression, epoch: u32, serial: &str) -> Result<()> {
    let mut command = Command::new("mkfs.erofs");
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env("PATH", [path, MORE_PATH.into()].join(&OsString::from(":")));
    // -x-1: no extended attributes, which differ from host to host, such as the labels of SELinux.
    command.args(["-x-1", "--all-root", &format!("-T{epoch}"), &format!("-U{}", guid(serial.as_bytes()))]);
    if let Compression::Lz4hc = compression {
        command.arg("-zlz4hc");
    }
    let output = match command.arg(target).arg(tree).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("mkfs.erofs is not installed; install the package erofs-utils")
        }
        output => output.context("mkfs.erofs")?,
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("mkfs.erofs {}: {}: {}", tree.display(), output.status, text.trim_end());
    }
    Ok(())
}
