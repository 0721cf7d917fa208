//! The hand-off: from the extensions and the module lists to the agent.

pub mod agent;
mod devices;
pub mod extensions;
pub mod host;
pub mod lists;
pub mod load_stage;
pub mod root;
mod verified_root;
