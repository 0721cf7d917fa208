//! Whatever is wrong ends the VM with its code and its reason, in bounded time: one real fault a test, by the stage in
//! which it is found.
//!
//! `docs.rs` of the pure tests fails while a code has no test in this folder or beside it.

mod loading;
mod mounting;
mod planning;
mod reading;
mod starting;

use crate::support::{Console, Image, Vm};

/// Boots an image with more words on the kernel command line. On a virtio-serial port the host must hear the last word
/// that is on the console.
///
/// A fault that keeps guest-init from loading a driver, or from reading the key, is booted without the port, by
/// [`crate::support::scene::boot`].
fn boot(image: Image, words: &str) -> Console {
    Vm::telling(image).append(words).run()
}
