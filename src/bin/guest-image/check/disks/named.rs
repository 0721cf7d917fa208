//! The disks that the kernel command line names, in the order in which PID 1 comes to them.

use guest_init::request::Request;
use guest_init::request::extension::{Extension, SERIAL};
use guest_init::request::keys::Refusal;
use guest_init::request::location::{Location, Place};
use guest_init::request::verity::Verity;
use guest_init::text::Shown;

/// A disk that the kernel command line names.
#[derive(Debug)]
pub struct NamedDisk<'r> {
    /// Its serial number, or its name below /dev.
    pub name: Vec<u8>,
    /// Whether lists or modules are on it.
    pub is_read: bool,
    purpose: Purpose<'r>,
}

/// The purpose for which PID 1 opens a disk.
#[derive(Clone, Copy, Debug)]
enum Purpose<'r> {
    /// One of Kata's extensions.
    Extension(Extension<'r>),
    /// Files. `None`: no word verifies them.
    Files(Option<Verity<'r>>),
}

impl<'r> NamedDisk<'r> {
    /// All disks that a request names, each once.
    pub fn all(request: &Request<'r>) -> Vec<Self> {
        let locations = || request.files.iter().map(|file| &file.location).chain(request.module_dirs());
        let read: Vec<_> = locations().filter_map(name_of).collect();
        let disk = |name: Vec<u8>, purpose| Self { is_read: read.contains(&name), name, purpose };
        let extensions = request.extensions.iter();
        let extensions = extensions.map(|it| disk([SERIAL, it.name].concat(), Purpose::Extension(*it)));
        let verified = request.verity.iter().map(|it| disk(it.disk.to_vec(), Purpose::Files(Some(it.verity))));
        let mut disks: Vec<_> = extensions.chain(verified).collect();
        for name in locations().filter(|location| matches!(location.place, Place::Disk(_))).filter_map(name_of) {
            if disks.iter().all(|disk| disk.name != name) {
                disks.push(disk(name, Purpose::Files(None)));
            }
        }
        disks
    }

    /// The subject of its failures.
    pub fn subject(&self) -> String {
        match &self.purpose {
            Purpose::Extension(extension) => extension.to_string(),
            Purpose::Files(_) => format!("disk:{}", Shown(&self.name)),
        }
    }

    /// The parameters that it is verified by. `None`: it is read as it is.
    ///
    /// Failures: as [`Extension::parameters_for`].
    pub fn parameters_for(&self, has_hash_partition: bool) -> Result<Option<Verity<'r>>, Refusal> {
        match self.purpose {
            Purpose::Extension(extension) => extension.parameters_for(has_hash_partition),
            Purpose::Files(verity) => Ok(verity),
        }
    }
}

/// The name of the disk that a location is on. `None`: it is not on a disk.
pub fn name_of(location: &Location<'_>) -> Option<Vec<u8>> {
    match location.place {
        Place::Disk(name) => Some(name.to_vec()),
        Place::Extension(name) => Some([SERIAL, name].concat()),
        Place::Image | Place::Share(_) => None,
    }
}
