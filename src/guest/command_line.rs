//! /proc/cmdline, to its end: with a bootconfig it is longer than any architecture's command line.

extern crate std;

use std::vec::Vec;

use super::errno;
use super::files::read_path;
use crate::failure::{Code, Failure};

/// The longest command line, in bytes; the kernel's own limit is 32 KiB of bootconfig.
const LONGEST: usize = 1 << 16;

/// Reads it, without the newline that the kernel adds.
///
/// Failure: [`Code::CommandLineUnreadable`].
pub fn read() -> Result<Vec<u8>, Failure> {
    let failure = |error| {
        Failure::from_errno(
            Code::CommandLineUnreadable,
            "/proc/cmdline",
            errno(error),
            "it can't be read, or is over 64 KiB",
        )
    };
    let mut line = read_path(c"/proc/cmdline", LONGEST).map_err(failure)?;
    let length = line.trim_ascii_end().len();
    line.truncate(length);
    Ok(line)
}
