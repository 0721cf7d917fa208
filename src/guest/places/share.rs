//! Shares: directories of the host that the VM mounts through virtio-fs, or through 9p as its root.
//!
//! A share is a detached mount, which only its descriptor leads to. So no other program sees the share, and it is
//! unmounted when the descriptor is closed, at the latest by the execve of the agent, but for what lasts beyond it
//! ([`crate::guest::places::lasting`]). No path on a share leads out of it ([`crate::guest::system::files`]).

extern crate alloc;

use alloc::format;
use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io;
use rustix::mount::MountAttrFlags;

use crate::failure::{Code, Failure};
use crate::guest::places::detached::mount_detached;
use crate::guest::places::drivers::{Drivers, NINE_P, Pattern};
use crate::guest::system::clock::sleep;
use crate::guest::watch::deadline::set_activity;
use crate::text::Shown;

/// A protocol of shares.
#[derive(Debug)]
pub struct Protocol {
    /// The file system's type, which is also the first word of a share's name in failures.
    fs_type: &'static [u8],
    /// The protocol's own name.
    name: &'static str,
    /// The devices behind its transports that its own drivers are for.
    devices: &'static [Pattern],
    /// The error if no device has a tag, perhaps not yet.
    no_device: io::Errno,
    /// Options that it always takes.
    options: &'static [u8],
}

/// virtio-fs (virtio_fs_get_tree in fs/fuse/virtio_fs.c).
pub const VIRTIOFS: Protocol =
    Protocol { fs_type: b"virtiofs", name: "virtio-fs", devices: &[], no_device: io::Errno::INVAL, options: b"" };
/// 9p over virtio (p9_virtio_create in net/9p/trans_virtio.c).
const PLAN9: Protocol =
    Protocol { fs_type: b"9p", name: "9p", devices: NINE_P, no_device: io::Errno::NOENT, options: b"trans=virtio," };

/// The number of waits for a device after its drivers are loaded, and the time of each: half a second in all.
const RETRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

impl Protocol {
    /// The protocol of a file system type. `None`: the file system is on a disk.
    pub fn of(fs_type: &[u8]) -> Option<&'static Self> {
        [&VIRTIOFS, &PLAN9].into_iter().find(|protocol| protocol.fs_type == fs_type)
    }

    /// Makes a detached mount of the share with this tag, and loads the drivers that it takes.
    ///
    /// Failures: [`Code::ShareUnknown`], [`Code::ShareFailed`], and those of [`Drivers`].
    pub fn mount(
        &self,
        drivers: &mut Drivers<'_>,
        tag: &[u8],
        options: &[u8],
        attributes: MountAttrFlags,
    ) -> Result<OwnedFd, Failure> {
        let fs_type = Shown(self.fs_type);
        let subject = format!("{fs_type}:{}", Shown(tag));
        if !drivers.load_file_system(self.fs_type)? {
            let reason = format!("neither the kernel nor the module tree of the image has {fs_type}");
            return Err(failure(&subject, io::Errno::NODEV, reason));
        }
        let options = [self.options, options].concat();
        for round in 0..=RETRIES {
            set_activity(format_args!("mounting {subject}"));
            match mount_detached(self.fs_type, tag, &options, attributes) {
                Ok(share) => return Ok(share),
                Err(refusal) if refusal.error != self.no_device || !refusal.message.as_str().is_empty() => {
                    return Err(failure(&subject, refusal.error, &refusal));
                }
                Err(_) if round == 0 => drivers.load_behind_transports(self.devices)?,
                Err(_) => sleep(PAUSE),
            }
        }
        Err(Failure::new(Code::ShareUnknown, subject, format!("no {} device of this VM has this tag", self.name)))
    }
}

/// The failure of a share.
fn failure(subject: impl core::fmt::Display, error: io::Errno, reason: impl core::fmt::Display) -> Failure {
    Failure::from_errno(Code::ShareFailed, subject, error, reason)
}
