//! The end of a VM that failed: the report of a crash of guest-init, and the last word on any other failure.

pub mod crash;
pub mod last_word;
