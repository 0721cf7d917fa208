//! Doing it: finished values in, system calls out. The one place with a heap.

extern crate std;

pub mod agent;
pub mod command_line;
pub mod console;
pub mod crash;
pub mod deadline;
pub mod drivers;
pub mod end;
pub mod explain;
pub mod files;
pub mod invocation;
pub mod kernel_log;
pub mod klog;
pub mod lists;
pub mod load;
pub mod memory;
pub mod modprobe;
pub mod module;
pub mod modules;
pub mod mount;
pub mod root;
mod schedule;
pub mod share;
pub mod sysctl;
pub mod sysfs;
pub mod tree;
pub mod unpack;
pub mod voice;

use nix::errno::Errno;

/// The errno of a rustix call as the type that knows its name.
fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}
