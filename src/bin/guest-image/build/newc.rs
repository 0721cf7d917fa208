//! The newc file that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! The bytes depend on the content alone: inodes are numbered in the order of the paths, and all files have one time.
//! All files belong to root, except those of `--whole-root` whose owners are known.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use anyhow::{Context, Result, ensure};
use cpio::newc::{Builder, ModeFileType, trailer};

use super::archive::{Archive, DeviceKind, Node, Placed};

/// The name that ends an archive (`do_name` in init/initramfs.c).
const END: &str = "TRAILER!!!";

/// Writes the archive. `written` is called with the size of each file.
pub fn write(archive: &Archive, output: &mut dyn Write, mtime: u32, written: &mut dyn FnMut(u64)) -> Result<()> {
    let ends = archive.placed().any(|(path, _)| path == END);
    ensure!(!ends, "/{END}: a file of this name would end the archive; rename it");
    let mut record = Vec::new();
    let mut hard_links = names_of_hard_links(archive);
    for ((path, placed), inode) in archive.placed().zip(1..) {
        let mut header = header(placed, path).ino(inode).mtime(mtime);
        let mut bytes = Cow::default();
        match placed.hard_links().and_then(|number| hard_links.get_mut(&number)) {
            // Only the first name of a file has its content (`maybe_link` in init/initramfs.c).
            Some((count, Some(first))) => header = header.ino(*first).nlink(*count),
            Some((count, first)) => {
                *first = Some(inode);
                header = header.nlink(*count);
                bytes = content(&placed.node)?;
            }
            None => bytes = content(&placed.node)?,
        }
        if archive.existing.has_hard_link(path) {
            unlink(path, output)?;
        }
        let size = u32::try_from(bytes.len()).with_context(|| format!("{path}: a file of 4 GiB or more"))?;
        record.clear();
        let mut entry = header.write(&mut record, size);
        entry.write_all(&bytes)?;
        entry.finish()?;
        output.write_all(&record)?;
        if let Node::Bytes(_) | Node::Copy(..) = placed.node {
            written(bytes.len() as u64);
        }
    }
    trailer(output)?;
    Ok(())
}

/// The numbers of names of files that have several, and a place for the inode of the first.
fn names_of_hard_links(archive: &Archive) -> BTreeMap<usize, (u32, Option<u32>)> {
    let mut counts: BTreeMap<usize, (u32, Option<u32>)> = BTreeMap::new();
    archive
        .placed()
        .filter_map(|(_, placed)| placed.hard_links())
        .for_each(|number| counts.entry(number).or_default().0 += 1);
    counts
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

/// The header, without inode and time.
fn header(placed: &Placed, path: &str) -> Builder {
    let (user, group) = placed.of_root.unwrap_or_default().owner;
    let header = Builder::new(path).mode(placed.mode).uid(user).gid(group);
    match &placed.node {
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

/// The bytes of a node.
fn content(node: &Node) -> Result<Cow<'_, [u8]>> {
    Ok(match node {
        Node::Directory | Node::Device(..) | Node::Fifo => Cow::default(),
        Node::Link(target) => target.as_bytes().into(),
        Node::Bytes(bytes) => bytes.into(),
        Node::Copy(source, _) => fs::read(source).with_context(|| source.display().to_string())?.into(),
    })
}
