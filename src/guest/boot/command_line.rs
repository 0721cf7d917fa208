//! The kernel command line, read from /proc/cmdline. Its words and values are [`crate::request`]'s.

extern crate alloc;

use alloc::boxed::Box;

use crate::failure::{Code, Failure, Report};
use crate::guest::system::files::{read_head, read_path};
use crate::request::Request;
use crate::request::kernel::KernelWords;

/// The longest command line that is read, in bytes. No architecture has more than 4 KiB, but a bootconfig of up to 32
/// KiB is a part of /proc/cmdline (XBC_DATA_MAX in include/linux/bootconfig.h).
const LONGEST: usize = 1 << 16;

/// Reads the command line, without the newline at its end. The text lives as long as the process.
///
/// Failure: [`Code::CommandLineUnreadable`].
pub fn read() -> Result<&'static [u8], Failure> {
    let failure = |error| {
        Failure::from_errno(Code::CommandLineUnreadable, "/proc/cmdline", error, "it can't be read, or is over 64 KiB")
    };
    let line: &'static [u8] = read_path(c"/proc/cmdline", LONGEST).map_err(failure)?.leak();
    Ok(line.trim_ascii_end())
}

/// Parses the command line into a request. Every mistake in it is added to `report`.
///
/// Failures: those of [`Request::read`].
pub fn parse<'a>(line: &'a [u8], report: &mut Report<'_>) -> Box<Request<'a>> {
    // Made on the heap. On the stack, the kernel would have to map every page that a request spans, though most stay
    // unused.
    let mut request = Box::write(Box::new_uninit(), Request::new());
    request.read(line, report);
    request
}

/// Reads the words for the kernel, without the heap, for the report of a crash. Words that do not fit into the buffer
/// are missed.
pub fn kernel_words(buffer: &mut [u8]) -> KernelWords<'_> {
    let (kernel, _) = KernelWords::read(read_head(c"/proc/cmdline", buffer).trim_ascii_end(), &mut |_| {});
    kernel
}
