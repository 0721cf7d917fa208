//! guest-init gives the same answers as kmod: the plans of libkmod, and the output of modprobe.
//!
//! Needs root, kmod 30, libkmod, `as` of binutils and the kernels of scripts/kernel. No module is ever loaded.

mod cases;
mod libkmod;
mod modprobe;
mod plans;

/// The parts of tests/support that need no program of Cargo's.
#[allow(dead_code, reason = "the boot tests use the rest")]
#[path = "../support"]
mod support {
    pub mod kernel;
    pub mod machine;
    pub mod random;
    pub mod scripts;
    pub mod small_tree;

    pub use kernel::Kernel;
    pub use scripts::built;
}
