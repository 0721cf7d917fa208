//! guest-init gives the same answers as others: the plans of libkmod, the output of kmod's modprobe, and the names of
//! disks of util-linux.
//!
//! Needs root, libkmod 30, depmod, `as` of binutils, the tools that make file systems, and what scripts/kernel and
//! scripts/kmod fetch. No module is ever loaded.

mod cases;
mod differences;
mod disks;
mod generated;
mod kmod;
mod libkmod;
mod modprobe;
mod plans;
mod trees;

/// The parts of tests/support that need no program of Cargo's.
#[allow(dead_code, reason = "the boot tests use the rest")]
#[path = "../support"]
mod support {
    pub mod disk;
    pub mod kernel;
    pub mod machine;
    pub mod random;
    pub mod scripts;
    pub mod small_tree;

    pub use kernel::Kernel;
    pub use scripts::built;
}
