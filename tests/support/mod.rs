//! The parts of a boot test: an image from guest-image, a VM from scripts/vm, its console and the agent's report.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod container;
pub mod cost;
pub mod daemon;
pub mod disk;
pub mod folder;
pub mod image;
pub mod kernel;
pub mod listener;
pub mod machine;
pub mod message;
pub mod module;
pub mod program;
pub mod qmp;
pub mod random;
pub mod scene;
pub mod scripts;
pub mod signature;
pub mod small_tree;
pub mod verified;
pub mod vm;

pub use image::Image;
pub use kernel::Kernel;
pub use machine::Machine;
pub use scripts::{built, root, script};
pub use vm::{Console, Vm};
