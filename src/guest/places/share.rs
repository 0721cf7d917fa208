//! Shares of the host's: virtio-fs, mounted for guest-init's own use, and trusted with nothing.
//!
//! A share is mounted read-only and at no place: its descriptor is the mount. So no other program sees it, and it is gone
//! when the descriptor is closed, at the latest by the execve of the agent. Paths on it are resolved beneath it
//! ([`crate::guest::system::files`]).

extern crate alloc;

use alloc::format;
use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{CWD, mkdir, rmdir};
use rustix::io;
use rustix::mount::{MountAttrFlags, MoveMountFlags, UnmountFlags, mount_bind, move_mount, unmount};

use crate::failure::{Code, Failure};
use crate::guest::boot::mounts::attach;
use crate::guest::modules::tree::MODULES;
use crate::guest::places::drivers::{Drivers, TRANSPORTS};
use crate::guest::system::clock::sleep;
use crate::guest::system::errno::strerror;
use crate::guest::system::files::Directory;
use crate::guest::watch::deadline::note;
use crate::text::Shown;

/// The file system's type.
pub const VIRTIOFS: &[u8] = b"virtiofs";
/// How often, and how long each time, a device is waited for after its drivers are loaded: half a second in all.
const RETRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Loads the drivers that a share takes, and mounts it at no place.
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
            result => return result.map_err(|error| failed(&subject, error, strerror(error))),
        }
    }
    Err(Failure::new(Code::ShareUnknown, subject, "no virtio-fs device of this VM has this tag"))
}

pub(super) fn failed(subject: impl core::fmt::Display, error: io::Errno, reason: &str) -> Failure {
    Failure::from_errno(Code::ShareFailed, subject, error, reason)
}

/// Binds a directory of a share to /lib/modules. Only what is mounted somewhere can be bound: the share is, meanwhile.
pub(super) fn bind(root: &Directory, path: &[u8]) -> io::Result<()> {
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
