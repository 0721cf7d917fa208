//! /proc/cmdline, to its end: with a bootconfig it is longer than any architecture's command line.

extern crate alloc;

use alloc::boxed::Box;

use crate::failure::{Code, Failure, Report};
use crate::guest::system::files::{head, read_path};
use crate::request::Request;
use crate::request::kernel::KernelWords;

/// The longest command line, in bytes. The kernel's own limit is that of a bootconfig, 32 KiB.
const LONGEST: usize = 1 << 16;

/// Reads it, without the newline that the kernel adds. It stays for as long as the process lives.
///
/// Failure: [`Code::CommandLineUnreadable`].
pub fn read() -> Result<&'static [u8], Failure> {
    let failure = |error| {
        Failure::from_errno(Code::CommandLineUnreadable, "/proc/cmdline", error, "it can't be read, or is over 64 KiB")
    };
    let line: &'static [u8] = read_path(c"/proc/cmdline", LONGEST).map_err(failure)?.leak();
    Ok(line.trim_ascii_end())
}

/// Reads what it asks for. Everything that is wrong with it goes to `report`.
///
/// Failures: those of [`Request::parse`].
pub fn parse<'a>(line: &'a [u8], report: &mut Report<'_>) -> Box<Request<'a>> {
    // On the heap from the start. The kernel would have to bring every page of the stack that a request spans.
    let mut request = Box::write(Box::new_uninit(), Request::new());
    request.read(line, report);
    request
}

/// Reads the kernel's words after a crash: without the heap, and only as far as the buffer reaches.
pub fn kernel_words(buffer: &mut [u8]) -> KernelWords<'_> {
    let (kernel, _) = KernelWords::read(head(c"/proc/cmdline", buffer).trim_ascii_end(), &mut |_| {});
    kernel
}
