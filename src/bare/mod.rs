//! The run-time of guest-init: what a program stands on that has neither a C library nor std.
//!
//! The feature `bare` makes guest-init such a program, and `scripts/build` links it without a C library. Every other
//! build is an ordinary program with std, for tests and for the host's tools. Of the rest of the crate,
//! only the row of the architecture in [`crate::machine`] is used here.
//!
//! * [`start`]: the first instructions of the program and of a thread. One file an architecture holds the assembly.
//! * [`heap`]: the global allocator.
//! * `copy`: memcpy and the other functions that the compiler calls.
//! * [`note`]: the mark of a file that has this run-time.
//!
//! # Why no crate does this
//!
//! * **copy**: compiler_builtins has these functions behind its feature `mem`. The standard library for Linux is built
//!   without that feature, and the crate itself builds with a nightly compiler only (`#![feature]` in its src/lib.rs).
//! * **start**: origin 0.26 unwraps the stack's limit (`initialize_main` in its src/thread/linux_raw.rs), so a program
//!   whose stack is unlimited panics before main. Its getauxval panics on all keys but three (src/getauxval.rs).
//! * **threads**: rustix leaves clone(2) out (src/not_implemented.rs). The module on which origin builds its threads
//!   states that its API is not stable, and its name changes on purpose (src/lib.rs and src/runtime_448b8ad740e2a26f.rs
//!   in rustix 1.1.6).
//! * **heap**: a general allocator keeps lists of what was freed, behind a lock (`lock` in dlmalloc's src/global.rs,
//!   `LockedHeap` in linked_list_allocator's src/lib.rs, `TalcLock` in talc). guest-init frees little before it is
//!   gone, so [`heap`] keeps no list and takes no lock.
//!
//! # What is assumed, and what checks it
//!
//! | assumption | check |
//! | --- | --- |
//! | No code uses thread-local storage: a thread has none. | `scripts/test guest`: the file has no PT_TLS. |
//! | Nothing has to run before `main`. | `scripts/test guest`: no PT_DYNAMIC, no relocation, no constructor of ours. |
//! | Nothing unwinds. | Cargo.toml: the profile `guest` aborts on panics. `_Unwind_Resume` in [`start`] panics. |
//! | `copy` does what the C functions do. | The unit tests of `copy`: every alignment and length up to some words. |
//! | `copy` contains no call of itself. | Every boot: such a call would recur until the stack ends. |
//! | The heap gives no byte to two pieces. | tests/pure/allocator.rs and heap.rs: with threads and AddressSanitizer. |
//! | PID 1 stands on this run-time. | An ordinary build refuses to be PID 1 (tests/boot/builds.rs). |

#[cfg(any(feature = "bare", test))]
mod copy;
pub mod heap;
pub mod note;
pub mod start;

/// Whether this program stands on this run-time alone: it has no C library, no std, and no thread-local storage.
pub const IS_BARE: bool = cfg!(feature = "bare");
