//! Where files come from: the image, or a share of the host's, and the drivers that reaching them takes.

extern crate alloc;

pub mod drivers;
pub mod share;

use alloc::rc::Rc;
use alloc::vec::Vec;

use rustix::io;
use rustix::mount::MountAttrFlags;

use crate::failure::Failure;
use crate::guest::modules::tree::{CONFIG, MODULES, ModuleTree, running_release};
use crate::guest::places::drivers::Drivers;
use crate::guest::system::files::{Directory, File};
use crate::guest::system::initramfs::has_modprobe;
use crate::request::Request;
use crate::request::kernel::KernelWords;
use crate::request::location::Location;

/// The image and the shares. A share is mounted, and a module tree opened, when it is first asked for, and once.
pub struct Places<'a> {
    kernel: KernelWords<'a>,
    keep_modules: bool,
    /// The module directory of the image, which has the drivers that a share takes.
    image: Location<'a>,
    image_drivers: Option<Drivers<'a>>,
    /// The directories that locations begin at, by the tag of their share. The image has no tag.
    roots: Vec<Root<'a>>,
    trees: Vec<Tree<'a>>,
}

type Root<'a> = (Option<&'a [u8]>, Result<Directory, Failure>);
type Tree<'a> = (Location<'a>, Result<Rc<ModuleTree>, Failure>);

impl<'a> Places<'a> {
    /// Nothing is mounted or open yet.
    pub fn new(request: &Request<'a>) -> Self {
        let image = match request.module_dir.tag {
            None => request.module_dir,
            Some(_) => Location::in_image(MODULES.as_bytes()),
        };
        let Request { kernel, keep_modules, .. } = *request;
        Self { kernel, keep_modules, image, image_drivers: None, roots: Vec::new(), trees: Vec::new() }
    }

    /// Opens a regular file. The inner error is that of the file itself.
    ///
    /// Failures: [`Code::ShareUnknown`](crate::failure::Code::ShareUnknown),
    /// [`Code::ShareFailed`](crate::failure::Code::ShareFailed), and those of loading the drivers that the share takes.
    pub fn file(&mut self, location: &Location<'a>) -> Result<io::Result<File>, Failure> {
        self.root(location).map(|root| root.regular(location.below()))
    }

    /// The module tree of the running kernel below a directory.
    ///
    /// Failures: as [`Self::file`], [`Code::NoModuleTree`](crate::failure::Code::NoModuleTree),
    /// [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn tree(&mut self, location: &Location<'a>) -> Result<Rc<ModuleTree>, Failure> {
        if let Some((_, tree)) = self.trees.iter().find(|(known, _)| known == location) {
            return tree.clone();
        }
        let modules = self.root(location)?.directory(location.below());
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
            None => self.drivers_in(&self.image.clone())?,
        };
        Ok(self.image_drivers.insert(drivers))
    }

    /// The drivers of the module tree in a directory.
    ///
    /// Failures: as [`Self::file`], [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn drivers_in(&mut self, location: &Location<'a>) -> Result<Drivers<'a>, Failure> {
        Drivers::of(self.tree(location), self.kernel, self.keep_modules)
    }

    /// Binds `/lib/modules` to a module directory that lies on a share, because that is where modprobe looks. Nothing of the
    /// share stays if the image has no modprobe.
    ///
    /// Failures: as [`Self::file`].
    pub fn leave_modules(&mut self, location: &Location<'a>) -> Result<(), Failure> {
        if location.tag.is_none() || !has_modprobe() {
            return Ok(());
        }
        let root = self.root(location)?;
        share::bind(root, location.below()).map_err(|error| {
            let reason = alloc::format!("it can't be bound to {MODULES}");
            share::failed(location, error, &reason)
        })
    }

    /// The directory that a location begins at.
    fn root(&mut self, location: &Location<'a>) -> Result<&Directory, Failure> {
        if self.roots.iter().all(|(tag, _)| *tag != location.tag) {
            let root = match location.tag {
                Some(tag) => self.mount(tag),
                None => Directory::open("/").map_err(|error| share::failed(location, error, "it can't be opened")),
            };
            self.roots.push((location.tag, root));
        }
        let mut roots = self.roots.iter().filter(|(tag, _)| *tag == location.tag);
        let root = roots.next().map(|(_, root)| root.as_ref().map_err(Failure::clone));
        root.unwrap_or_else(|| Err(share::failed(location, io::Errno::NOENT, "it was not opened")))
    }

    fn mount(&mut self, tag: &[u8]) -> Result<Directory, Failure> {
        // Only this mount is read-only. The agent may mount the same share with other attributes.
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        share::mount(self.drivers()?, tag, b"", attributes).map(Directory::of_host)
    }
}
