//! The archive: the paths of the image, and the newc file that the kernel unpacks
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! The same content always makes the same bytes. Entries are sorted by path, so a directory comes before its files.
//! Inodes are numbered in that order, and all times are equal. Everything belongs to root, except files of `--whole-root`
//! whose owners are known.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cpio::newc::{Builder, ModeFileType, trailer};
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

#[derive(Debug)]
struct Placed {
    node: Node,
    mode: u32,
    /// Why it is in the image. `None` for a directory that is made because a path leads through it.
    why: Option<String>,
    /// Its other attributes, if it is of `--whole-root`. Other nodes may take its place.
    of_root: Option<RootAttributes>,
}

impl Placed {
    /// A node that is not of `--whole-root`.
    fn new(node: Node, mode: u32, why: Option<String>) -> Self {
        Self { node, mode, why, of_root: None }
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

    /// The files, by path.
    pub fn files(&self) -> impl Iterator<Item = Item<'_>> {
        self.placed.iter().filter_map(|(path, placed)| {
            let size = match &placed.node {
                Node::Bytes(bytes) => bytes.len() as u64,
                Node::Copy(_, size) => *size,
                Node::Directory | Node::Link(_) | Node::Device(..) | Node::Fifo => return None,
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
        let mut hard_links = self.hard_links();
        for ((path, placed), inode) in self.placed.iter().zip(1..) {
            let mut header = placed.header(path).ino(inode).mtime(mtime);
            let mut content = Cow::default();
            match placed.hard_links().and_then(|number| hard_links.get_mut(&number)) {
                // Only the first name of a file has its content (`maybe_link` in init/initramfs.c).
                Some((count, Some(first))) => header = header.ino(*first).nlink(*count),
                Some((count, first)) => {
                    *first = Some(inode);
                    header = header.nlink(*count);
                    content = placed.content()?;
                }
                None => content = placed.content()?,
            }
            if self.existing.has_hard_link(path) {
                unlink(path, output)?;
            }
            let size = u32::try_from(content.len()).with_context(|| format!("{path}: a file of 4 GiB or more"))?;
            record.clear();
            let mut entry = header.write(&mut record, size);
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

    /// The numbers of names of files that have several, and a place for the inode of the first.
    fn hard_links(&self) -> BTreeMap<usize, (u32, Option<u32>)> {
        let mut counts: BTreeMap<usize, (u32, Option<u32>)> = BTreeMap::new();
        self.placed.values().filter_map(Placed::hard_links).for_each(|number| counts.entry(number).or_default().0 += 1);
        counts
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

/// Has the kernel unlink the file at a path. It only writes into a file that exists, and so into all of the file's
/// names, unless the file's type changes (`clean_path` in init/initramfs.c).
fn unlink(path: &str, output: &mut dyn Write) -> Result<()> {
    let target = b"/";
    let link = Builder::new(path).mode(0o777).set_mode_file_type(ModeFileType::Symlink);
    let mut record = Vec::new();
    let mut entry = link.write(&mut record, target.len() as u32);
    entry.write_all(target)?;
    entry.finish()?;
    output.write_all(&record)?;
    Ok(())
}

impl Placed {
    fn hard_links(&self) -> Option<usize> {
        self.of_root.and_then(|attributes| attributes.hard_links)
    }

    /// The header, without inode and time.
    fn header(&self, path: &str) -> Builder {
        let (user, group) = self.of_root.unwrap_or_default().owner;
        let header = Builder::new(path).mode(self.mode).uid(user).gid(group);
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
            Node::Fifo => header.set_mode_file_type(ModeFileType::Fifo),
            Node::Bytes(_) | Node::Copy(..) => header.set_mode_file_type(ModeFileType::Regular),
        }
    }

    fn content(&self) -> Result<Cow<'_, [u8]>> {
        Ok(match &self.node {
            Node::Directory | Node::Device(..) | Node::Fifo => Cow::default(),
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
