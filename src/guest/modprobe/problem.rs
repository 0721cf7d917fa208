//! The problems that modprobe has with a name, in modprobe's own words (tools/modprobe.c of kmod 30).

extern crate alloc;

use alloc::string::String;
use core::fmt;

use syscalls::Errno;

use crate::failure::{Code, Failure};
use crate::guest::system::errno::strerror;
use crate::resolve::tree::module::Module;

/// A problem with a name. It displays as modprobe's own line.
pub(super) enum Problem<'p> {
    /// The name means no module.
    NotFound { name: &'p [u8], directory: &'p str },
    /// With `--first-time`: the module is loaded.
    AlreadyLoaded(Module<'p>),
    /// A module can't be loaded.
    NotInserted(Module<'p>, Failure),
    /// An index can't be read.
    NotLookedUp(Failure),
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { name, directory } => {
                write!(f, "Module {} not found in directory {directory}", String::from_utf8_lossy(name))
            }
            Self::AlreadyLoaded(module) => write!(f, "could not insert '{module}': Module already in kernel"),
            Self::NotInserted(module, failure) => write!(f, "could not insert '{module}': {}", strerror_of(failure)),
            Self::NotLookedUp(failure) => failure.fmt(f),
        }
    }
}

/// The text that modprobe has for the errno of a failure (MODPROBE.md 9.4).
fn strerror_of(failure: &Failure) -> &'static str {
    match failure.errno {
        Errno::ENOENT => "Unknown symbol in module, or unknown parameter (see dmesg)",
        // To modprobe, an install command that fails is EINVAL.
        _ if failure.code == Code::InstallCommand => strerror(Errno::EINVAL),
        errno => strerror(errno),
    }
}
