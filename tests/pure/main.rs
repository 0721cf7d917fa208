//! The tests that need no kernel: reading, planning, damaged input, unsafe code, and the documentation.

mod allocator;
mod command_line;
mod damaged_indexes;
mod docs;
mod keys;
#[path = "../support/module.rs"]
mod module;
mod plans;
#[path = "../support/random.rs"]
mod random;
mod recipes;
#[path = "../support/small_tree.rs"]
mod small_tree;
mod trees;
mod unsafe_code;
