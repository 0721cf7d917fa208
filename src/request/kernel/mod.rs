//! The kernel's own part of its command line, before ` -- `.

pub mod root;
pub mod words;
