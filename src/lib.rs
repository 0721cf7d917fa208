//! guest-init: what a VM image needs between the kernel and its agent.
//!
//! The house has three floors, and nothing on a lower one knows the one above:
//!
//! * [`request`]: what this VM was asked for. Bytes of the kernel command line in, a [`request::Request`] out.
//! * [`resolve`]: what that takes. Names in, a [`resolve::plan::Plan`] out, as modprobe would have it.
//! * [`guest`]: doing it. Mounts, finit_module, execve; the only place with system calls, and with a heap.
//!
//! Beside them lies [`bare`]: what a program stands on that has neither a C library nor std, which guest-init is
//! where it is PID 1.
//!
//! Decide first, act second: the whole plan stands before the first module is loaded, so a bad list fails with
//! nothing done. `request` and `resolve` are pure and allocate nothing; that the crate is `no_std` and `alloc` is
//! named in `guest` alone makes the compiler keep it so.
//!
//! Whatever goes wrong is one [`failure::Failure`], which PID 1 reports in one line before it exits with its code,
//! and the kernel panics the VM.

#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

#[cfg(test)]
extern crate std;

pub mod bare;
pub mod elf;
pub mod failure;
pub mod guest;
pub mod request;
pub mod resolve;
pub mod text;

/// What guest-init says to whoever starts it by hand.
pub const ABOUT: &str = concat!(
    "guest-init ",
    env!("CARGO_PKG_VERSION"),
    ": the init of a microVM. As PID 1 it loads the kernel modules that guest_init.modules= on the kernel command line\n\
     asks for, becomes the agent of guest_init.agent=, and panics the VM, with a reason, if any of that fails.\n\
     Choose it with rdinit=/sbin/guest-init or init=/sbin/guest-init. Called as modprobe, it answers as modprobe.\n\
     Started otherwise, it changes nothing."
);
