//! The places that files come from: the image, Kata's extensions, the shares of the host and the disks, and the drivers
//! that it takes to reach them.

extern crate alloc;

pub mod detached;
pub mod disk;
pub mod drivers;
mod firmware;
pub mod lasting;
pub mod share;

use alloc::rc::Rc;
use alloc::vec::Vec;

use rustix::io;
use rustix::mount::MountAttrFlags;

use crate::failure::{Code, Failure};
use crate::guest::modules::config_files::CONFIG;
use crate::guest::modules::tree::{MODULES, ModuleTree, running_release};
use crate::guest::modules::trees::ModuleTrees;
use crate::guest::places::disk::layout::Layout;
use crate::guest::places::disk::verified::VerifiedDisks;
use crate::guest::places::disk::wanted::WantedDisk;
use crate::guest::places::drivers::Drivers;
use crate::guest::system::files::{Directory, File, open_directory};
use crate::request::extension::MOUNT_POINTS;
use crate::request::kernel::KernelWords;
use crate::request::kernel::disk_name::{By, DiskName};
use crate::request::location::{Location, Place};
use crate::request::{DEFAULT_MODULE_DIRS, MOST_TREES, Request};
use crate::text::Shown;

/// The image, the extensions, the shares and the disks. A share or a disk is mounted, and a module tree is opened, when
/// it is first needed, and only once.
pub struct Places<'a> {
    kernel: KernelWords<'a>,
    keep_modules: bool,
    /// The module directories in the image. Only their drivers can be loaded before a share or a disk is mounted.
    image_dirs: heapless::Vec<Location<'a>, MOST_TREES>,
    image_drivers: Option<Drivers<'a>>,
    verified: VerifiedDisks<'a>,
    places: Vec<OpenedPlace<'a>>,
    /// The shares and disks that have a mount point until the hand-off.
    attached: Vec<Place<'a>>,
    trees: Vec<OpenedTrees<'a>>,
}

/// A place, and the directory at which the paths of its locations begin.
type OpenedPlace<'a> = (Place<'a>, Result<Directory, Failure>);
/// Module trees, and the locations that they were opened from.
type OpenedTrees<'a> = (heapless::Vec<Location<'a>, MOST_TREES>, Result<Rc<ModuleTrees>, Failure>);

impl<'a> Places<'a> {
    /// Creates the places of a request. Nothing is mounted or opened yet.
    pub fn new(request: &Request<'a>) -> Self {
        let in_image = request.module_dirs().iter().filter(|location| location.place == Place::Image);
        let mut image_dirs: heapless::Vec<_, _> = in_image.copied().collect();
        if image_dirs.is_empty() {
            image_dirs.extend(DEFAULT_MODULE_DIRS.iter().copied());
        }
        let Request { kernel, keep_modules, .. } = *request;
        let verified = VerifiedDisks::new(request);
        let (places, attached, trees) = (Vec::new(), Vec::new(), Vec::new());
        Self { kernel, keep_modules, image_dirs, image_drivers: None, verified, places, attached, trees }
    }

    /// Opens a regular file. The outer failure is that of the place, the inner error that of the file.
    ///
    /// Failures: [`Code::ShareUnknown`], [`Code::ShareFailed`], those of [`WantedDisk`] and [`VerifiedDisks`], and
    /// those of loading the drivers that the place takes.
    pub fn file(&mut self, location: &Location<'a>) -> Result<io::Result<File>, Failure> {
        self.directory_of(location).map(|directory| directory.regular(location.below()))
    }

    /// The module trees of the running kernel in module directories.
    ///
    /// Failures: as [`Self::file`], [`Code::NoModuleTree`], [`Code::CorruptIndex`], [`Code::ConfigUnreadable`].
    pub fn trees(&mut self, locations: &[Location<'a>]) -> Result<Rc<ModuleTrees>, Failure> {
        if let Some((_, trees)) = self.trees.iter().find(|(known, _)| known == locations) {
            return trees.clone();
        }
        let trees = self.open_trees(locations).map(Rc::new);
        self.trees.push((heapless::Vec::from_slice(locations).unwrap_or_default(), trees.clone()));
        trees
    }

    fn open_trees(&mut self, locations: &[Location<'a>]) -> Result<ModuleTrees, Failure> {
        let mut trees = None;
        for location in locations {
            let modules = self.directory_of(location)?.directory(location.below());
            let mut tree = ModuleTree::open(modules, location, &running_release())?;
            // modprobe.d beside the image's own /lib/modules is one of the directories of the configuration.
            tree.has_own_config = !DEFAULT_MODULE_DIRS.contains(location);
            match &mut trees {
                None => trees = Some(ModuleTrees::of(tree)),
                Some(trees) => trees.add(tree),
            }
        }
        let mut trees = trees.ok_or_else(|| Failure::new(Code::NoModuleTree, MODULES, "no directory is named"))?;
        trees.require_config(&CONFIG)?;
        Ok(trees)
    }

    /// The drivers of the image's module trees.
    ///
    /// Failure: [`Code::CorruptIndex`].
    pub fn drivers(&mut self) -> Result<&mut Drivers<'a>, Failure> {
        self.drivers_and_verified().map(|(drivers, _)| drivers)
    }

    /// The drivers of the image's module trees, and the disks that are verified.
    ///
    /// Failure: [`Code::CorruptIndex`].
    pub fn drivers_and_verified(&mut self) -> Result<(&mut Drivers<'a>, &mut VerifiedDisks<'a>), Failure> {
        let drivers = match self.image_drivers.take() {
            Some(drivers) => drivers,
            None => self.drivers_in(&self.image_dirs.clone())?,
        };
        Ok((self.image_drivers.insert(drivers), &mut self.verified))
    }

    /// The disks that are verified.
    pub const fn verified(&mut self) -> &mut VerifiedDisks<'a> {
        &mut self.verified
    }

    /// The drivers of the module trees in module directories. One directory that has no tree is no failure.
    ///
    /// Failures: as [`Self::trees`].
    pub fn drivers_in(&mut self, locations: &[Location<'a>]) -> Result<Drivers<'a>, Failure> {
        let trees = match self.trees(locations) {
            Ok(trees) => Some(trees),
            Err(failure) if failure.code == Code::NoModuleTree && locations.len() == 1 => {
                log::debug!("{failure}: no drivers are loaded from it");
                None
            }
            Err(failure) => return Err(failure),
        };
        Ok(Drivers::new(trees, self.kernel, self.keep_modules))
    }

    /// The directory of the place of a location. A share or a disk is mounted if it is not mounted yet.
    fn directory_of(&mut self, location: &Location<'a>) -> Result<&Directory, Failure> {
        if self.places.iter().all(|(place, _)| *place != location.place) {
            let directory = match location.place {
                Place::Image => Directory::open("/").map_err(|error| failure(location, error, "/ can't be opened")),
                Place::Extension(name) => open_extension(location, name),
                Place::Share(tag) => self.mount_share(tag),
                Place::Disk(disk) => self.mount_disk(disk),
            };
            self.places.push((location.place, directory));
        }
        let mut places = self.places.iter().filter(|(place, _)| *place == location.place);
        let directory = places.next().map(|(_, directory)| directory.as_ref().map_err(Failure::clone));
        directory.unwrap_or_else(|| Err(failure(location, io::Errno::NOENT, "it was not opened")))
    }

    /// Mounts a share read-only. The agent may mount the same share with other attributes.
    fn mount_share(&mut self, tag: &[u8]) -> Result<Directory, Failure> {
        let drivers = self.drivers()?;
        drivers.purpose = "a share";
        share::VIRTIOFS.mount(drivers, tag, b"", FILES_ONLY).map(Directory::of_mount)
    }

    /// Mounts a disk read-only: its first partition, or the disk itself if it has none.
    fn mount_disk(&mut self, disk: &[u8]) -> Result<Directory, Failure> {
        let (drivers, verified) = self.drivers_and_verified()?;
        drivers.purpose = "a disk";
        let subject = alloc::format!("disk:{}", Shown(disk));
        let wanted = WantedDisk::for_files(&subject, FILES_ONLY);
        let name = DiskName { by: By::Serial, value: disk };
        let found = wanted.wait(&name, drivers)?;
        let path = match verified.path_of(&wanted, &name, &found, drivers)? {
            Some(path) => path,
            None => Layout::of(&found).data,
        };
        wanted.mount(&path, drivers).map(Directory::of_mount)
    }
}

/// The root of an extension that is mounted.
fn open_extension(location: &Location<'_>, name: &[u8]) -> Result<Directory, Failure> {
    let root = open_directory([MOUNT_POINTS.as_bytes(), b"/", name].concat()).map(Directory::of_mount);
    root.map_err(|error| failure(location, error, "the extension's root can't be opened"))
}

/// The failure of a place.
fn failure(location: &Location<'_>, error: io::Errno, reason: &str) -> Failure {
    let code = match location.place {
        Place::Image | Place::Share(_) => Code::ShareFailed,
        Place::Extension(_) | Place::Disk(_) => Code::DiskFailed,
    };
    Failure::from_errno(code, location, error, reason)
}

/// The attributes of a mount that only files are read from.
const FILES_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
