//! Arguments and files that several commands read, and rules that several commands apply: module lists, modaliases,
//! the module tree, containers, firmware, programs, logs, compressed files, hash trees, output files, what the kernel
//! compares.

pub mod container_root;
pub mod decompress;
pub mod draft;
pub mod firmware;
pub mod folder;
pub mod hash_tree;
pub mod hex;
pub mod kernel_config;
pub mod links;
pub mod lists;
pub mod log_file;
pub mod machine;
pub mod modaliases;
pub mod program;
pub mod source_date_epoch;
pub mod symbol_versions;
pub mod tool;
pub mod tree_options;
pub mod version_magic;
