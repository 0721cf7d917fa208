//! What several commands need: module lists, the module tree, firmware, decompression.

pub mod decompress;
pub mod firmware;
pub mod lists;
pub mod tree_options;
