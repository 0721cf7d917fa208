//! The root that `root=` names, for a VM that starts from an initramfs: mounted, and put in the initramfs' place.
//!
//! Where the kernel mounted the root itself, there is nothing to do. The initramfs is emptied, so that its memory returns.

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

/// How long a device is waited for, and how long between two looks.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);
/// Where the root is until it becomes the root.
const PLACE: &CStr = c"/.root";
const ROOT: &CStr = c"/";
/// File systems by what stands at an offset of the device (their magic numbers in linux/magic.h and their own headers).
const LOOKS: [(u64, &[u8], &[u8]); 5] = [
    (0x438, b"\x53\xef", b"ext4"),
    (0, b"XFSB", b"xfs"),
    (0x1_0040, b"_BHRfS_M", b"btrfs"),
    (0x400, b"\xe2\xe1\xf5\xe0", b"erofs"),
    (0, b"hsqs", b"squashfs"),
];

/// Switches to the root that the command line names, if it names one and the present one is an initramfs.
///
/// Failures: [`Code::RootUnclear`], [`Code::RootMissing`], [`Code::RootUnknownType`], [`Code::RootFailed`],
/// [`Code::RootUnfit`], those of mounting a share, and those of loading drivers.
pub fn switch<'a>(request: &Request<'a>, places: &mut Places<'a>) -> Result<(), Failure> {
    let Some(root) = request.kernel.root.filter(|_| root_is_initramfs()) else { return Ok(()) };
    let mut drivers = places.drivers_in(&request.module_dir)?;
    let new = match root.kinds {
        Some(VIRTIOFS) => mount(&mut drivers, root.source, root.flags, attributes(&root))?,
        _ => mount_disk(&root, &mut drivers)?,
    };
    change_to(&new).map_err(|(path, error)| {
        let reason = format!("{}: {}", Shown(path.to_bytes()), strerror(error));
        failure(Code::RootUnfit, &root, error, &reason)
    })?;
    // Those that the kernel opened in the initramfs have no name any more.
    console::open()
}

fn failure(code: Code, root: &Root<'_>, error: io::Errno, reason: &str) -> Failure {
    Failure::from_errno(code, format!("root={}", Shown(root.source)), error, reason)
}

fn attributes(root: &Root<'_>) -> MountAttrFlags {
    if root.read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() }
}

fn mount_disk(root: &Root<'_>, drivers: &mut Drivers<'_>) -> Result<OwnedFd, Failure> {
    if !root.source.starts_with(b"/dev/") {
        let reason = "it is /dev/NAME, or with rootfstype=virtiofs a tag";
        return Err(failure(Code::RootUnclear, root, io::Errno::INVAL, reason));
    }
    wait_for_disk(root, drivers)?;
    let kinds = match root.kinds {
        Some(kinds) => kinds,
        None => look(root)?,
    };
    let options = [root.flags, if root.read_only { b",ro" } else { b"" }].concat();
    let (mut known, mut error) = (false, io::Errno::NODEV);
    for kind in kinds.split(|&b| b == b',').filter(|kind| !kind.is_empty()) {
        if !drivers.load_file_system(kind)? {
            continue;
        }
        known = true;
        set_activity(format_args!("mounting root={}", Shown(root.source)));
        match mount_detached(kind, root.source, &options, attributes(root)) {
            Ok(root) => return Ok(root),
            Err(other) => error = other,
        }
    }
    Err(match known {
        true => failure(Code::RootFailed, root, error, &format!("it can't be mounted as {}", Shown(kinds))),
        false => {
            let reason = format!("neither the kernel nor the module tree has {}", Shown(kinds));
            failure(Code::RootUnknownType, root, error, &reason)
        }
    })
}

/// Waits for the device, and loads drivers for whatever may lead to it as it comes.
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
                return Err(failure(
                    Code::RootMissing,
                    root,
                    io::Errno::NODEV,
                    "there is no such disk, not within 10 s",
                ));
            }
            () => sleep(PAUSE),
        }
    }
}

/// The file system that the device looks like.
fn look(root: &Root<'_>) -> Result<&'static [u8], Failure> {
    let read = |error| failure(Code::RootFailed, root, error, "it can't be read");
    let device = open(root.source, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(read)?;
    for (offset, magic, kind) in LOOKS {
        let mut bytes = [0; 8];
        let length = io::pread(&device, &mut bytes, offset).map_err(read)?;
        if bytes.get(..length).unwrap_or_default().starts_with(magic) {
            return Ok(kind);
        }
    }
    let reason = "it looks like no file system that guest-init knows: name it with rootfstype=";
    Err(failure(Code::RootUnknownType, root, io::Errno::NODEV, reason))
}

/// Makes a mount the root: what is mounted moves along, and nothing remains of the initramfs. The error has the path
/// that it is about.
fn change_to(new: &OwnedFd) -> Result<(), (&'static CStr, io::Errno)> {
    let at = |path: &'static CStr| move |error| (path, error);
    match mkdir(PLACE, Mode::RWXU) {
        Ok(()) | Err(io::Errno::EXIST) => {}
        Err(error) => return Err((PLACE, error)),
    }
    move_mount(new, "", CWD, PLACE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(at(PLACE))?;
    for target in mount_points() {
        let below = [PLACE, target].map(CStr::to_string_lossy).concat();
        match mkdir(&*below, Mode::from_raw_mode(0o755)) {
            // Where nothing can be made, the move finds out whether it is there.
            Ok(()) | Err(io::Errno::EXIST | io::Errno::ROFS) => {}
            Err(error) => return Err((target, error)),
        }
        mount_move(target, below).map_err(at(target))?;
    }
    let old = open_directory(ROOT).map_err(at(ROOT))?;
    empty(&old, fstat(&old).map_err(at(ROOT))?.st_dev);
    chdir(PLACE).map_err(at(PLACE))?;
    mount_move(c".", ROOT).map_err(at(ROOT))?;
    chroot(c".").and_then(|()| chdir(ROOT)).map_err(at(ROOT))
}

/// Removes what is below a directory and on its own file system. What can't be removed is left.
fn empty(directory: &OwnedFd, device: u64) {
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
            let _ = openat(directory, name, below, Mode::empty()).map(|directory| empty(&directory, device));
        }
        let _ = unlinkat(directory, name, flags);
    }
}
