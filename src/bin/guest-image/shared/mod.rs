//! What several commands need: module lists, the module tree, firmware.

pub mod firmware;
pub mod lists;
pub mod tree_options;
