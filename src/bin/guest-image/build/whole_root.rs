//! `--whole-root`: all files of the root in the image, except its module trees, in whose place the image has the
//! modules of the lists.
//!
//! Files of a folder belong to root in the image, because only root could give them another owner on this host. Those
//! of a tar file and of a container image keep their owners.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use guest_init::guest::modules::config_files::CONFIG;
use rustix::fs::{major, minor};

use super::archive::{Archive, DeviceKind, Node, RootAttributes};
use super::image_file::STDOUT;
use crate::shared::container_root::{Attributes, RootNode, UnpackedRoot};
use crate::shared::program::Found;
use crate::shared::tree_options::{TreeOptions, utf8};

/// The folders of module trees.
const MODULES: [&str; 2] = ["lib/modules", "usr/lib/modules"];

/// Adds the files of the root, except the file of an earlier image at `output`.
pub fn add_to(archive: &mut Archive, tree: &TreeOptions, output: &Path) -> Result<()> {
    match (tree.unpacked_root(), tree.root_path()) {
        (Some(root), _) => add_unpacked(archive, root),
        (None, Some(folder)) => {
            let output = Some(output).filter(|path| *path != Path::new(STDOUT)).and_then(|path| path.metadata().ok());
            let output = output.map(|file| (file.dev(), file.ino()));
            FolderWalk { output, ..FolderWalk::default() }.add(archive, folder, "")
        }
        (None, None) => Ok(()),
    }
}

/// The words that start the root's own program as the agent, if the image has no agent at `agent`.
pub fn agent_words(archive: &Archive, tree: &TreeOptions, agent: Option<&str>) -> Option<String> {
    if agent.is_some_and(|agent| !matches!(archive.find(agent), Found::Nothing)) {
        return None;
    }
    let command = tree.unpacked_root().map(|root| &root.command[..]).unwrap_or_default();
    let is_word = |text: &String| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"');
    Some(match command {
        [program, arguments @ ..] if program.starts_with('/') && command.iter().all(is_word) => {
            let end = if arguments.is_empty() { String::new() } else { format!(" -- {}", arguments.join(" ")) };
            format!("guest_init.agent={program}{end}")
        }
        _ => "guest_init.agent=PATH, the path of a program of the root".into(),
    })
}

/// The modprobe.d folders of the root, which the image has as well.
pub fn config(tree: &TreeOptions) -> Vec<PathBuf> {
    let Some((path, root)) = tree.root_path().zip(tree.root()) else { return Vec::new() };
    let folders = CONFIG.iter().filter(|folder| root.below(folder).exists());
    folders.map(|folder| path.join(folder.trim_start_matches('/'))).collect()
}

fn add_unpacked(archive: &mut Archive, root: &UnpackedRoot) -> Result<()> {
    for (path, node, Attributes { mode, uid, gid }) in root.nodes().filter(|(path, ..)| !is_of_module_tree(path)) {
        let mut attributes = RootAttributes { mode, owner: (uid, gid), hard_links: None };
        let node = match node {
            RootNode::Directory => Node::Directory,
            RootNode::Link(target) => Node::Link(target.clone()),
            RootNode::CharDevice(major, minor) => Node::Device(DeviceKind::Char, *major, *minor),
            RootNode::BlockDevice(major, minor) => Node::Device(DeviceKind::Block, *major, *minor),
            RootNode::Fifo => Node::Fifo,
            RootNode::File(number) => {
                attributes.hard_links = Some(*number);
                Node::of_host(&root.path().join(path))?
            }
        };
        archive.add_of_root(path, node, attributes);
    }
    Ok(())
}

/// A walk through a folder of this host.
#[derive(Default)]
struct FolderWalk {
    /// The numbers of files with several names, by device and inode.
    hard_links: BTreeMap<(u64, u64), usize>,
    /// The device and inode of an earlier image.
    output: Option<(u64, u64)>,
}

impl FolderWalk {
    /// Adds what is in the folder. `path` is the folder's own path in the image.
    fn add(&mut self, archive: &mut Archive, folder: &Path, path: &str) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let source = entry?.path();
            let name = utf8(Path::new(source.file_name().unwrap_or_default()))?;
            let path = if path.is_empty() { name.into() } else { format!("{path}/{name}") };
            if is_of_module_tree(&path) {
                continue;
            }
            if self.add_node(archive, &source, &path).with_context(|| source.display().to_string())? {
                self.add(archive, &source, &path)?;
            }
        }
        Ok(())
    }

    /// Adds a node. Returns whether it is a directory.
    fn add_node(&mut self, archive: &mut Archive, source: &Path, path: &str) -> Result<bool> {
        let metadata = fs::symlink_metadata(source)?;
        let mut attributes = RootAttributes { mode: metadata.mode() & 0o7777, ..RootAttributes::default() };
        let kind = metadata.file_type();
        let identity = (metadata.dev(), metadata.ino());
        let device = |kind| Node::Device(kind, major(metadata.rdev()), minor(metadata.rdev()));
        let node = match () {
            () if kind.is_dir() => Node::Directory,
            () if kind.is_symlink() => Node::Link(utf8(&fs::read_link(source)?)?.into()),
            () if kind.is_char_device() => device(DeviceKind::Char),
            () if kind.is_block_device() => device(DeviceKind::Block),
            () if kind.is_fifo() => Node::Fifo,
            () if kind.is_file() && self.output == Some(identity) => return Ok(false),
            () if kind.is_file() => {
                if metadata.nlink() > 1 {
                    let next = self.hard_links.len();
                    let number = self.hard_links.entry(identity).or_insert(next);
                    attributes.hard_links = Some(*number);
                }
                Node::of_host(source)?
            }
            () => bail!("a socket, which an image can't hold; remove it from the root"),
        };
        let is_directory = matches!(node, Node::Directory);
        archive.add_of_root(path, node, attributes);
        Ok(is_directory)
    }
}

/// Whether a path is that of a folder with module trees, or lies in one.
fn is_of_module_tree(path: &str) -> bool {
    MODULES.iter().any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
