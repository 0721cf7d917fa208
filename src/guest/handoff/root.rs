//! The root: if the VM starts from an initramfs and the command line has `root=`, that root is mounted and takes the
//! place of the initramfs. The files of the initramfs are removed, which frees their memory. If the kernel mounted the
//! root itself, nothing is done.

extern crate alloc;

use alloc::format;
use core::ffi::CStr;
use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, mkdir, open, openat, stat, statat, unlinkat};
use rustix::io;
use rustix::mount::{MountAttrFlags, MoveMountFlags, mount_move, move_mount};
use rustix::process::{chdir, chroot};

use crate::failure::{Code, Failure};
use crate::guest::boot::console;
use crate::guest::boot::mounts::{mount_detached, mount_points};
use crate::guest::places::Places;
use crate::guest::places::drivers::{DISKS, Drivers};
use crate::guest::places::share::{VIRTIOFS, mount};
use crate::guest::system::clock::{now, sleep};
use crate::guest::system::errno::strerror;
use crate::guest::system::files::open_directory;
use crate::guest::system::initramfs::root_is_initramfs;
use crate::guest::watch::deadline::set_activity;
use crate::request::Request;
use crate::request::kernel::root::Root;
use crate::text::Shown;

/// The time that a device may take to appear, and the time between two checks.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);
/// The mount point of the new root until it becomes the root.
const MOUNT_POINT: &CStr = c"/.root";
const ROOT: &CStr = c"/";
/// The signatures of file systems: the offset on the disk, the bytes at that offset, and the file system's type
/// (include/uapi/linux/magic.h, and the headers of each file system).
const SIGNATURES: [(u64, &[u8], &[u8]); 5] = [
    (0x438, b"\x53\xef", b"ext4"),
    (0, b"XFSB", b"xfs"),
    (0x1_0040, b"_BHRfS_M", b"btrfs"),
    (0x400, b"\xe2\xe1\xf5\xe0", b"erofs"),
    (0, b"hsqs", b"squashfs"),
];

/// Switches to the root that the command line names, if it names one and the present root is an initramfs.
///
/// Failures: [`Code::RootUnclear`], [`Code::RootMissing`], [`Code::RootUnknownType`], [`Code::RootFailed`],
/// [`Code::RootUnfit`], those of mounting a share, and those of loading drivers.
pub fn switch_root<'a>(request: &Request<'a>, places: &mut Places<'a>) -> Result<(), Failure> {
    let Some(root) = request.kernel.root.filter(|_| root_is_initramfs()) else { return Ok(()) };
    let mut drivers = places.drivers_in(&request.module_dir)?;
    let new = match root.fs_types {
        Some(VIRTIOFS) => mount(&mut drivers, root.source, root.flags, attributes(&root))?,
        _ => mount_disk(&root, &mut drivers)?,
    };
    become_root(&new).map_err(|(path, error)| {
        let reason = format!("{}: {}", Shown(path.to_bytes()), strerror(error));
        failure(Code::RootUnfit, &root, error, &reason)
    })?;
    // Descriptors 0 to 2 are opened anew, because the kernel opened them in the initramfs, whose files are removed.
    console::open()
}

/// A failure about the root.
fn failure(code: Code, root: &Root<'_>, error: io::Errno, reason: &str) -> Failure {
    Failure::from_errno(code, format!("root={}", Shown(root.source)), error, reason)
}

/// The attributes that the root is mounted with.
fn attributes(root: &Root<'_>) -> MountAttrFlags {
    if root.read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() }
}

/// Makes a detached mount of the disk: waits for it, and tries each of its file system types.
fn mount_disk(root: &Root<'_>, drivers: &mut Drivers<'_>) -> Result<OwnedFd, Failure> {
    if !root.source.starts_with(b"/dev/") {
        let reason = "only /dev/NAME is understood, or a tag with rootfstype=virtiofs";
        return Err(failure(Code::RootUnclear, root, io::Errno::INVAL, reason));
    }
    wait_for_disk(root, drivers)?;
    let fs_types = match root.fs_types {
        Some(fs_types) => fs_types,
        None => recognise(root)?,
    };
    let options = [root.flags, if root.read_only { b",ro" } else { b"" }].concat();
    let (mut known, mut error) = (false, io::Errno::NODEV);
    for fs_type in fs_types.split(|&b| b == b',').filter(|fs_type| !fs_type.is_empty()) {
        if !drivers.load_file_system(fs_type)? {
            continue;
        }
        known = true;
        set_activity(format_args!("mounting root={}", Shown(root.source)));
        match mount_detached(fs_type, root.source, &options, attributes(root)) {
            Ok(root) => return Ok(root),
            Err(other) => error = other,
        }
    }
    Err(match known {
        true => failure(Code::RootFailed, root, error, &format!("it can't be mounted as {}", Shown(fs_types))),
        false => {
            let reason = format!("neither the kernel nor the module tree has {}", Shown(fs_types));
            failure(Code::RootUnknownType, root, error, &reason)
        }
    })
}

/// Waits for the device of the root, and meanwhile loads the drivers of the disks, and of the buses they are on, as
/// they appear.
fn wait_for_disk(root: &Root<'_>, drivers: &mut Drivers<'_>) -> Result<(), Failure> {
    let is_disk = || {
        let file = stat(root.source);
        file.is_ok_and(|file| FileType::from_raw_mode(file.st_mode) == FileType::BlockDevice)
    };
    set_activity(format_args!("waiting for root={}", Shown(root.source)));
    let start = now();
    loop {
        if is_disk() {
            return Ok(());
        }
        drivers.load_for_devices(DISKS)?;
        match () {
            () if is_disk() => return Ok(()),
            () if now().saturating_sub(start) > LIMIT => {
                return Err(failure(Code::RootMissing, root, io::Errno::NODEV, "no such disk within 10 s"));
            }
            () => sleep(PAUSE),
        }
    }
}

/// Recognises the file system on the device by its signature.
fn recognise(root: &Root<'_>) -> Result<&'static [u8], Failure> {
    let unreadable = |error| failure(Code::RootFailed, root, error, "it can't be read");
    let device = open(root.source, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(unreadable)?;
    for (offset, magic, fs_type) in SIGNATURES {
        let mut bytes = [0; 8];
        let length = io::pread(&device, &mut bytes, offset).map_err(unreadable)?;
        if bytes.get(..length).unwrap_or_default().starts_with(magic) {
            return Ok(fs_type);
        }
    }
    let reason = "guest-init does not recognise its file system: name it with rootfstype=";
    Err(failure(Code::RootUnknownType, root, io::Errno::NODEV, reason))
}

/// Makes a mount the root: moves the mounts of [`mount_points`] to it, removes the files of the initramfs, and moves it
/// to `/`. The error names the path that could not be used.
fn become_root(new: &OwnedFd) -> Result<(), (&'static CStr, io::Errno)> {
    let at = |path: &'static CStr| move |error| (path, error);
    match mkdir(MOUNT_POINT, Mode::RWXU) {
        Ok(()) | Err(io::Errno::EXIST) => {}
        Err(error) => return Err((MOUNT_POINT, error)),
    }
    move_mount(new, "", CWD, MOUNT_POINT, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(at(MOUNT_POINT))?;
    for target in mount_points() {
        let below = [MOUNT_POINT, target].map(CStr::to_string_lossy).concat();
        match mkdir(&*below, Mode::from_raw_mode(0o755)) {
            // In a read-only root, the mount is moved if the directory exists.
            Ok(()) | Err(io::Errno::EXIST | io::Errno::ROFS) => {}
            Err(error) => return Err((target, error)),
        }
        mount_move(target, below).map_err(at(target))?;
    }
    let old = open_directory(ROOT).map_err(at(ROOT))?;
    remove_files(&old, fstat(&old).map_err(at(ROOT))?.st_dev);
    chdir(MOUNT_POINT).map_err(at(MOUNT_POINT))?;
    mount_move(c".", ROOT).map_err(at(ROOT))?;
    chroot(c".").and_then(|()| chdir(ROOT)).map_err(at(ROOT))
}

/// Removes all files below a directory that are on the file system `device`. A file that can't be removed stays.
fn remove_files(directory: &OwnedFd, device: u64) {
    let Ok(entries) = Dir::read_from(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let file = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let Some(file) = file.ok().filter(|file| file.st_dev == device && name != c"." && name != c"..") else {
            continue;
        };
        let mut flags = AtFlags::empty();
        if FileType::from_raw_mode(file.st_mode) == FileType::Directory {
            flags = AtFlags::REMOVEDIR;
            let below = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let _ = openat(directory, name, below, Mode::empty()).map(|directory| remove_files(&directory, device));
        }
        let _ = unlinkat(directory, name, flags);
    }
}
