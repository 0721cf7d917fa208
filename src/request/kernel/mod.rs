//! The kernel's own words of its command line.

pub mod root;
pub mod words;
