//! Arguments and files that several commands read: module lists, the module tree, firmware, compressed files.

pub mod decompress;
pub mod firmware;
pub mod folder;
pub mod lists;
pub mod program;
pub mod tree_options;
