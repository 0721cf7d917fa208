//! Shares: directories of the host that the VM mounts through virtio-fs.
//!
//! A share is a detached mount, which only its descriptor leads to. So no other program sees the share, and it is
//! unmounted when the descriptor is closed, at the latest by the execve of the agent. No path on a share leads out of
//! it ([`crate::guest::system::files`]).

extern crate alloc;

use alloc::format;
use core::time::Duration;

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, mkdir, rmdir};
use rustix::io;
use rustix::mount::{MountAttrFlags, MoveMountFlags, UnmountFlags, mount_bind, move_mount, unmount};

use crate::failure::{Code, Failure};
use crate::guest::boot::mounts::mount_detached;
use crate::guest::modules::tree::MODULES;
use crate::guest::places::drivers::{Drivers, TRANSPORTS};
use crate::guest::system::clock::sleep;
use crate::guest::system::errno::strerror;
use crate::guest::system::files::Directory;
use crate::guest::watch::deadline::set_activity;
use crate::text::Shown;

/// The file system's type.
pub const VIRTIOFS: &[u8] = b"virtiofs";
/// The number of waits for a device after its drivers are loaded, and the time of each: half a second in all.
const RETRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Makes a detached mount of the share with this tag, and loads the drivers that it takes.
///
/// Failures: [`Code::ShareUnknown`], [`Code::ShareFailed`], and those of [`Drivers`].
pub fn mount(
    drivers: &mut Drivers<'_>,
    tag: &[u8],
    options: &[u8],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Failure> {
    let subject = format!("virtiofs:{}", Shown(tag));
    if !drivers.load_file_system(VIRTIOFS)? {
        let reason = "neither the kernel nor the module tree of the image has virtiofs";
        return Err(failure(&subject, io::Errno::NODEV, reason));
    }
    for round in 0..=RETRIES {
        set_activity(format_args!("mounting {subject}"));
        match mount_detached(VIRTIOFS, tag, options, attributes) {
            // No device has this tag, perhaps not yet (virtio_fs_get_tree in fs/fuse/virtio_fs.c).
            Err(io::Errno::INVAL) if round == 0 => drivers.load_for_devices(TRANSPORTS)?,
            Err(io::Errno::INVAL) => sleep(PAUSE),
            result => return result.map_err(|error| failure(&subject, error, strerror(error))),
        }
    }
    Err(Failure::new(Code::ShareUnknown, subject, "no virtio-fs device of this VM has this tag"))
}

/// The failure of a share.
pub(super) fn failure(subject: impl core::fmt::Display, error: io::Errno, reason: &str) -> Failure {
    Failure::from_errno(Code::ShareFailed, subject, error, reason)
}

/// Binds a directory of a share to /lib/modules. The share is mounted at a mount point meanwhile, because the kernel
/// does not bind a directory of a detached mount (do_loopback in fs/namespace.c).
pub(super) fn bind_to_lib_modules(share: &Directory, path: &[u8]) -> io::Result<()> {
    const MOUNT_POINT: &str = "/run/guest-init";
    let directory = share.directory(path)?;
    for directory in [MOUNT_POINT, MODULES] {
        match mkdir(directory, 0o755.into()) {
            Ok(()) | Err(io::Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    move_mount(share.as_fd(), "", CWD, MOUNT_POINT, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    mount_bind(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()), MODULES)?;
    unmount(MOUNT_POINT, UnmountFlags::DETACH)?;
    rmdir(MOUNT_POINT)
}
