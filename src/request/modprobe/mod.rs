//! guest-init called as modprobe: what a call asks for.

pub mod call;
pub mod getopt;
