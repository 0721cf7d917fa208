//! The files of a root that tar files describe, layer over layer.
//!
//! Paths and attributes stay in memory, and contents are files with numbers. So no path of a tar file is ever opened on
//! this host, whatever it is, and owners and device nodes need no privilege.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::super::links::follow;

/// The longest path and link that the kernel unpacks, in bytes (PATH_MAX, without the NUL at its end).
pub const LONGEST_PATH: usize = 4095;
/// The most bytes of all files together. A file of an initramfs has at most that.
pub const MOST_BYTES: u64 = u32::MAX as u64;
/// The most files, directories, links and devices.
const MOST_NODES: usize = 1 << 20;

/// A node of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootNode {
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Link(String),
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A FIFO.
    Fifo,
    /// A regular file, by the number of its content. Hard links share the number.
    File(usize),
}

/// The attributes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions, set-id bits and the sticky bit.
    pub mode: u32,
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// The attributes of a directory that is only the parent of another path.
const IMPLIED: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

#[derive(Clone, Debug)]
struct RootEntry {
    node: RootNode,
    attributes: Attributes,
    /// The number of the layer that placed the node last.
    layer: usize,
}

/// The files of a root.
#[derive(Debug)]
pub struct RootFiles {
    folder: TempDir,
    nodes: BTreeMap<String, RootEntry>,
    layer: usize,
    /// The number of contents.
    contents: usize,
    /// The size of all contents together.
    bytes: u64,
    /// The first path with extended attributes, and the number of such paths.
    pub with_xattrs: Option<(String, usize)>,
}

impl RootFiles {
    /// An empty root, whose contents are in a temporary folder.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("guest-image-root.").tempdir().context("a temporary folder")?;
        fs::create_dir(folder.path().join("contents"))?;
        Ok(Self { folder, nodes: BTreeMap::new(), layer: 0, contents: 0, bytes: 0, with_xattrs: None })
    }

    /// Begins the next layer. A whiteout only counts for the layers before its own.
    pub fn begin_layer(&mut self) {
        self.layer += 1;
    }

    /// Whether nothing is in the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Places a node, in place of the node that is there. The parent's links are followed inside the root.
    pub fn place(&mut self, name: &str, node: RootNode, attributes: Attributes) -> Result<()> {
        let Some(path) = self.resolve(name)? else { return Ok(()) };
        self.make_parents(&path)?;
        if node != RootNode::Directory {
            self.remove_below(&path, usize::MAX);
        }
        ensure!(self.nodes.len() < MOST_NODES, "more than {MOST_NODES} files");
        self.nodes.insert(path, RootEntry { node, attributes, layer: self.layer });
        Ok(())
    }

    /// Places another name for the node at `target`.
    pub fn place_hard_link(&mut self, name: &str, target: &str) -> Result<()> {
        let target = self.resolve(target)?.with_context(|| format!("a hard link to {target:?}"))?;
        let Some(RootEntry { node, attributes, .. }) = self.nodes.get(&target).cloned() else {
            bail!("a hard link to /{target}, which does not exist");
        };
        ensure!(node != RootNode::Directory, "a hard link to the directory /{target}");
        self.place(name, node, attributes)
    }

    /// Removes what the layers before this one have at a path.
    pub fn white_out(&mut self, name: &str) -> Result<()> {
        let Some(path) = self.resolve(name)? else { return Ok(()) };
        self.remove_below(&path, self.layer);
        let has_more = self.below(&path).next().is_some();
        if self.nodes.get(&path).is_some_and(|placed| placed.layer < self.layer && !has_more) {
            self.nodes.remove(&path);
        }
        Ok(())
    }

    /// Removes what the layers before this one have below a directory.
    pub fn white_out_below(&mut self, directory: &str) -> Result<()> {
        // The directory may be the root itself, or a link to the directory.
        let path = self.resolve(directory)?.unwrap_or_default();
        let path = follow(&path, true, &|path| self.link_at(path))?;
        self.remove_below(&path, self.layer);
        Ok(())
    }

    /// Stores the content of a file that has `size` bytes.
    pub fn store(&mut self, size: u64, content: &mut dyn Read) -> Result<RootNode> {
        self.bytes = self.bytes.saturating_add(size);
        ensure!(
            self.bytes <= MOST_BYTES,
            "the layers have 4 GiB or more of files, replaced ones included; squash the image"
        );
        let number = self.contents;
        self.contents += 1;
        let path = self.content(number);
        let mut file = File::create_new(&path).with_context(|| path.display().to_string())?;
        let length = io::copy(&mut content.take(size), &mut file)?;
        ensure!(length == size, "the tar file ends within it, after {length} of {size} bytes");
        Ok(RootNode::File(number))
    }

    /// Makes the folder in which modules, firmware and programs are looked up. It has no device nodes. Every parent
    /// is a directory that is made here, so no link leads out of the folder.
    pub fn unpack(self) -> Result<UnpackedRoot> {
        let root = self.folder.path().join("root");
        fs::create_dir(&root)?;
        let mut first_names: BTreeMap<usize, PathBuf> = BTreeMap::new();
        for (path, RootEntry { node, attributes, .. }) in &self.nodes {
            let place = root.join(path);
            match node {
                RootNode::Directory => fs::create_dir(&place),
                RootNode::Link(target) => symlink(target, &place),
                RootNode::CharDevice(..) | RootNode::BlockDevice(..) | RootNode::Fifo => Ok(()),
                RootNode::File(number) => match first_names.get(number) {
                    Some(first) => fs::hard_link(first, &place),
                    None => {
                        first_names.insert(*number, place.clone());
                        // Neither set-id bits nor a mode that keeps this program from reading the file.
                        let mode = attributes.mode & 0o755 | 0o600;
                        fs::rename(self.content(*number), &place)
                            .and_then(|()| fs::set_permissions(&place, Permissions::from_mode(mode)))
                    }
                },
            }
            .with_context(|| format!("/{path}"))?;
        }
        let nodes = self.nodes.into_iter().map(|(path, placed)| (path, (placed.node, placed.attributes))).collect();
        Ok(UnpackedRoot { folder: self.folder, nodes, command: Vec::new() })
    }

    /// The path of a name, without `.` and with the links on the way followed, but not the last part. `None`: the root
    /// itself.
    ///
    /// Error: the name has a part `..`, or is no path that the kernel unpacks.
    fn resolve(&self, name: &str) -> Result<Option<String>> {
        ensure!(!name.contains('\0') && name.len() <= LONGEST_PATH, "not a path that the kernel unpacks");
        let parts: Vec<_> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        ensure!(!parts.contains(&".."), "the path has a part `..`");
        let Some((last, parents)) = parts.split_last() else { return Ok(None) };
        let parents = parents.join("/");
        let parent = follow(&parents, true, &|path| self.link_at(path))?;
        Ok(Some(if parent.is_empty() { (*last).into() } else { format!("{parent}/{last}") }))
    }

    /// The target of the link at a path.
    fn link_at(&self, path: &str) -> Option<&str> {
        match &self.nodes.get(path)?.node {
            RootNode::Link(target) => Some(target),
            _ => None,
        }
    }

    fn make_parents(&mut self, path: &str) -> Result<()> {
        for (end, _) in path.match_indices('/') {
            let implied = RootEntry { node: RootNode::Directory, attributes: IMPLIED, layer: self.layer };
            let parent = self.nodes.entry(path[..end].into()).or_insert(implied);
            ensure!(parent.node == RootNode::Directory, "/{} is not a directory", &path[..end]);
        }
        Ok(())
    }

    /// The paths below a directory. An empty one is the root.
    fn below(&self, directory: &str) -> impl Iterator<Item = (&String, &RootEntry)> {
        let start = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        self.nodes.range(start.clone()..).take_while(move |(path, _)| path.starts_with(&start))
    }

    /// Removes what layers before `layer` have below a directory, but keeps directories that lead to other files.
    fn remove_below(&mut self, directory: &str, layer: usize) {
        let older: Vec<_> = self.below(directory).filter(|(_, placed)| placed.layer < layer).collect();
        let older: Vec<_> = older.into_iter().rev().map(|(path, _)| path.clone()).collect();
        for path in older {
            // The files of a directory were removed before it.
            if self.below(&path).next().is_none() {
                self.nodes.remove(&path);
            }
        }
    }

    fn content(&self, number: usize) -> PathBuf {
        self.folder.path().join("contents").join(number.to_string())
    }
}

/// A root that was unpacked into a temporary folder, which is removed with this value.
#[derive(Debug)]
pub struct UnpackedRoot {
    folder: TempDir,
    nodes: BTreeMap<String, (RootNode, Attributes)>,
    /// The command of the container image, if the root is one.
    pub command: Vec<String>,
}

impl UnpackedRoot {
    /// The folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The nodes, each with its path, without the leading `/`. A directory comes before its files.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &RootNode, Attributes)> {
        self.nodes.iter().map(|(path, (node, attributes))| (&path[..], node, *attributes))
    }
}
