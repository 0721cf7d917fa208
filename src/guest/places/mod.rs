//! The places that files come from: the image, the shares of the host and the disks, and the drivers that it takes to
//! reach them.

extern crate alloc;

pub mod detached;
pub mod disk;
pub mod drivers;
pub mod share;

use alloc::rc::Rc;
use alloc::vec::Vec;

use rustix::io;
use rustix::mount::MountAttrFlags;

use crate::failure::Failure;
use crate::guest::modules::config_files::CONFIG;
use crate::guest::modules::tree::{MODULES, ModuleTree, running_release};
use crate::guest::places::drivers::Drivers;
use crate::guest::system::errno::strerror;
use crate::guest::system::files::{Directory, File};
use crate::guest::system::initramfs::has_modprobe;
use crate::request::Request;
use crate::request::kernel::KernelWords;
use crate::request::location::Location;

/// The image and the shares. A share is mounted, and a module tree is opened, when it is first needed, and only once.
pub struct Places<'a> {
    kernel: KernelWords<'a>,
    keep_modules: bool,
    /// The module directory of the image. Only its drivers can be loaded before a share is mounted.
    image_modules: Location<'a>,
    image_drivers: Option<Drivers<'a>>,
    places: Vec<Place<'a>>,
    trees: Vec<OpenedTree<'a>>,
}

/// The tag of a share, or `None` for the image; and the directory at which the paths of locations begin.
type Place<'a> = (Option<&'a [u8]>, Result<Directory, Failure>);
/// A module tree, and the location that it was opened from.
type OpenedTree<'a> = (Location<'a>, Result<Rc<ModuleTree>, Failure>);

impl<'a> Places<'a> {
    /// Creates the places of a request. Nothing is mounted or opened yet.
    pub fn new(request: &Request<'a>) -> Self {
        let image_modules = match request.module_dir.tag {
            None => request.module_dir,
            Some(_) => Location::in_image(MODULES.as_bytes()),
        };
        let Request { kernel, keep_modules, .. } = *request;
        Self { kernel, keep_modules, image_modules, image_drivers: None, places: Vec::new(), trees: Vec::new() }
    }

    /// Opens a regular file. The outer failure is that of the share, the inner error that of the file.
    ///
    /// Failures: [`Code::ShareUnknown`](crate::failure::Code::ShareUnknown),
    /// [`Code::ShareFailed`](crate::failure::Code::ShareFailed), and those of loading the drivers that the share takes.
    pub fn file(&mut self, location: &Location<'a>) -> Result<io::Result<File>, Failure> {
        self.directory_of(location).map(|directory| directory.regular(location.below()))
    }

    /// The module tree of the running kernel in a module directory.
    ///
    /// Failures: as [`Self::file`], [`Code::NoModuleTree`](crate::failure::Code::NoModuleTree),
    /// [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn tree(&mut self, location: &Location<'a>) -> Result<Rc<ModuleTree>, Failure> {
        if let Some((_, tree)) = self.trees.iter().find(|(known, _)| known == location) {
            return tree.clone();
        }
        let modules = self.directory_of(location)?.directory(location.below());
        let tree = ModuleTree::open_in(modules, location, &running_release(), &CONFIG).map(Rc::new);
        self.trees.push((*location, tree.clone()));
        tree
    }

    /// The drivers of the image's module tree.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn drivers(&mut self) -> Result<&mut Drivers<'a>, Failure> {
        let drivers = match self.image_drivers.take() {
            Some(drivers) => drivers,
            None => self.drivers_in(&self.image_modules.clone())?,
        };
        Ok(self.image_drivers.insert(drivers))
    }

    /// The drivers of the module tree in a module directory.
    ///
    /// Failures: as [`Self::file`], [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn drivers_in(&mut self, location: &Location<'a>) -> Result<Drivers<'a>, Failure> {
        Drivers::new(self.tree(location), self.kernel, self.keep_modules)
    }

    /// Binds a module directory of a share to `/lib/modules`, if the image has a modprobe, because that is where
    /// modprobe looks for modules. If the image has none, nothing of the share remains for the agent.
    ///
    /// Failures: as [`Self::file`].
    pub fn bind_shared_modules(&mut self, location: &Location<'a>) -> Result<(), Failure> {
        if location.tag.is_none() || !has_modprobe() {
            return Ok(());
        }
        let share = self.directory_of(location)?;
        share::bind_to_lib_modules(share, location.below()).map_err(|error| {
            let reason = alloc::format!("it can't be bound to {MODULES}: {}", strerror(error));
            share::failure(location, error, &reason)
        })
    }

    /// The directory of the place of a location. A share is mounted if it is not mounted yet.
    fn directory_of(&mut self, location: &Location<'a>) -> Result<&Directory, Failure> {
        if self.places.iter().all(|(tag, _)| *tag != location.tag) {
            let directory = match location.tag {
                Some(tag) => self.mount(tag),
                None => Directory::open("/").map_err(|error| share::failure(location, error, "/ can't be opened")),
            };
            self.places.push((location.tag, directory));
        }
        let mut places = self.places.iter().filter(|(tag, _)| *tag == location.tag);
        let directory = places.next().map(|(_, directory)| directory.as_ref().map_err(Failure::clone));
        directory.unwrap_or_else(|| Err(share::failure(location, io::Errno::NOENT, "it was not opened")))
    }

    /// Mounts a share read-only. The agent may mount the same share with other attributes.
    fn mount(&mut self, tag: &[u8]) -> Result<Directory, Failure> {
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let drivers = self.drivers()?;
        drivers.purpose = "a share";
        share::VIRTIOFS.mount(drivers, tag, b"", attributes).map(Directory::on_share)
    }
}
