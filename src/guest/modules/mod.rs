//! Modules: the tree that they lie in, their files, and loading them.

pub mod actions;
pub mod file;
pub mod findings;
pub mod loader;
pub mod refusal;
pub mod schedule;
pub mod sysfs;
pub mod tree;
pub mod unpack;
