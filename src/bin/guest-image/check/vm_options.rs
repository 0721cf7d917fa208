//! The options that describe a VM, and the places of its files on this host: below `--root`, in the folder of a
//! `--share`, or where another option says.

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

/// The options of `check` that describe the VM and the output. `kata --check` takes the same ones.
#[derive(Debug, Args)]
pub struct VmOptions {
    /// The module tree.
    #[command(flatten)]
    pub tree: TreeOptions,
    /// A modprobe.d folder of the guest, in addition to those of --root
    #[arg(long, value_name = "DIR")]
    pub config: Vec<PathBuf>,
    /// The VM's kernel command line. Its guest_init. keys and MODULE.PARAMETER=VALUE words count, and its lists come
    /// first
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub cmdline: OsString,
    /// Check as with guest_init.strict=1: a parameter that can't be applied is a failure
    #[arg(long)]
    pub strict: bool,
    /// A folder that the VM gets as a virtio-fs share. virtiofs:TAG:/PATH in --cmdline refers to it
    #[arg(long, value_name = "TAG=DIR")]
    pub share: Vec<Share>,
    /// The VM's kernel image (bzImage, arm64 Image, vmlinux). Modules that were not built for it are failures
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Exit with status 1 if there are warnings
    #[arg(long)]
    pub deny_warnings: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `TAG=DIR`
#[derive(Clone, Debug)]
pub struct Share {
    /// The share's tag in the guest.
    pub tag: String,
    /// The shared folder.
    pub directory: PathBuf,
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (tag, directory) = text.split_once('=').filter(|(tag, _)| !tag.is_empty()).ok_or("expected TAG=DIR")?;
        Ok(Self { tag: tag.into(), directory: directory.into() })
    }
}

/// An open folder, or the error of opening it, and the folder's path.
type Folder = (io::Result<Directory>, PathBuf);

impl VmOptions {
    /// Reads the list at a location of the kernel command line.
    ///
    /// The outer error: no option says where the location is on this host. The inner one: the failure of PID 1.
    pub fn list(&self, location: &Location<'_>) -> Result<Result<&'static [u8], Failure>> {
        let (folder, _) = self.folder(location).with_context(|| format!("guest_init.modules_file={location}"))?;
        Ok(lists::text(location, folder.and_then(|folder| folder.regular(location.below()))))
    }

    /// The folder of module trees: the one that an option names, or else the one that the kernel command line names.
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

    /// The root folder of a location: that of the image, or that of a share.
    fn folder(&self, location: &Location<'_>) -> Result<Folder> {
        let Some(tag) = location.tag else {
            let root = self.tree.root().context("a path in the guest: name its root with --root")?;
            return Ok((Directory::open(root), root.into()));
        };
        let share = self.share.iter().find(|share| share.tag.as_bytes() == tag);
        let Some(share) = share else { bail!("a share: name its folder with --share TAG=DIR") };
        Ok((open_directory(&share.directory).map(Directory::on_share), share.directory.clone()))
    }

    /// The modprobe.d folders. Of two files with one name, the one in the earlier folder counts.
    pub fn config_folders(&self) -> Result<Vec<String>> {
        let of_root = self.tree.root().into_iter().flat_map(|root| CONFIG.map(|path| below(root, path)));
        let folders = self.config.iter().cloned().chain(of_root);
        folders.map(|path| utf8(&path).map(String::from)).collect()
    }
}

/// An absolute path in the guest, on this host.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
