//! Mounts: the file systems that guest-init and every agent need, a table and one loop over it; and for shares and
//! roots, mounts that are at no place yet.

use core::ffi::CStr;
use core::fmt::Display;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, mkdir, stat, statfs};
use rustix::io;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, mount,
};

use crate::failure::{Code, Failure};
use crate::text::Shown;

/// One mount.
struct Mount {
    target: &'static CStr,
    kind: &'static CStr,
    flags: MountFlags,
    data: &'static CStr,
    /// What statfs(2) calls the type (linux/magic.h).
    magic: u32,
}

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// In this order: all else is read from /proc, said through /dev.
const TABLE: [Mount; 4] = [
    Mount { target: c"/proc", kind: c"proc", flags: SAFE, data: c"", magic: 0x9fa0 },
    Mount { target: c"/sys", kind: c"sysfs", flags: SAFE, data: c"", magic: 0x6265_6572 },
    // tmpfs and devtmpfs have one magic number; the kernel mounts a devtmpfs itself, but not over an initramfs.
    Mount { target: c"/dev", kind: c"devtmpfs", flags: MountFlags::NOSUID, data: c"mode=0755", magic: 0x0102_1994 },
    Mount {
        target: c"/run",
        kind: c"tmpfs",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=0755",
        magic: 0x0102_1994,
    },
];

/// Where the table's file systems are.
pub fn targets() -> impl Iterator<Item = &'static CStr> {
    TABLE.iter().map(|mount| mount.target)
}

/// Mounts what is not mounted yet, and makes the mount points that are missing.
///
/// Failure: [`Code::MountFailed`].
pub fn mount_all() -> Result<(), Failure> {
    ensure(&TABLE)
}

/// Mounts /proc alone, unless it is mounted.
///
/// Failure: [`Code::MountFailed`].
pub fn mount_proc() -> Result<(), Failure> {
    let [proc, ..] = &TABLE;
    ensure(core::slice::from_ref(proc))
}

fn ensure(table: &[Mount]) -> Result<(), Failure> {
    let failure = |target: &CStr, error, reason: &dyn Display| {
        Failure::from_errno(Code::MountFailed, Shown(target.to_bytes()), error, reason)
    };
    let root = stat(c"/").map_err(|error| failure(c"/", error, &"it can't be looked at"))?.st_dev;
    for mount in table {
        mount.ensure(root).map_err(|error| {
            failure(mount.target, error, &format_args!("can't mount {} there", Shown(mount.kind.to_bytes())))
        })?;
    }
    Ok(())
}

/// A mount of `source` that is at no place yet: its descriptor is the mount. `options` have commas between them.
pub fn attach(kind: &[u8], source: &[u8], options: &[u8], attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", source)?;
    for option in options.split(|&b| b == b',').filter(|option| !option.is_empty()) {
        let mut parts = option.splitn(2, |&b| b == b'=');
        match (parts.next().unwrap_or_default(), parts.next()) {
            (name, Some(value)) => fsconfig_set_string(&context, name, value)?,
            (name, None) => fsconfig_set_flag(&context, name)?,
        }
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

impl Mount {
    fn ensure(&self, root: u64) -> io::Result<()> {
        if self.is_there(root)? {
            return Ok(());
        }
        match mount(self.kind, self.target, self.kind, self.flags, self.data) {
            // Mounted there already: one instance of proc, sysfs or devtmpfs serves the whole system.
            Err(io::Errno::BUSY) => Ok(()),
            result => result,
        }
    }

    /// Whether the target, which is made where it is missing, is a mount of this type: a file system other than the
    /// root's, with the type's number.
    fn is_there(&self, root: u64) -> io::Result<bool> {
        match stat(self.target) {
            Ok(target) => Ok(target.st_dev != root && statfs(self.target)?.f_type as u32 == self.magic),
            Err(io::Errno::NOENT) => match mkdir(self.target, Mode::from_raw_mode(0o755)) {
                // A root that can't be written to must have it; mount says so if not.
                Ok(()) | Err(io::Errno::ROFS) => Ok(false),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}
