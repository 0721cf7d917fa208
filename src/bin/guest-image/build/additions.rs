//! `--add`: files, folders and links of this host in the image.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use rustix::fs::{major, minor};

use super::archive::{Archive, DeviceKind, Node};
use crate::shared::program::Found;
use crate::shared::tree_options::{TreeOptions, utf8};

/// The reason in the report.
const WHY: &str = "--add";

/// `SRC:DEST`
#[derive(Clone, Debug)]
pub struct Addition {
    source: PathBuf,
    target: String,
}

impl FromStr for Addition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The last one counts, because the path on the host may contain a colon.
        let colon = text.rfind(":/").filter(|&at| at > 0).ok_or("expected SRC:/DEST")?;
        Ok(Self { source: text[..colon].into(), target: text[colon + 1..].into() })
    }
}

impl Addition {
    /// Adds the file or folder, in place of a file that is there. A link is followed, but one to nothing is added as it
    /// is. Links in a folder are added as they are.
    pub fn add_to(&self, archive: &mut Archive, tree: &TreeOptions) -> Result<()> {
        let source = tree.on_host(&self.source);
        let source = fs::canonicalize(&source).unwrap_or(source);
        add(archive, &source, &self.target, WHY)
    }
}

/// Adds a file, a link, or a folder with all that is in it.
fn add(archive: &mut Archive, source: &Path, target: &str, why: &str) -> Result<()> {
    let name = || source.display().to_string();
    let metadata = fs::symlink_metadata(source).with_context(name)?;
    let mode = metadata.permissions().mode() & 0o7777;
    let kind = metadata.file_type();
    let device = |kind| Node::Device(kind, major(metadata.rdev()), minor(metadata.rdev()));
    let node = match () {
        () if kind.is_dir() => return add_folder(archive, source, target, why),
        () if kind.is_symlink() => Node::Link(utf8(&fs::read_link(source).with_context(name)?)?.into()),
        () if kind.is_char_device() => device(DeviceKind::Char),
        () if kind.is_block_device() => device(DeviceKind::Block),
        () if kind.is_file() => Node::of_host(source)?,
        () => bail!("{}: a FIFO or a socket, which an image can't hold", source.display()),
    };
    archive.replace(target, mode, node, why)
}

/// Adds a folder with all that is in it, for the reason `why`. If the image has the folder already, only its content is
/// added.
pub fn add_folder(archive: &mut Archive, source: &Path, target: &str, why: &str) -> Result<()> {
    let name = || source.display().to_string();
    let target = target.trim_end_matches('/');
    if !target.is_empty() && matches!(archive.find(target), Found::Nothing) {
        let mode = fs::metadata(source).with_context(name)?.permissions().mode() & 0o7777;
        archive.add(target, mode, Node::Directory, why)?;
    }
    for entry in fs::read_dir(source).with_context(name)? {
        let path = entry?.path();
        let name = path.file_name().map(Path::new).unwrap_or(Path::new(""));
        add(archive, &path, &format!("{target}/{}", utf8(name)?), why)?;
    }
    Ok(())
}
