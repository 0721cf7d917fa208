//! The root: if the VM starts from an initramfs without an agent and the command line has `root=`, that root is mounted
//! and takes the place of the initramfs. The files of the initramfs are removed, which frees their memory. If the
//! kernel mounted the root itself, nothing is done.

extern crate alloc;

use alloc::format;
use core::ffi::CStr;

use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, CWD, Dir, FileType, Mode, OFlags, access, fstat, mkdir, openat, statat, unlinkat};
use rustix::io;
use rustix::mount::{MountAttrFlags, MoveMountFlags, mount_move, move_mount};
use rustix::process::{chdir, chroot};

use super::verified_root;
use crate::failure::{Code, Failure};
use crate::guest::boot::console;
use crate::guest::boot::mounts::mount_points;
use crate::guest::places::Places;
use crate::guest::places::disk::verified::VerifiedDisks;
use crate::guest::places::disk::wanted::{WantedDisk, Words};
use crate::guest::places::drivers::Drivers;
use crate::guest::places::share::Protocol;
use crate::guest::system::errno::strerror;
use crate::guest::system::files::open_directory;
use crate::guest::system::initramfs::root_is_initramfs;
use crate::request::kernel::disk_name::DiskName;
use crate::request::kernel::root::Root;
use crate::request::{Request, RootChoice};
use crate::text::Shown;

/// The mount point of the new root until it becomes the root.
const MOUNT_POINT: &CStr = c"/.root";
const ROOT: &CStr = c"/";

/// Switches to the root that the command line names, if the present root is an initramfs that gives way to it.
///
/// Failures: [`Code::RootUnclear`], [`Code::RootMissing`], [`Code::RootAmbiguous`], [`Code::RootUnknownType`],
/// [`Code::RootFailed`], [`Code::RootUnfit`], those of mounting a share, of [`VerifiedDisks`], and of loading drivers.
#[inline]
pub fn switch_root<'a>(request: &Request<'a>, places: &mut Places<'a>) -> Result<(), Failure> {
    match (request.kernel.root, request.root) {
        (None, RootChoice::Auto | RootChoice::Stay) => Ok(()),
        (_, _) => switch_from_initramfs(request, places),
    }
}

/// Switches, or not, in a VM whose command line names a root. Out of line, because most name none.
#[inline(never)]
fn switch_from_initramfs<'a>(request: &Request<'a>, places: &mut Places<'a>) -> Result<(), Failure> {
    let Some(root) = root_to_switch_to(request)? else { return Ok(()) };
    let mut drivers = places.drivers_in(request.module_dirs())?;
    let new = match root.fs_types.and_then(Protocol::of) {
        Some(protocol) if !root.is_verified() => {
            protocol.mount(&mut drivers, root.source, root.flags, attributes(&root))?
        }
        _ => mount_disk(&root, &mut drivers, places.verified())?,
    };
    become_root(&new).map_err(|(path, error)| {
        let reason = format!("{}: {}", Shown(path.to_bytes()), strerror(error));
        Failure::from_errno(Code::RootUnfit, root, error, reason)
    })?;
    // Descriptors 0 to 2 are opened anew, because the kernel opened them in the initramfs, whose files are removed.
    console::open()
}

/// The root that takes the place of the present one. `None`: the present root stays. To the kernel root= means nothing
/// beside an initramfs, and some runtimes write it for every VM.
fn root_to_switch_to<'a>(request: &Request<'a>) -> Result<Option<Root<'a>>, Failure> {
    if !root_is_initramfs() {
        return Ok(None);
    }
    // Without root=, only guest_init.root=switch leads here.
    let root = request.kernel.root.ok_or_else(|| {
        let reason = "the kernel command line has no root= to switch to";
        Failure::new(Code::RootUnclear, "guest_init.root=switch", reason)
    })?;
    let agent = Shown(request.agent);
    let (switches, why) = match request.root {
        RootChoice::Switch => (true, "guest_init.root=switch"),
        RootChoice::Stay => (false, "guest_init.root=stay"),
        RootChoice::Auto if access(request.agent, Access::EXISTS).is_ok() => (false, "the initramfs has the agent"),
        RootChoice::Auto => (true, "the initramfs does not have the agent"),
    };
    match switches {
        true => log::info!("{root}: switching to it: {why}, {agent}"),
        false => log::info!("{root}: ignored: {why}, {agent}"),
    }
    Ok(switches.then_some(root))
}

/// The attributes that the root is mounted with.
fn attributes(root: &Root<'_>) -> MountAttrFlags {
    if root.read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() }
}

/// The words for a root.
const WORDS: Words = Words {
    missing: Code::RootMissing,
    ambiguous: Code::RootAmbiguous,
    unknown_type: Code::RootUnknownType,
    failed: Code::RootFailed,
    if_missing: "rootwait waits longer, and guest_init.root=stay ignores root=",
    if_ambiguous: "name one by root=/dev/NAME",
    if_unknown_type: "guest-init does not recognise its file system: name it with rootfstype=",
};

/// Makes a detached mount of the disk: waits for it, verifies it if it must be, and tries each of its file system
/// types.
fn mount_disk(
    root: &Root<'_>,
    drivers: &mut Drivers<'_>,
    verified: &mut VerifiedDisks<'_>,
) -> Result<OwnedFd, Failure> {
    // A device that verifies is read-only.
    let root = Root { read_only: root.read_only || root.is_verified(), ..*root };
    let options = [root.flags, if root.read_only { b",ro" } else { b"" }].concat();
    let wanted = WantedDisk {
        subject: &root,
        words: &WORDS,
        delay: root.delay,
        patience: root.patience,
        fs_types: root.fs_types,
        replays: true,
        options: &options,
        attributes: attributes(&root),
    };
    if root.is_verified() {
        let path = verified_root::find(&root, &wanted, drivers, verified)?;
        return wanted.mount(&path, drivers);
    }
    let name = disk_name(root.source, &wanted)?;
    let disk = wanted.wait(&name, drivers)?;
    let path = verified.path_of(&wanted, &name, &disk, drivers)?.unwrap_or(disk);
    wanted.mount(&path, drivers)
}

/// Reads the name of a disk.
pub(super) fn disk_name<'n>(name: &'n [u8], wanted: &WantedDisk<'_>) -> Result<DiskName<'n>, Failure> {
    DiskName::parse(name).ok_or_else(|| {
        let reason = "understood are /dev/NAME, PARTUUID=, PARTLABEL=, UUID=, LABEL=, and a tag with \
            rootfstype=virtiofs or 9p; guest_init.root=stay ignores root=";
        wanted.failure(Code::RootUnclear, io::Errno::INVAL, reason)
    })
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
