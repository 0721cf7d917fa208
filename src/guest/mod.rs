//! Doing it: finished values in, system calls out. This is the one room with a heap.
//!
//! Seven rooms on five floors. A room uses its own floor's files and those of the floors below it, never one above.
//!
//! | floor | room | what it does |
//! | --- | --- | --- |
//! | 1 | [`system`] | wraps the kernel's interface: errno, files, clock, threads, system calls |
//! | 2 | [`watch`] | writes and reads the kernel log, and watches the deadline |
//! | 2 | [`boot`] | prepares PID 1: mounts, console, command line, sysctl |
//! | 3 | [`modules`] | opens a module tree, and loads the modules of a plan |
//! | 4 | [`places`] | opens files in the image or on a share, with the drivers that reaching them takes |
//! | 4 | [`modprobe`] | answers as modprobe |
//! | 5 | [`handoff`] | goes from the lists to the agent |
//! | 5 | [`ending`] | ends a VM that failed |

pub mod boot;
pub mod ending;
pub mod handoff;
pub mod modprobe;
pub mod modules;
pub mod places;
pub mod system;
pub mod watch;
