//! Modules: the trees that they are in, their files, and the loader.

pub mod actions;
pub mod config_files;
pub mod devices;
pub mod file;
pub mod findings;
pub mod loader;
pub mod refusal;
pub mod schedule;
pub mod sysfs;
pub mod tree;
pub mod trees;
pub mod unpack;
pub mod usb;
