//! What a request takes: names to modules, modules to the files and parameters that load them, in order.
//!
//! Pure: borrowed index files and configuration in, a [`plan::Plan`] or [`Failure`](crate::failure::Failure)s out.

pub mod lookup;
pub mod modinfo;
pub mod nearest;
pub mod parameters;
pub mod plan;
pub mod tree;
