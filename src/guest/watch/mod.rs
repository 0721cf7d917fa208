//! The kernel log, written and read, the deadline, and the channel to the host.

pub mod channel;
pub mod deadline;
pub mod kernel_messages;
pub mod logger;
