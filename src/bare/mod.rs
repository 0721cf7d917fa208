//! What a program stands on where there is no C library and no std: how it is started, its heap, and what the compiler calls
//! to copy memory. With the feature `bare` the program guest-init is such a program; tests are ordinary ones, and test this.

#[cfg(any(feature = "bare", test))]
mod copy;
pub mod heap;
#[cfg(feature = "bare")]
mod start;
