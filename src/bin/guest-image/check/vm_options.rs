//! What lists are checked vm, and where the guest's files are on this host: below --root, in the folders of its
//! shares, or where an option says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use guest_init::failure::Failure;
use guest_init::guest::handoff::lists;
use guest_init::guest::modules::tree::CONFIG;
use guest_init::guest::system::files::{Directory, open_directory};
use guest_init::request::DEFAULT_MODULE_DIR;
use guest_init::request::location::Location;
use rustix::io;

use crate::shared::tree_options::{TreeOptions, utf8};

/// What lists are checked vm, and how that is told. `kata --check` takes the same.
#[derive(Debug, Args)]
pub struct VmOptions {
    /// Where the module tree is.
    #[command(flatten)]
    pub tree: TreeOptions,
    /// A folder of the guest's modprobe.d, beside those of --root
    #[arg(long, value_name = "DIR")]
    pub config: Vec<PathBuf>,
    /// The kernel command line that the VM gets, with guest_init. words and MODULE.PARAMETER=VALUE; its lists come first
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub cmdline: OsString,
    /// As with guest_init.strict=1: parameters that can't be applied are failures
    #[arg(long)]
    pub strict: bool,
    /// A folder that the VM gets as a virtio-fs share, for virtiofs:TAG:/PATH on the command line
    #[arg(long, value_name = "TAG=DIR")]
    pub share: Vec<Share>,
    /// The kernel image (bzImage, arm64 Image, vmlinux): modules must be built for it
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Exit with status 1 for warnings, too
    #[arg(long)]
    pub deny_warnings: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `TAG=DIR`
#[derive(Clone, Debug)]
pub struct Share {
    /// What the guest calls it.
    pub tag: String,
    /// What it shows.
    pub directory: PathBuf,
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (tag, directory) = text.split_once('=').filter(|(tag, _)| !tag.is_empty()).ok_or("it is TAG=DIR")?;
        Ok(Self { tag: tag.into(), directory: directory.into() })
    }
}

/// A folder, opened if that is possible, and its path.
type Folder = (io::Result<Directory>, PathBuf);

impl VmOptions {
    /// The text of a list that a kernel command line names.
    pub fn list(&self, location: &Location<'_>) -> Result<Result<&'static [u8], Failure>> {
        let (folder, _) = self.folder(location).with_context(|| format!("guest_init.modules_file={location}"))?;
        Ok(lists::text(location, folder.and_then(|folder| folder.regular(location.below()))))
    }

    /// The folder of module trees: what an option names, or else what the kernel command line does.
    pub fn module_dir(&self, location: &Location<'_>) -> Result<Folder> {
        let by_default = *location == Location::in_image(DEFAULT_MODULE_DIR) && self.tree.root().is_none();
        if self.tree.named_module_dir().is_some() || by_default {
            let path = self.tree.module_dir();
            return Ok((Directory::open(&path), path));
        }
        let (folder, path) = self.folder(location).with_context(|| format!("guest_init.module_dir={location}"))?;
        let below = str::from_utf8(location.below()).with_context(|| format!("{location}: not UTF-8"))?;
        Ok((folder.and_then(|folder| folder.directory(below)), path.join(below)))
    }

    /// The root that a location's path begins at.
    fn folder(&self, location: &Location<'_>) -> Result<Folder> {
        let Some(tag) = location.tag else {
            let root = self.tree.root().context("a path of the guest's: name its --root")?;
            return Ok((Directory::open(root), root.into()));
        };
        let share = self.share.iter().find(|share| share.tag.as_bytes() == tag);
        let Some(share) = share else { bail!("a share of the host's: name its folder, --share TAG=DIR") };
        Ok((open_directory(&share.directory).map(Directory::of_host), share.directory.clone()))
    }

    /// The folders of modprobe.d, the most important first.
    pub fn config_folders(&self) -> Result<Vec<String>> {
        let of_root = self.tree.root().into_iter().flat_map(|root| CONFIG.map(|path| below(root, path)));
        let folders = self.config.iter().cloned().chain(of_root);
        folders.map(|path| utf8(&path).map(String::from)).collect()
    }
}

/// A whole path of the guest's, on this host.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
