//! The kernel's interface as values and functions: errno, files, clock, threads, system calls.

pub mod clock;
pub mod errno;
pub mod files;
pub mod initramfs;
pub mod invocation;
pub mod syscalls;
pub mod thread;
pub mod vsock;
