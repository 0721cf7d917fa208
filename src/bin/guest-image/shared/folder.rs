//! Folders of this host, of a guest's root, and of a share. A guest's root is `/` for all absolute links and paths in
//! it ([`guest_init::guest::system::files`]).

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use guest_init::guest::system::files::{Directory, open_directory};
use rustix::io;

/// A folder, which may not exist.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The open folder, or the error of opening it.
    pub directory: io::Result<Directory>,
    /// Its path in messages.
    pub path: PathBuf,
}

impl Folder {
    /// A folder of this host.
    pub fn on_host(path: &Path) -> Self {
        Self { directory: Directory::open(path), path: path.into() }
    }

    /// The root of a guest.
    pub fn of_guest(path: &Path) -> Self {
        Self { directory: open_directory(path).map(Directory::of_image), path: path.into() }
    }

    /// The root of a share.
    pub fn of_share(path: &Path) -> Self {
        Self { directory: open_directory(path).map(Directory::of_mount), path: path.into() }
    }

    /// A folder below this one. A leading `/` of the path means this folder.
    pub fn below(&self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let path = path.strip_prefix("/").unwrap_or(path);
        let directory = self.directory.clone().and_then(|directory| match path.as_os_str().is_empty() {
            true => Ok(directory),
            false => directory.directory(path),
        });
        Self { directory, path: self.path.join(path) }
    }

    /// Whether the folder exists.
    pub fn exists(&self) -> bool {
        self.directory.is_ok()
    }

    /// The path on this host of a regular file below the folder. No part of it is a link.
    pub fn file(&self, path: impl AsRef<Path>) -> std::io::Result<PathBuf> {
        let file = self.directory.as_ref().map_err(|error| *error)?.regular(path.as_ref())?;
        path_of(file)
    }
}

/// Fails unless /proc is mounted, which [`path_of`] reads. In a chroot without it, each file would seem to be missing.
pub fn require_proc() -> Result<()> {
    ensure!(Path::new("/proc/self/fd").exists(), "/proc is not mounted here; run mount -t proc proc /proc");
    Ok(())
}

/// The path on this host of an open file or folder. No part of it is a link (proc_pid_fd(5)).
pub fn path_of(file: impl AsFd) -> std::io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}
