//! Before anything is loaded: mounts, descriptors 0 to 2, the command line, and the kernel's switches.

pub mod command_line;
pub mod console;
pub mod mounts;
pub mod role;
pub mod sysctl;
