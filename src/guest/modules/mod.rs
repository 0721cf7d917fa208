//! Modules: the tree that they lie in, their files, and loading them.

pub mod file;
pub mod findings;
pub mod ready;
pub mod refusal;
pub mod schedule;
pub mod sysfs;
pub mod tree;
pub mod unpack;
