//! Directories of shares and disks that last beyond the hand-off: module trees with the modprobe.d beside them, if the
//! image has a modprobe, and firmware. Nothing else of a share or of a disk remains.

extern crate alloc;

use alloc::format;
use alloc::string::String;

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{CWD, rmdir, stat};
use rustix::io;
use rustix::mount::{MoveMountFlags, UnmountFlags, mount_bind, move_mount, unmount};

use crate::failure::Failure;
use crate::guest::modules::tree::{MODULES, ModuleTree};
use crate::guest::places::detached::make_directory;
use crate::guest::places::{Places, failure};
use crate::guest::system::errno::strerror;
use crate::guest::system::files::Directory;
use crate::guest::system::initramfs::{has_modprobe, own_modprobe};
use crate::request::location::{Location, Place};

/// The directory for what lasts.
const LASTING: &str = "/run/guest-init";

/// The path at which modprobe finds a module directory after the hand-off. `number` is that of the directory on the
/// command line, which has `count` of them.
pub fn module_dir_of(location: &Location<'_>, number: usize, count: usize) -> String {
    match location.place {
        Place::Image | Place::Extension(_) => format!("{location}"),
        Place::Share(_) | Place::Disk(_) if count == 1 => MODULES.into(),
        Place::Share(_) | Place::Disk(_) => format!("{LASTING}/{number}/modules"),
    }
}

impl<'a> Places<'a> {
    /// Leaves the places to the agent: nothing of a share or of a disk remains, except module directories, if the image
    /// has a modprobe, and firmware.
    ///
    /// Failures: as [`Self::file`].
    pub fn hand_over(&mut self, module_dirs: &[Location<'a>]) -> Result<(), Failure> {
        self.keep_modules_for_modprobe(module_dirs)?;
        for number in 0..self.attached.len() {
            let mount_point = mount_point(number);
            let _ = unmount(&*mount_point, UnmountFlags::DETACH).and_then(|()| rmdir(&*mount_point));
        }
        if !self.attached.is_empty() {
            // It stays if something in it lasts.
            let _ = rmdir(LASTING);
        }
        if self.verified.has_devices() {
            // The mounts end before the devices that they are on. All others end with the execve of the agent.
            self.places.clear();
            self.trees.clear();
            self.verified.hand_over()?;
        }
        Ok(())
    }

    /// Binds the module directories that are not in the image to where modprobe looks for them. Logs which of several
    /// directories modprobe will not see.
    fn keep_modules_for_modprobe(&mut self, locations: &[Location<'a>]) -> Result<(), Failure> {
        let is_in_image = |location: &Location<'_>| location.place == Place::Image;
        if locations.len() == 1 && locations.iter().all(is_in_image) || !has_modprobe() {
            return Ok(());
        }
        for (number, location) in locations.iter().enumerate() {
            let path = module_dir_of(location, number, locations.len());
            let is_own = matches!(location.place, Place::Image | Place::Extension(_));
            // An extension has a mount point of its own. But with one directory alone, every modprobe shall find it.
            if !is_own || !is_in_image(location) && locations.len() == 1 {
                let target = if is_own { MODULES } else { &path };
                self.bind(location, location.below(), target).map_err(|error| {
                    let reason = format!("it can't be bound to {target}: {}", strerror(error));
                    failure(location, error, &reason)
                })?;
            }
            if !is_own && locations.len() > 1 {
                self.keep_config(location, &format!("{LASTING}/{number}/modprobe.d"));
            }
            if locations.len() > 1 && !self.sees(&path) {
                log::info!("{location}: modprobe will not see these modules");
            }
        }
        Ok(())
    }

    /// Binds `modprobe.d` beside a module directory to `target`, where modprobe finds it beside the modules. Most
    /// module directories have none.
    fn keep_config(&mut self, location: &Location<'a>, target: &str) {
        let path = [location.below(), b"/../modprobe.d"].concat();
        match self.bind(location, &path, target) {
            // On a share or a disk, a path to nothing is EXDEV.
            Ok(()) | Err(io::Errno::NOENT | io::Errno::NOTDIR | io::Errno::XDEV) => {}
            Err(error) => log::warn!("{location}: modprobe will not see its modprobe.d: {}", strerror(error)),
        }
    }

    /// Whether modprobe sees one of several module directories at `path`. A modprobe that is not guest-init sees
    /// /lib/modules alone, and a root that the VM was switched to hides the directories of the image.
    fn sees(&self, path: &str) -> bool {
        let here = stat(path).map(|file| (file.st_dev, file.st_ino)).ok();
        let mut trees = self.trees.iter().filter_map(|(_, trees)| trees.as_ref().ok());
        let is_it = |tree: &ModuleTree| tree.modules_identity().is_some_and(|opened| Some(opened) == here);
        trees.any(|trees| trees.trees().any(is_it)) && (path == MODULES || own_modprobe().is_some())
    }

    /// Binds a directory of an extension, a share or a disk to `target`, where it stays after the hand-off. `path` is
    /// relative to the root of the place.
    pub(super) fn bind(&mut self, location: &Location<'a>, path: &[u8], target: &str) -> io::Result<()> {
        let root = self.directory_of(location).map_err(|_| io::Errno::NOENT)?.clone();
        let directory = root.directory(path)?;
        if matches!(location.place, Place::Share(_) | Place::Disk(_)) {
            self.attach(location.place, &root)?;
        }
        make_directories(target)?;
        mount_bind(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()), target)
    }

    /// Gives a share or a disk a mount point until the hand-off, because the kernel does not bind a directory of a
    /// detached mount (do_loopback in fs/namespace.c).
    fn attach(&mut self, place: Place<'a>, root: &Directory) -> io::Result<()> {
        if self.attached.contains(&place) {
            return Ok(());
        }
        let mount_point = mount_point(self.attached.len());
        make_directories(&mount_point)?;
        move_mount(root.as_fd(), "", CWD, &*mount_point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        self.attached.push(place);
        Ok(())
    }
}

/// The mount point of an attached place.
fn mount_point(number: usize) -> String {
    format!("{LASTING}/place-{number}")
}

/// Makes a directory below [`LASTING`], and those above it. Any other directory is made alone.
fn make_directories(path: &str) -> io::Result<()> {
    let below = path.strip_prefix(LASTING).unwrap_or_default();
    for (end, _) in below.match_indices('/') {
        make_directory(path.get(..LASTING.len() + end).unwrap_or(path))?;
    }
    make_directory(path)
}
