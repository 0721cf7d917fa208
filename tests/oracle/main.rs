//! guest-init gives the same answers as kmod: the plans of libkmod, and the output of modprobe.
//!
//! Needs root, kmod 30, libkmod, `as` of binutils and the kernels of scripts/kernel. No module is ever loaded.

mod cases;
mod libkmod;
mod modprobe;
mod plans;
#[path = "../support/mod.rs"]
mod support;
