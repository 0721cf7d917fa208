//! The hand-off: from the module lists to the agent.

pub mod agent;
pub mod lists;
pub mod load_stage;
pub mod root;
