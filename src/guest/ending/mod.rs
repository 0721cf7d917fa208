//! How a VM ends that failed: a crash of guest-init itself, and the last word on any failure.

pub mod crash;
pub mod last_word;
