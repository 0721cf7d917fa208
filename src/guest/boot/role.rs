//! The role of this process: init of a VM, init of a container, or a program. Only the init of a VM may change the
//! kernel's settings and panic the kernel.

use rustix::fs::stat;
use rustix::process::{Pid, getpid};

use crate::bare::IS_BARE;
use crate::failure::{Code, Failure};
use crate::guest::boot::mounts;

/// The inode of the first PID namespace, which no container has (PID_NS_INIT_INO in include/uapi/linux/nsfs.h).
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The role of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// PID 1 of a VM.
    Init,
    /// PID 1 of a container, whose kernel belongs to the host.
    ContainerInit,
    /// Any other process.
    Program,
}

impl Role {
    /// Finds the role of this process. As PID 1, mounts /proc if it is not mounted, because /proc shows the PID
    /// namespace. A kernel without PID namespaces does not show one, and has no containers.
    pub fn of_this_process() -> Self {
        if getpid() != Pid::INIT {
            return Self::Program;
        }
        // If /proc can't be mounted, `mount_all` fails as well, and its failure is reported.
        let _ = mounts::mount_proc();
        match stat(c"/proc/self/ns/pid") {
            Ok(namespace) if namespace.st_ino != FIRST_NAMESPACE => Self::ContainerInit,
            _ => Self::Init,
        }
    }
}

/// Refuses to be PID 1 in a build that is not bare: it can't start threads ([`crate::guest::system::thread`]).
///
/// Failure: [`Code::WrongBuild`].
pub fn require_bare() -> Result<(), Failure> {
    let reason = "an ordinary build with std, for tests on a host; scripts/build makes the file for a VM";
    IS_BARE.then_some(()).ok_or_else(|| Failure::new(Code::WrongBuild, "guest-init", reason))
}
