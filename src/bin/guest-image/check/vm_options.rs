//! The options that describe a VM, and the places of its files on this host: below `--root`, in the folder of a
//! `--share`, or where another option says.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use guest_init::failure::Failure;
use guest_init::guest::handoff::lists;
use guest_init::guest::modules::config_files::{CONFIG, ConfigPath};
use guest_init::guest::places::share::Protocol;
use guest_init::guest::system::files::Directory;
use guest_init::request::DEFAULT_MODULE_DIRS;
use guest_init::request::kernel::root::Root;
use guest_init::request::location::{Location, Place};

use super::disks::{DiskFile, Disks};
use super::kernel_image::KernelImage;
use crate::shared::folder::Folder;
use crate::shared::modaliases::ModaliasOptions;
use crate::shared::tree_options::TreeOptions;

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
    /// first. Its greatest length is that of the machine of --kernel, or of the guest-init in --root, or of this
    /// computer
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub cmdline: OsString,
    /// The VM's devices.
    #[command(flatten)]
    pub devices: ModaliasOptions,
    /// Check as with guest_init.strict=1: a parameter that can't be applied is a failure
    #[arg(long)]
    pub strict: bool,
    /// A folder that the VM gets as a virtio-fs share. virtiofs:TAG:/PATH in --cmdline refers to it
    #[arg(long, value_name = "TAG=DIR")]
    pub share: Vec<Share>,
    /// A file that the VM gets as a disk with the serial number DISK. guest_init.verity=DISK,…,
    /// kata.extension.NAME.verity_params=…, whose DISK is extension-NAME, and disk:DISK:/PATH in --cmdline refer to it.
    /// Each block is verified as the guest would
    #[arg(long, value_name = "DISK=FILE")]
    pub disk: Vec<DiskFile>,
    /// The VM's kernel image: bzImage of x86_64 or s390x, Image of aarch64 or riscv64, vmlinux, or a unified kernel
    /// image, compressed in any format that the kernel has. Modules that were not built for it are failures, and the
    /// signatures of modules are verified with its certificates
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// The kernel image, once it is read. kata checks many lists for one kernel.
    #[arg(skip)]
    kernel_image: OnceCell<KernelImage>,
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

impl VmOptions {
    /// The kernel image, if an option names one. It is read once.
    pub fn kernel_image(&self) -> Result<Option<&KernelImage>> {
        let Some(path) = &self.kernel else { return Ok(None) };
        if self.kernel_image.get().is_none() {
            let _ = self.kernel_image.set(KernelImage::read(path)?);
        }
        Ok(self.kernel_image.get())
    }

    /// Reads the list at a location of the kernel command line.
    ///
    /// The outer error: no option says where the location is on this host. The inner one: the failure of PID 1.
    pub fn list(&self, location: &Location<'_>, disks: &Disks) -> Result<Result<&'static [u8], Failure>> {
        let folder = self.folder(location, disks).with_context(|| format!("guest_init.modules_file={location}"));
        Ok(lists::text(location, folder?.directory.and_then(|folder| folder.regular(location.below()))))
    }

    /// The folders of module trees, each with whether it is an add-on, whose modprobe.d counts as well: those that
    /// options name, of which the first is the image's, or else those that the kernel command line names.
    pub fn module_dirs(&self, locations: &[Location<'_>], disks: &Disks) -> Result<Vec<(Folder, bool)>> {
        if self.tree.names_module_dir() {
            let folders = self.tree.module_dirs().into_iter().enumerate();
            return Ok(folders.map(|(number, folder)| (folder, number > 0)).collect());
        }
        locations.iter().map(|location| self.module_dir(location, disks)).collect()
    }

    /// The folder of module trees at a location.
    fn module_dir(&self, location: &Location<'_>, disks: &Disks) -> Result<(Folder, bool)> {
        if DEFAULT_MODULE_DIRS.contains(location)
            && let Some(folder) = self.tree.module_dirs().pop()
        {
            return Ok((folder, false));
        }
        let folder = self.folder(location, disks).with_context(|| format!("guest_init.module_dir={location}"));
        Ok((folder?.below(OsStr::from_bytes(location.below())), true))
    }

    /// The root folder of a location: that of the image, of a share or of a disk.
    fn folder(&self, location: &Location<'_>, disks: &Disks) -> Result<Folder> {
        let tag = match location.place {
            Place::Image => return self.tree.root().context("a path in the guest: name its root with --root"),
            Place::Extension(_) | Place::Disk(_) => return disks.folder(location),
            Place::Share(tag) => tag,
        };
        let share = self.share.iter().find(|share| share.tag.as_bytes() == tag);
        let Some(share) = share else { bail!("a share: name its folder with --share TAG=DIR") };
        Ok(Folder::of_share(&share.directory))
    }

    /// The share that `root=` names, if an option says where it is on this host. To the agent it is the whole root.
    pub fn shared_root(&self, root: &Root<'_>) -> Option<Folder> {
        let share = self.share.iter().find(|share| share.tag.as_bytes() == root.source);
        root.fs_types.and_then(Protocol::of).and(share).map(|share| Folder::of_guest(&share.directory))
    }

    /// The modprobe.d folders. Of two files with one name, the one in the earlier folder counts.
    pub fn config<'a>(&'a self, root: Option<&'a Directory>) -> Vec<ConfigPath<'a>> {
        let own = self.config.iter().map(|path| self.tree.config(root, path));
        let of_root = CONFIG.iter().filter(|_| root.is_some()).map(|path| ConfigPath { root, path: path.as_bytes() });
        own.chain(of_root).collect()
    }
}
