//! The mission on a real kernel, of which nothing is mocked.
//!
//! A test is a scene: an image, a kernel command line, devices, and assertions about the console, the agent's report,
//! the exit code in the panic's line, or QEMU's events. `scripts/test boot` runs all of them on one kernel and machine.

mod agent;
mod builds;
mod deadline;
mod devices;
mod disk;
mod failures;
mod host_learns;
mod jobs;
mod notify;
mod on_demand;
mod root;
mod share;
#[path = "../support/mod.rs"]
mod support;
mod trees;
