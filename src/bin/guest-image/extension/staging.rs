//! A folder with the files of an archive, for a program that makes a file system of a folder.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::build::archive::{Archive, DeviceKind, Node};

/// A folder with the files of an archive.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    /// Its directories and their modes.
    directories: Vec<(PathBuf, u32)>,
}

impl Staging {
    /// Fills a new folder. Only root can make device nodes.
    pub fn fill(path: &Path, archive: &Archive) -> Result<Self> {
        let mut staging = Self { path: path.into(), directories: Vec::new() };
        fs::create_dir(path).with_context(|| path.display().to_string())?;
        staging.directories.push((path.into(), 0o755));
        for (name, mode, node) in archive.nodes() {
            staging.add(&path.join(name), mode, node).with_context(|| format!("/{name}"))?;
        }
        // A directory gets its mode when its files are there: the mode may forbid to make them.
        staging.directories.iter().try_for_each(|(path, mode)| set_mode(path, *mode))?;
        Ok(staging)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn add(&mut self, path: &Path, mode: u32, node: &Node) -> Result<()> {
        match node {
            Node::Directory => {
                self.directories.push((path.into(), mode));
                fs::create_dir(path)?;
            }
            Node::Link(target) => symlink(target, path)?,
            Node::Device(kind, major, minor) => {
                let kind = match kind {
                    DeviceKind::Char => FileType::CharacterDevice,
                    DeviceKind::Block => FileType::BlockDevice,
                };
                mknodat(CWD, path, kind, Mode::empty(), makedev(*major, *minor))?;
                set_mode(path, mode)?;
            }
            Node::Fifo => {
                mknodat(CWD, path, FileType::Fifo, Mode::empty(), 0)?;
                set_mode(path, mode)?;
            }
            Node::Bytes(bytes) => {
                fs::write(path, bytes)?;
                set_mode(path, mode)?;
            }
            Node::Copy(source, _) => {
                fs::copy(source, path).with_context(|| source.display().to_string())?;
                set_mode(path, mode)?;
            }
        }
        Ok(())
    }
}

impl Drop for Staging {
    /// Makes every directory writable, so that whoever owns the folder can remove it.
    fn drop(&mut self) {
        for (path, _) in &self.directories {
            let _ = set_mode(path, 0o700);
        }
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(|| path.display().to_string())
}
