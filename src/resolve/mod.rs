//! Resolving a request: the modules that its names mean, and the files and parameters to load, in order.
//!
//! The input is a request, and the indexes and configuration of a module tree as bytes. The output is a [`plan::Plan`]
//! or [`Failure`](crate::failure::Failure)s. Nothing here makes a system call or allocates. `MODPROBE.md` in this
//! folder states the rules of modprobe that the code follows.

pub mod command;
pub mod der;
pub mod lookup;
pub mod modinfo;
pub mod nearest;
pub mod parameters;
pub mod plan;
pub mod signature;
pub mod tree;
