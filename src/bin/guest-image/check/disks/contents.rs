//! The files of a file system, unpacked into a folder of this host by the file system's own tool.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use guest_init::guest::places::disk::file_system::FileSystem;
use tempfile::TempDir;

use super::parts::Extent;
use crate::shared::tool::Tool;

/// The bytes in which a file system has its signature. That of btrfs comes last, at 64 KiB.
const HEAD: u64 = 128 << 10;
/// The names of the copy of the file system and of the folder for the files, in the folder in which a tool runs.
const COPY: &str = "copy";
const FILES: &str = "files";

/// How the files of a file system are unpacked.
struct Unpacker {
    fs_type: &'static [u8],
    tool: Tool,
    arguments: &'static [&'static str],
}

/// The file systems that a tool unpacks without root's rights.
const UNPACKERS: [Unpacker; 2] = [
    Unpacker {
        fs_type: b"erofs",
        tool: Tool { program: "fsck.erofs", package: "erofs-utils" },
        arguments: &["--extract=files", "--overwrite", "--no-preserve", COPY],
    },
    Unpacker {
        fs_type: b"ext4",
        tool: Tool { program: "debugfs", package: "e2fsprogs" },
        arguments: &["-R", "rdump / files", COPY],
    },
];

/// A temporary folder with the files of a disk.
#[derive(Debug)]
pub struct Unpacked(TempDir);

impl Unpacked {
    /// The folder that stands for the root of the disk.
    pub fn path(&self) -> PathBuf {
        self.0.path().join(FILES)
    }
}

/// The file system in a part of a disk, as the guest recognises it.
pub fn file_system(part: &Extent) -> Result<Option<&'static FileSystem>> {
    let mut head = tempfile::tempfile()?;
    io::copy(&mut part.reader()?.take(HEAD), &mut head)?;
    Ok(FileSystem::on(&head).map_err(io::Error::from)?)
}

/// Unpacks all files into a temporary folder. Their owners and set-id bits are not kept.
///
/// Error: there is no tool for the file system, or the tool is not installed or fails.
pub fn unpack(part: &Extent, file_system: &FileSystem) -> Result<Unpacked> {
    let fs_type = String::from_utf8_lossy(file_system.fs_type);
    let Some(unpacker) = UNPACKERS.iter().find(|known| known.fs_type == file_system.fs_type) else {
        bail!("its files are not read: check reads EROFS and ext4, and this is {fs_type}");
    };
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join(FILES))?;
    io::copy(&mut part.reader()?, &mut File::create(folder.path().join(COPY))?)?;
    let output = unpacker.tool.run(|tool| {
        tool.args(unpacker.arguments).current_dir(folder.path());
    });
    let output = output.context("its files are not read")?;
    // debugfs succeeds even if it can't read a file. Only root can keep a file's owner.
    let text = String::from_utf8_lossy(&output.stderr);
    let is_error = |line: &&str| line.starts_with("rdump: ") && !line.contains(" changing ownership ");
    if let Some(line) = text.lines().find(is_error) {
        bail!("its files are not read: debugfs: {line}");
    }
    fs::remove_file(folder.path().join(COPY))?;
    Ok(Unpacked(folder))
}
