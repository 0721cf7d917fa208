//! The kernel log, written and read, and the deadline.

pub mod deadline;
pub mod kernel_messages;
pub mod logger;
