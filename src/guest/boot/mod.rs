//! The first steps of PID 1: mounts, descriptors 0 to 2, the command line, and the kernel's settings.

pub mod command_line;
pub mod console;
pub mod mounts;
pub mod role;
pub mod sysctl;
