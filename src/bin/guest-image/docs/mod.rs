//! The commands that print documentation: explanations of failure codes, manual pages, shell completions.

pub mod completions;
pub mod explain;
pub mod man;
