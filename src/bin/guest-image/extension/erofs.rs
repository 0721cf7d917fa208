//! The EROFS file system of an image, by mkfs.erofs. No crate writes EROFS as completely.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use super::word::guid;
use crate::shared::tool::Tool;

const MKFS: Tool = Tool { program: "mkfs.erofs", package: "erofs-utils" };

/// The compression of the files.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Compression {
    /// No compression, which every EROFS driver reads
    None,
    /// LZ4, compressed as far as it goes, as Kata's extensions often are; the kernel needs CONFIG_EROFS_FS_ZIP
    Lz4hc,
}

/// Makes a file system with the files of a folder. Its times are `epoch`, and its UUID depends on the disk's name
/// alone.
pub fn make(tree: &Path, target: &Path, compression: Compression, epoch: u32, disk: &str) -> Result<()> {
    let uuid = guid(disk.as_bytes());
    MKFS.run(|mkfs| {
        // -x-1: no extended attributes, which differ from host to host, such as the labels of SELinux.
        mkfs.args(["-x-1", "--all-root", &format!("-T{epoch}"), &format!("-U{uuid}")]);
        if let Compression::Lz4hc = compression {
            mkfs.arg("-zlz4hc");
        }
        mkfs.arg(target).arg(tree);
    })?;
    Ok(())
}
