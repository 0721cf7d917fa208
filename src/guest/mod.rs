//! Acting on a request: system calls, with values that are finished. This is the only part of the crate that has a
//! heap.
//!
//! Eight rooms on five floors. A room uses the files of its own floor and of the floors below it, never of one above.
//!
//! | floor | room | what it does |
//! | --- | --- | --- |
//! | 1 | [`system`] | wraps the kernel's interface: errno, files, clock, threads, system calls |
//! | 2 | [`watch`] | writes and reads the kernel log, and watches the deadline |
//! | 2 | [`boot`] | prepares PID 1: role, mounts, console, command line, kernel settings |
//! | 3 | [`modules`] | opens module trees, and loads the modules of a plan |
//! | 4 | [`places`] | opens files in the image, on a share or on a disk, and loads the drivers that this takes |
//! | 4 | [`modprobe`] | is modprobe, if guest-init is started by that name |
//! | 5 | [`handoff`] | goes from the extensions and the lists to the agent |
//! | 5 | [`ending`] | ends a VM that failed |

pub mod boot;
pub mod ending;
pub mod handoff;
pub mod modprobe;
pub mod modules;
pub mod places;
pub mod system;
pub mod watch;
