//! Whatever is wrong ends the VM with its code and its reason, in bounded time: one real fault a test, by the stage in
//! which it is found.
//!
//! `docs.rs` of the pure tests fails while a code has no test in this folder or beside it.

mod loading;
mod mounting;
mod planning;
mod reading;
mod starting;
