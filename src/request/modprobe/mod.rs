//! How modprobe is called.

pub mod call;
pub mod getopt;
