//! /proc/cmdline, to its end: with a bootconfig it is longer than any architecture's command line.

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::failure::{Code, Failure, Report};
use crate::guest::system::errno::errno;
use crate::guest::system::files::read_path;
use crate::request::Request;

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

/// What it asks for. All that is wrong with it goes to `report`.
///
/// Failures: those of [`Request::parse`].
pub fn parse<'a>(line: &'a [u8], report: &mut Report<'_>) -> Box<Request<'a>> {
    // Not by way of the stack: each page of it that a frame spans is one that the kernel must bring.
    let mut request = Box::write(Box::new_uninit(), Request::new());
    request.read(line, report);
    request
}
