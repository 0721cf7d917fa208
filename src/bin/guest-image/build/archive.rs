//! The archive: the paths of the image, and the newc file that the kernel unpacks
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! The same content always makes the same bytes. Entries are sorted by path, so a directory comes before its files.
//! Inodes are numbered in that order, everything belongs to root, and all times are equal.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cpio::newc::{Builder, ModeFileType, trailer};
use serde::Serialize;

use super::append_to::{ExistingImage, follow};
use crate::shared::program::Found;

/// The mode of directories that are made because a path leads through them.
const DIRECTORY_MODE: u32 = 0o755;

/// A node of the image.
#[derive(Debug)]
pub enum Node {
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Link(String),
    /// A device node: its kind, major and minor number.
    Device(DeviceKind, u32, u32),
    /// A file with this content.
    Bytes(Vec<u8>),
    /// A file of the host, which is read when the archive is written, and its present size in bytes.
    Copy(PathBuf, u64),
}

impl Node {
    /// A copy of a regular file of the host.
    ///
    /// Error: its size does not fit the archive's headers, which have 32 bits for it.
    pub fn of_host(path: &Path) -> Result<Self> {
        let file = fs::metadata(path).with_context(|| path.display().to_string())?;
        ensure!(file.is_file(), "{}: not a regular file", path.display());
        ensure!(file.len() <= u32::MAX.into(), "{}: a file of 4 GiB or more", path.display());
        Ok(Self::Copy(path.into(), file.len()))
    }
}

/// The kind of a device node.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// A character device.
    Char,
    /// A block device.
    Block,
}

#[derive(Debug)]
struct Placed {
    node: Node,
    mode: u32,
    /// Why it is in the image. `None` for a directory that is made because a path leads through it.
    why: Option<String>,
}

/// A file of the image, for the report.
#[derive(Debug, Serialize)]
pub struct Item<'a> {
    /// Its path, without the leading `/`.
    pub path: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// Why it is in the image.
    #[serde(rename = "for")]
    pub why: &'a str,
}

/// The content of the image, by path without the leading `/`.
#[derive(Debug, Default)]
pub struct Archive {
    placed: BTreeMap<String, Placed>,
    /// The existing image that this one is appended to.
    pub existing: ExistingImage,
}

impl Archive {
    /// An empty archive that is appended to an existing image.
    pub fn append_to(existing: ExistingImage) -> Self {
        Self { existing, ..Self::default() }
    }

    /// Puts a node at a path and makes the missing directories on the way. A directory, link or device that the
    /// existing image already has is not added again.
    ///
    /// Error: the path is taken.
    pub fn add(&mut self, path: &str, mode: u32, node: Node, why: &str) -> Result<()> {
        let key = self.make_way(path)?;
        let is_file = matches!(node, Node::Bytes(_) | Node::Copy(..));
        if self.existing.has(&key) && !is_file {
            return Ok(());
        }
        ensure!(!self.existing.has_directory(&key), "{path} is a directory in the image to append to");
        let directory = matches!(node, Node::Directory);
        let placed = Placed { node, mode, why: Some(why.into()) };
        match self.placed.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(placed);
            }
            Entry::Occupied(mut taken) if taken.get().why.is_none() && directory => {
                taken.insert(placed);
            }
            Entry::Occupied(_) => bail!("{path} is already in the image"),
        }
        Ok(())
    }

    /// Puts a node at a path, in place of the node that is there.
    ///
    /// Error: a directory is there.
    pub fn replace(&mut self, path: &str, mode: u32, node: Node, why: &str) -> Result<()> {
        let key = self.make_way(path)?;
        let taken = self.placed.get(&key).is_some_and(|placed| matches!(placed.node, Node::Directory));
        ensure!(!taken && !self.existing.has_directory(&key), "{path} is a directory in the image");
        self.placed.insert(key, Placed { node, mode, why: Some(why.into()) });
        Ok(())
    }

    /// The file at a path, with all links followed.
    pub fn find(&self, path: &str) -> Found<'_> {
        let link_at = |path: &str| match self.placed.get(path) {
            Some(Placed { node: Node::Link(target), .. }) => Some(&target[..]),
            Some(_) => None,
            None => self.existing.link(path),
        };
        let Ok(key) = follow(path, true, &link_at) else { return Found::Nothing };
        let file = |mode, bytes| Found::File { mode, bytes };
        match self.placed.get(&key) {
            Some(Placed { node: Node::Bytes(bytes), mode, .. }) => file(*mode, bytes.into()),
            Some(Placed { node: Node::Copy(source, _), mode, .. }) => {
                fs::read(source).map_or(Found::Unknown, |bytes| file(*mode, bytes.into()))
            }
            Some(_) => Found::NotAFile,
            None if self.existing.has_directory(&key) => Found::NotAFile,
            None if self.existing.has(&key) => Found::Unknown,
            None => Found::Nothing,
        }
    }

    /// The nodes, each with its path and mode. A directory comes before its files.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, u32, &Node)> {
        self.placed.iter().map(|(path, placed)| (&path[..], placed.mode, &placed.node))
    }

    /// The files, by path.
    pub fn files(&self) -> impl Iterator<Item = Item<'_>> {
        self.placed.iter().filter_map(|(path, placed)| {
            let size = match &placed.node {
                Node::Bytes(bytes) => bytes.len() as u64,
                Node::Copy(_, size) => *size,
                Node::Directory | Node::Link(_) | Node::Device(..) => return None,
            };
            Some(Item { path, size, why: placed.why.as_deref().unwrap_or_default() })
        })
    }

    /// The size of all copies of the host's files, in bytes.
    pub fn to_copy(&self) -> u64 {
        let size = |placed: &Placed| if let Node::Copy(_, size) = placed.node { size } else { 0 };
        self.placed.values().map(size).sum()
    }

    /// The size of all files, in bytes.
    pub fn content_size(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    /// Writes the archive. `copied` is called with the size of each copy that is written.
    pub fn write(&self, output: &mut dyn Write, mtime: u32, copied: &mut dyn FnMut(u64)) -> Result<()> {
        let mut record = Vec::new();
        for ((path, placed), inode) in self.placed.iter().zip(1..) {
            let content = placed.content()?;
            let size = u32::try_from(content.len()).with_context(|| format!("{path}: a file of 4 GiB or more"))?;
            record.clear();
            let mut entry = placed.header(path).ino(inode).mtime(mtime).write(&mut record, size);
            entry.write_all(&content)?;
            entry.finish()?;
            output.write_all(&record)?;
            if let Node::Copy(..) = placed.node {
                copied(content.len() as u64);
            }
        }
        trailer(output)?;
        Ok(())
    }

    /// Makes the directories on the way to a path. Returns the path without its leading `/` and with the existing
    /// image's links followed.
    fn make_way(&mut self, path: &str) -> Result<String> {
        let key = path.strip_prefix('/').unwrap_or(path);
        let plain = |part| !matches!(part, "" | "." | "..") && !str::contains(part, '\0');
        ensure!(key.split('/').all(plain), "{path:?} is not a path of the image; write /NAME/NAME…, without . and ..");
        let key = self.existing.resolve(key)?;
        for (end, _) in key.match_indices('/') {
            let parent = &key[..end];
            let implied = || Placed { node: Node::Directory, mode: DIRECTORY_MODE, why: None };
            let passable = match self.existing.has(parent) {
                true => self.existing.has_directory(parent),
                false => {
                    let placed = self.placed.entry(parent.into()).or_insert_with(implied);
                    matches!(placed.node, Node::Directory)
                }
            };
            ensure!(passable, "{path}: /{parent} is not a directory in the image");
        }
        Ok(key)
    }
}

impl Placed {
    /// The header, without inode and time.
    fn header(&self, path: &str) -> Builder {
        let header = Builder::new(path).mode(self.mode);
        match &self.node {
            // A directory has at least two links: its name, and `.`.
            Node::Directory => header.nlink(2).set_mode_file_type(ModeFileType::Directory),
            Node::Link(_) => header.set_mode_file_type(ModeFileType::Symlink),
            Node::Device(kind, major, minor) => {
                let kind = match kind {
                    DeviceKind::Char => ModeFileType::Char,
                    DeviceKind::Block => ModeFileType::Block,
                };
                header.rdev_major(*major).rdev_minor(*minor).set_mode_file_type(kind)
            }
            Node::Bytes(_) | Node::Copy(..) => header.set_mode_file_type(ModeFileType::Regular),
        }
    }

    fn content(&self) -> Result<std::borrow::Cow<'_, [u8]>> {
        Ok(match &self.node {
            Node::Directory | Node::Device(..) => [].as_slice().into(),
            Node::Link(target) => target.as_bytes().into(),
            Node::Bytes(bytes) => bytes.into(),
            Node::Copy(source, _) => fs::read(source).with_context(|| source.display().to_string())?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(archive: &mut Archive, path: &str, node: Node) -> Result<(), String> {
        archive.add(path, 0o700, node, "a test").map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_has_one_thing() {
        let mut archive = Archive::default();
        add(&mut archive, "/a/b/c", Node::Directory).unwrap();
        add(&mut archive, "/a/b", Node::Directory).unwrap();
        assert_eq!(add(&mut archive, "/a/b", Node::Directory).unwrap_err(), "/a/b is already in the image");
        assert_eq!(add(&mut archive, "/a", Node::Bytes(vec![])).unwrap_err(), "/a is already in the image");
        let modes: Vec<_> = archive.placed.iter().map(|(path, placed)| (&path[..], placed.mode)).collect();
        assert_eq!(modes, [("a", 0o755), ("a/b", 0o700), ("a/b/c", 0o700)]);
        assert!(archive.replace("/a", 0, Node::Bytes(vec![]), "a test").is_err());
    }

    #[test]
    fn nothing_lies_below_a_link_or_outside() {
        let mut archive = Archive::default();
        add(&mut archive, "/lib", Node::Link("usr/lib".into())).unwrap();
        let error = add(&mut archive, "/lib/modules", Node::Directory).unwrap_err();
        assert_eq!(error, "/lib/modules: /lib is not a directory in the image");
        for path in ["", "/", "//a", "/a/", "/a/../b", "./a", "/a//b", "a\0"] {
            assert!(add(&mut archive, path, Node::Directory).is_err(), "{path:?}");
        }
    }
}
