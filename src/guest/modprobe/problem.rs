//! The problems that modprobe has with a name, in modprobe's own words (tools/modprobe.c of kmod 34).

extern crate alloc;

use alloc::string::ToString;

use rustix::io;
use syscalls::Errno;

use crate::failure::{Code, Failure};
use crate::guest::system::errno::strerror;
use crate::resolve::tree::module::Module;

/// A problem with a name.
pub(super) enum Problem<'p> {
    /// The name means no module.
    NotFound { name: &'p [u8], directory: &'p [u8] },
    /// The name is the path of a file, and there is no such file.
    NoFile { name: &'p [u8], error: io::Errno },
    /// With `--first-time`: the module is loaded.
    AlreadyLoaded(Module<'p>),
    /// A module can't be loaded.
    NotInserted(Module<'p>, Failure),
    /// The name can't be looked up.
    NotLookedUp(Failure),
}

impl Problem<'_> {
    /// Passes to `push` the pieces of modprobe's own line. Names stand in it as they are, whatever bytes they have.
    pub(super) fn each_piece(&self, push: &mut dyn FnMut(&[u8])) {
        match self {
            Self::NotFound { name, directory } => {
                [b"Module ", *name, b" not found in directory ", directory].into_iter().for_each(push);
            }
            Self::NoFile { name, error } => {
                let error = strerror(*error).as_bytes();
                [b"Failed to get module from path ", *name, b": ", error].into_iter().for_each(push);
            }
            Self::AlreadyLoaded(module) => not_inserted(module, "Module already in kernel", push),
            Self::NotInserted(module, failure) => not_inserted(module, strerror_of(failure), push),
            Self::NotLookedUp(failure) => push(failure.to_string().as_bytes()),
        }
    }
}

fn not_inserted(module: &Module<'_>, reason: &str, push: &mut dyn FnMut(&[u8])) {
    push(b"could not insert '");
    module.each_byte(&mut |byte| push(&[byte]));
    push(b"': ");
    push(reason.as_bytes());
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
