//! The root: if the VM starts from an initramfs without an agent and the command line has `root=`, that root is mounted
//! and takes the place of the initramfs. The files of the initramfs are removed, which frees their memory. If the
//! kernel mounted the root itself, nothing is done.

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt::Write;
use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, CWD, Dir, FileType, Mode, OFlags, access, fstat, mkdir, openat, statat, unlinkat};
use rustix::io;
use rustix::mount::{MountAttrFlags, MoveMountFlags, mount_move, move_mount};
use rustix::process::{chdir, chroot};

use crate::failure::{Code, Failure};
use crate::guest::boot::console;
use crate::guest::boot::mounts::mount_points;
use crate::guest::places::Places;
use crate::guest::places::detached::mount_detached;
use crate::guest::places::disk::file_system::FileSystem;
use crate::guest::places::disk::{Disks, Fitting, open_disk};
use crate::guest::places::drivers::Drivers;
use crate::guest::places::share::Protocol;
use crate::guest::system::clock::{now, sleep};
use crate::guest::system::errno::strerror;
use crate::guest::system::files::open_directory;
use crate::guest::system::initramfs::root_is_initramfs;
use crate::guest::watch::deadline::set_activity;
use crate::request::kernel::disk_name::{By, DiskName};
use crate::request::kernel::root::Root;
use crate::request::{Request, RootChoice};
use crate::text::Shown;

/// The time between two looks for a disk.
const PAUSE: Duration = Duration::from_millis(10);
/// The mount point of the new root until it becomes the root.
const MOUNT_POINT: &CStr = c"/.root";
const ROOT: &CStr = c"/";
/// Switches to the root that the command line names, if the present root is an initramfs that gives way to it.
///
/// Failures: [`Code::RootUnclear`], [`Code::RootMissing`], [`Code::RootAmbiguous`], [`Code::RootUnknownType`],
/// [`Code::RootFailed`], [`Code::RootUnfit`], those of mounting a share, and those of loading drivers.
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
    let mut drivers = places.drivers_in(&request.module_dir)?;
    let new = match root.fs_types.and_then(Protocol::of) {
        Some(protocol) => protocol.mount(&mut drivers, root.source, root.flags, attributes(&root))?,
        None => mount_disk(&root, &mut drivers)?,
    };
    become_root(&new).map_err(|(path, error)| {
        let reason = format!("{}: {}", Shown(path.to_bytes()), strerror(error));
        failure(Code::RootUnfit, &root, error, &reason)
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
    let (name, agent) = (Shown(root.source), Shown(request.agent));
    let (switches, why) = match request.root {
        RootChoice::Switch => (true, "guest_init.root=switch"),
        RootChoice::Stay => (false, "guest_init.root=stay"),
        RootChoice::Auto if access(request.agent, Access::EXISTS).is_ok() => (false, "the initramfs has the agent"),
        RootChoice::Auto => (true, "the initramfs does not have the agent"),
    };
    match switches {
        true => log::info!("root={name}: switching to it: {why}, {agent}"),
        false => log::info!("root={name}: ignored: {why}, {agent}"),
    }
    Ok(switches.then_some(root))
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
    let Some(name) = DiskName::parse(root.source) else {
        let reason = "understood are /dev/NAME, PARTUUID=, PARTLABEL=, UUID=, LABEL=, and a tag with \
            rootfstype=virtiofs or 9p; guest_init.root=stay ignores root=";
        return Err(failure(Code::RootUnclear, root, io::Errno::INVAL, reason));
    };
    let disk = wait_for_disk(root, &name, drivers)?;
    mount_found(root, &disk, drivers).map_err(|mut failure| {
        let partitions = Disks::list().partitions_of(&disk);
        if !partitions.is_empty() {
            let _ = write!(failure.reason, "; {} has partitions: {partitions}", Shown(&disk));
        }
        failure
    })
}

/// Makes a detached mount of the disk at a path.
fn mount_found(root: &Root<'_>, disk: &[u8], drivers: &mut Drivers<'_>) -> Result<OwnedFd, Failure> {
    let fs_types = match root.fs_types {
        Some(fs_types) => fs_types,
        None => {
            let file_system = open_disk(disk).and_then(FileSystem::on);
            let file_system =
                file_system.map_err(|error| failure(Code::RootFailed, root, error, "it can't be read"))?;
            let reason = "guest-init does not recognise its file system: name it with rootfstype=";
            file_system.ok_or_else(|| failure(Code::RootUnknownType, root, io::Errno::NODEV, reason))?.fs_type
        }
    };
    let options = [root.flags, if root.read_only { b",ro" } else { b"" }].concat();
    let mut last = None;
    for fs_type in fs_types.split(|&b| b == b',').filter(|fs_type| !fs_type.is_empty()) {
        if !drivers.load_file_system(fs_type)? {
            continue;
        }
        set_activity(format_args!("mounting root={}", Shown(root.source)));
        match mount_detached(fs_type, disk, &options, attributes(root)) {
            Ok(root) => return Ok(root),
            Err(refusal) => last = Some(refusal),
        }
    }
    let fs_types = Shown(fs_types);
    Err(match last {
        Some(refusal) => {
            let reason = format!("it can't be mounted as {fs_types}: {refusal}");
            failure(Code::RootFailed, root, refusal.error, &reason)
        }
        None => {
            let reason = format!("neither the kernel nor the module tree has {fs_types}");
            failure(Code::RootUnknownType, root, io::Errno::NODEV, &reason)
        }
    })
}

/// Waits for the disk of the root, and meanwhile loads the drivers of the disks, and of the buses they are on, as they
/// appear. Returns the disk's path.
fn wait_for_disk(root: &Root<'_>, name: &DiskName<'_>, drivers: &mut Drivers<'_>) -> Result<Vec<u8>, Failure> {
    set_activity(format_args!("waiting for root={}", Shown(root.source)));
    sleep(root.delay);
    let start = now();
    let mut disks = Disks::default();
    loop {
        // Taken before the look, so that the drivers that took the last of the time have one more look.
        let waited = now().saturating_sub(start);
        // Only a disk that was not there before can make a difference.
        let present = Disks::list();
        if present != disks || name.by == By::Path {
            disks = present;
            match disks.fitting(name) {
                Fitting::None => {}
                Fitting::One(disk) => return Ok(disk),
                Fitting::Several(fitting) => {
                    let reason = format!("several disks fit: {fitting}; name one by root=/dev/NAME");
                    return Err(failure(Code::RootAmbiguous, root, io::Errno::NOTUNIQ, &reason));
                }
            }
        }
        if let Some(patience) = root.patience
            && waited > patience
        {
            let seconds = patience.as_secs();
            let reason = format!(
                "no such disk within {seconds} s; disks here: {disks}; rootwait waits longer, and \
                 guest_init.root=stay ignores root="
            );
            return Err(failure(Code::RootMissing, root, io::Errno::NODEV, &reason));
        }
        drivers.load_for_disks()?;
        sleep(PAUSE);
    }
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
