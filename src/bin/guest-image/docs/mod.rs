//! The commands that print documentation: failure codes explained, manual pages, shell completions.

pub mod completions;
pub mod explain;
pub mod man;
