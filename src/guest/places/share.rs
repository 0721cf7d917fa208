//! Shares of the host's: virtio-fs, mounted for guest-init's own use, and trusted with nothing.
//!
//! A share is mounted read-only and at no place: its descriptor is the mount. So nobody else sees it, and it is gone
//! when the descriptor is closed, at the latest as the agent is executed. Paths on it are resolved beneath it (`files`).

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{CWD, mkdir, rmdir};
use rustix::io;
use rustix::mount::{MountAttrFlags, MoveMountFlags, UnmountFlags, mount_bind, move_mount, unmount};

use crate::failure::{Code, Failure};
use crate::guest::boot::mounts::attach;
use crate::guest::modules::tree::{CONFIG, MODULES, ModuleTree, running_release};
use crate::guest::places::drivers::{Drivers, TRANSPORTS};
use crate::guest::system::clock::sleep;
use crate::guest::system::errno::{errno, strerror};
use crate::guest::system::files::{Directory, File};
use crate::guest::system::initramfs::has_modprobe;
use crate::guest::watch::deadline::note;
use crate::request::Request;
use crate::request::location::Location;
use crate::text::Shown;

/// The file system.
pub const VIRTIOFS: &[u8] = b"virtiofs";
/// How often, and how long each time, a device is waited for when its drivers are there.
const RETRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// All places that files come from: the image, and the shares, each mounted when it is first asked for.
pub struct Shares<'a> {
    command_line: &'a [u8],
    keep_modules: bool,
    /// The module tree of the image, for what a share takes.
    image: Location<'a>,
    drivers: Option<Drivers<'a>>,
    /// Roots by their tags; the image's has none.
    roots: Vec<Root<'a>>,
}

type Root<'a> = (Option<&'a [u8]>, Result<Directory, Failure>);

impl<'a> Shares<'a> {
    /// Nothing mounted yet.
    pub fn new(request: &Request<'a>) -> Self {
        let image = match request.module_dir.tag {
            None => request.module_dir,
            Some(_) => Location::in_image(MODULES.as_bytes()),
        };
        let Request { command_line, keep_modules, .. } = *request;
        Self { command_line, keep_modules, image, drivers: None, roots: Vec::new() }
    }

    /// Opens a regular file; the inner error is that of the file itself.
    ///
    /// Failures: [`Code::ShareUnknown`], [`Code::ShareFailed`], and those of loading what the share takes.
    pub fn file(&mut self, location: &Location<'a>) -> Result<io::Result<File>, Failure> {
        self.root(location).map(|root| root.regular(location.below()))
    }

    /// Opens this kernel's module tree below a directory.
    ///
    /// Failures: as above, [`Code::NoModuleTree`], [`Code::CorruptIndex`].
    pub fn tree(&mut self, location: &Location<'a>) -> Result<ModuleTree, Failure> {
        let modules = self.root(location)?.directory(location.below());
        ModuleTree::open_in(modules, location, &running_release(), &CONFIG)
    }

    /// Leaves modules that come from a share to those who load them on demand: `/lib/modules`, where they look, is bound
    /// to the directory. Where there is no modprobe, nothing of the share stays.
    ///
    /// Failures: as [`Self::file`].
    pub fn leave_modules(&mut self, location: &Location<'a>) -> Result<(), Failure> {
        if location.tag.is_none() || !has_modprobe() {
            return Ok(());
        }
        let root = self.root(location)?;
        bind(root, location.below()).map_err(|error| {
            let reason = format!("it can't be bound to {MODULES}");
            Failure::from_errno(Code::ShareFailed, location, errno(error), reason)
        })
    }

    fn root(&mut self, location: &Location<'a>) -> Result<&Directory, Failure> {
        if self.roots.iter().all(|(tag, _)| *tag != location.tag) {
            let root = match location.tag {
                Some(tag) => self.mount(tag),
                None => Directory::open("/").map_err(|error| failed(location, error, "it can't be opened")),
            };
            self.roots.push((location.tag, root));
        }
        let mut roots = self.roots.iter().filter(|(tag, _)| *tag == location.tag);
        let root = roots.next().map(|(_, root)| root.as_ref().map_err(Failure::clone));
        root.unwrap_or_else(|| Err(failed(location, io::Errno::NOENT, "it was not opened")))
    }

    fn mount(&mut self, tag: &[u8]) -> Result<Directory, Failure> {
        // Only this mount is read-only, not what it shows: the agent may mount that otherwise.
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        mount(self.drivers()?, tag, b"", attributes).map(Directory::of_host)
    }

    fn drivers(&mut self) -> Result<&mut Drivers<'a>, Failure> {
        let drivers = match self.drivers.take() {
            Some(drivers) => drivers,
            None => Drivers::of(self.tree(&self.image.clone()), self.command_line, self.keep_modules)?,
        };
        Ok(self.drivers.insert(drivers))
    }
}

/// Mounts a share, at no place yet, after loading what that takes.
///
/// Failures: [`Code::ShareUnknown`], [`Code::ShareFailed`], and those of [`Drivers`].
pub fn mount(
    drivers: &mut Drivers<'_>,
    tag: &[u8],
    options: &[u8],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Failure> {
    let subject = format!("virtiofs:{}", Shown(tag));
    if !drivers.file_system(VIRTIOFS)? {
        let reason = "neither the kernel nor the module tree of the image has virtiofs";
        return Err(failed(&subject, io::Errno::NODEV, reason));
    }
    for round in 0..=RETRIES {
        note(format_args!("mounting {subject}"));
        match attach(VIRTIOFS, tag, options, attributes) {
            // No device has this tag, or none has it yet.
            Err(io::Errno::INVAL) if round == 0 => drivers.devices(TRANSPORTS)?,
            Err(io::Errno::INVAL) => sleep(PAUSE),
            result => return result.map_err(|error| failed(&subject, error, strerror(errno(error)))),
        }
    }
    Err(Failure::new(Code::ShareUnknown, subject, "no virtio-fs device of this VM has this tag"))
}

fn failed(subject: impl core::fmt::Display, error: io::Errno, reason: &str) -> Failure {
    Failure::from_errno(Code::ShareFailed, subject, errno(error), reason)
}

/// Binds a directory of a share to /lib/modules. Only what is mounted somewhere can be bound: the share is, meanwhile.
fn bind(root: &Directory, path: &[u8]) -> io::Result<()> {
    const PLACE: &str = "/run/guest-init";
    let directory = root.directory(path)?;
    for directory in [PLACE, MODULES] {
        match mkdir(directory, 0o755.into()) {
            Ok(()) | Err(io::Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    move_mount(root.as_fd(), "", CWD, PLACE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    mount_bind(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()), MODULES)?;
    unmount(PLACE, UnmountFlags::DETACH)?;
    rmdir(PLACE)
}
