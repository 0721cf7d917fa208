//! Mounts: the table of file systems that guest-init and every agent need.

use core::ffi::CStr;
use core::fmt::Display;

use rustix::fs::{Mode, mkdir, stat, statfs};
use rustix::io;
use rustix::mount::{MountFlags, mount};

use crate::failure::{Code, Failure};
use crate::text::Shown;

/// A row of the table: what is mounted where.
struct Mount {
    target: &'static CStr,
    fs_type: &'static CStr,
    flags: MountFlags,
    data: &'static CStr,
    /// The type's number in statfs(2) (include/uapi/linux/magic.h).
    magic: u32,
}

/// The flags for file systems that hold neither programs nor devices.
const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The table, in the order of mounting. /proc is first, because the report of any later failure needs /proc.
const TABLE: [Mount; 4] = [
    Mount { target: c"/proc", fs_type: c"proc", flags: SAFE, data: c"", magic: 0x9fa0 },
    Mount { target: c"/sys", fs_type: c"sysfs", flags: SAFE, data: c"", magic: 0x6265_6572 },
    // The magic number of a devtmpfs is that of tmpfs. The kernel mounts a devtmpfs itself, but not on an initramfs
    // (prepare_namespace in init/do_mounts.c).
    Mount { target: c"/dev", fs_type: c"devtmpfs", flags: MountFlags::NOSUID, data: c"mode=0755", magic: 0x0102_1994 },
    Mount {
        target: c"/run",
        fs_type: c"tmpfs",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=0755",
        magic: 0x0102_1994,
    },
];

/// The mount points of the table.
pub fn mount_points() -> impl Iterator<Item = &'static CStr> {
    TABLE.iter().map(|mount| mount.target)
}

/// Mounts the file systems of the table that are not mounted yet. Mount points that do not exist are made.
///
/// Failure: [`Code::MountFailed`].
pub fn mount_all() -> Result<(), Failure> {
    ensure(&TABLE)
}

/// Mounts /proc if it is not mounted yet.
///
/// Failure: [`Code::MountFailed`].
pub fn mount_proc() -> Result<(), Failure> {
    let [proc, ..] = &TABLE;
    ensure(core::slice::from_ref(proc))
}

/// Mounts those of `table` that are not mounted yet.
fn ensure(table: &[Mount]) -> Result<(), Failure> {
    let failure = |target: &CStr, error, reason: &dyn Display| {
        Failure::from_errno(Code::MountFailed, Shown(target.to_bytes()), error, reason)
    };
    let root = stat(c"/").map_err(|error| failure(c"/", error, &"it can't be read"))?.st_dev;
    for mount in table {
        mount.ensure(root).map_err(|error| {
            failure(mount.target, error, &format_args!("can't mount {} there", Shown(mount.fs_type.to_bytes())))
        })?;
    }
    Ok(())
}

impl Mount {
    /// Mounts the file system if it is not mounted yet. `root` is the device of the root.
    fn ensure(&self, root: u64) -> io::Result<()> {
        if self.is_mounted(root)? {
            return Ok(());
        }
        match mount(self.fs_type, self.target, self.fs_type, self.flags, self.data) {
            // The same instance of proc, sysfs or devtmpfs is mounted there already (do_add_mount in fs/namespace.c).
            Err(io::Errno::BUSY) => Ok(()),
            result => result,
        }
    }

    /// Whether a file system of this type is mounted on the target: the target is on another device than the root, and
    /// has the type's magic number. A target that does not exist is made.
    fn is_mounted(&self, root: u64) -> io::Result<bool> {
        match stat(self.target) {
            Ok(target) => Ok(target.st_dev != root && statfs(self.target)?.f_type as u32 == self.magic),
            Err(io::Errno::NOENT) => match mkdir(self.target, Mode::from_raw_mode(0o755)) {
                // In a read-only root the mount itself then fails with ENOENT.
                Ok(()) | Err(io::Errno::ROFS) => Ok(false),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}
