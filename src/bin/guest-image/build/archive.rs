//! The archive: the paths of the image, sorted, so that a directory comes before its files. [`super::newc`] writes it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::append_to::ExistingImage;
use crate::shared::links::follow;
use crate::shared::program::Found;

/// The mode of directories that are made because a path leads through them.
const DIRECTORY_MODE: u32 = 0o755;
/// The reason for the files of `--whole-root`.
pub const WHOLE_ROOT: &str = "--whole-root";

/// A node of the image.
#[derive(Debug)]
pub enum Node {
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Link(String),
    /// A device node: its kind, major and minor number.
    Device(DeviceKind, u32, u32),
    /// A FIFO.
    Fifo,
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

/// The attributes of a node of `--whole-root`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RootAttributes {
    /// Its permissions.
    pub mode: u32,
    /// Its user and its group.
    pub owner: (u32, u32),
    /// A number that all hard links of a file have.
    pub hard_links: Option<usize>,
}

/// A node at a path.
#[derive(Debug)]
pub struct Placed {
    /// The node.
    pub node: Node,
    /// Its permissions.
    pub mode: u32,
    /// Why it is in the image. `None` for a directory that is made because a path leads through it.
    why: Option<String>,
    /// Its other attributes, if it is of `--whole-root`. Other nodes may take its place.
    pub of_root: Option<RootAttributes>,
}

impl Placed {
    /// A node that is not of `--whole-root`.
    fn new(node: Node, mode: u32, why: Option<String>) -> Self {
        Self { node, mode, why, of_root: None }
    }

    /// The number that all hard links of the file have.
    pub fn hard_links(&self) -> Option<usize> {
        self.of_root.and_then(|attributes| attributes.hard_links)
    }
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
        if self.is_same_link(&key, &node) {
            return Ok(());
        }
        let directory = matches!(node, Node::Directory);
        let placed = Placed::new(node, mode, Some(why.into()));
        match self.placed.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(placed);
            }
            Entry::Occupied(mut taken) => match (&taken.get().node, taken.get().of_root.is_some()) {
                // A root that has a link in place of a directory, such as /run, means the directory behind it.
                (Node::Directory | Node::Link(_), true) if directory => {}
                (Node::Directory, true) => bail!("{path} is a directory in the root"),
                (_, true) => drop(taken.insert(placed)),
                (_, false) if taken.get().why.is_none() && directory => drop(taken.insert(placed)),
                (_, false) => bail!("{path} is already in the image"),
            },
        }
        Ok(())
    }

    /// Puts a node of `--whole-root` at a path, before all others. A later node may take its place.
    pub fn add_of_root(&mut self, path: &str, node: Node, attributes: RootAttributes) {
        let placed = Placed { node, mode: attributes.mode, why: Some(WHOLE_ROOT.into()), of_root: Some(attributes) };
        self.placed.insert(path.into(), placed);
    }

    /// Whether a link to the same file stands at a path already. In a root whose /sbin and /usr/sbin are one folder,
    /// two links of the layout are one.
    fn is_same_link(&self, key: &str, node: &Node) -> bool {
        let Node::Link(new) = node else { return false };
        let Some(Placed { node: Node::Link(old), of_root: None, .. }) = self.placed.get(key) else { return false };
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let file = |target: &str| {
            let path = if target.starts_with('/') { target.into() } else { format!("{folder}/{target}") };
            follow(&path, true, &|path| self.link_at(path)).ok()
        };
        file(old).is_some_and(|old| file(new) == Some(old))
    }

    /// Puts a node at a path, in place of the node that is there.
    ///
    /// Error: a directory is there.
    pub fn replace(&mut self, path: &str, mode: u32, node: Node, why: &str) -> Result<()> {
        let key = self.make_way(path)?;
        let taken = self.placed.get(&key).is_some_and(|placed| matches!(placed.node, Node::Directory));
        ensure!(!taken && !self.existing.has_directory(&key), "{path} is a directory in the image");
        self.placed.insert(key, Placed::new(node, mode, Some(why.into())));
        Ok(())
    }

    /// The file at a path, with all links followed.
    pub fn find(&self, path: &str) -> Found<'_> {
        let Ok(key) = follow(path, true, &|path| self.link_at(path)) else { return Found::Nothing };
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

    /// The target of the link at a path.
    fn link_at(&self, path: &str) -> Option<&str> {
        match self.placed.get(path) {
            Some(Placed { node: Node::Link(target), .. }) => Some(target),
            Some(_) => None,
            None => self.existing.link(path),
        }
    }

    /// The nodes, each with its path and mode. A directory comes before its files.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, u32, &Node)> {
        self.placed.iter().map(|(path, placed)| (&path[..], placed.mode, &placed.node))
    }

    /// The nodes with all attributes, by path.
    pub fn placed(&self) -> impl ExactSizeIterator<Item = (&str, &Placed)> {
        self.placed.iter().map(|(path, placed)| (&path[..], placed))
    }

    /// The files, by path. Of the names of a file, only the first has the file's size.
    pub fn files(&self) -> impl Iterator<Item = Item<'_>> {
        let mut seen = BTreeSet::new();
        self.placed.iter().filter_map(move |(path, placed)| {
            let size = match &placed.node {
                Node::Bytes(bytes) => bytes.len() as u64,
                Node::Copy(_, size) => *size,
                Node::Directory | Node::Link(_) | Node::Device(..) | Node::Fifo => return None,
            };
            let is_first = placed.hard_links().is_none_or(|number| seen.insert(number));
            let size = if is_first { size } else { 0 };
            Some(Item { path, size, why: placed.why.as_deref().unwrap_or_default() })
        })
    }

    /// The size of all files, in bytes.
    pub fn content_size(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    /// Makes the directories on the way to a path. Returns the path without its leading `/` and with the links of the
    /// existing image and of `--whole-root` followed.
    fn make_way(&mut self, path: &str) -> Result<String> {
        let key = path.strip_prefix('/').unwrap_or(path);
        let plain = |part| !matches!(part, "" | "." | "..") && !str::contains(part, '\0');
        ensure!(key.split('/').all(plain), "{path:?} is not a path of the image; write /NAME/NAME…, without . and ..");
        let key = follow(key, false, &|path| self.passable_link(path))?;
        for (end, _) in key.match_indices('/') {
            let parent = &key[..end];
            let implied = || Placed::new(Node::Directory, DIRECTORY_MODE, None);
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

    /// The target of a link that leads to the place of new files.
    fn passable_link(&self, path: &str) -> Option<&str> {
        match self.placed.get(path) {
            Some(Placed { node: Node::Link(target), of_root: Some(_), .. }) => Some(target),
            Some(_) => None,
            None => self.existing.link(path),
        }
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
