//! The kernel command line, read from /proc/cmdline. Its words and values are [`crate::request`]'s.

extern crate alloc;

use alloc::boxed::Box;

use crate::bare::start::MACHINE;
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
    Ok(line.strip_suffix(b"\n").unwrap_or(line))
}

/// Parses this machine's command line into a request. Every mistake in it is added to `report`.
///
/// Failures: [`Code::CommandLineCut`], and those of [`Request::read`].
pub fn parse<'a>(line: &'a [u8], report: &mut Report<'_>) -> Box<Request<'a>> {
    parse_kept(line, MACHINE.longest_command_line(), report)
}

/// Parses the part of a command line that a kernel keeps: at most `longest` bytes (setup_arch in
/// arch/x86/kernel/setup.c, early_init_dt_scan_chosen in drivers/of/fdt.c).
///
/// Failures: those of [`parse`].
pub fn parse_cut<'a>(line: &'a [u8], longest: usize, report: &mut Report<'_>) -> Box<Request<'a>> {
    parse_kept(line.get(..longest).unwrap_or(line), longest, report)
}

fn parse_kept<'a>(line: &'a [u8], longest: usize, report: &mut Report<'_>) -> Box<Request<'a>> {
    // With words of a bootconfig the line is longer than the buffer. Nobody can tell whether the rest of it was cut.
    if line.len() == longest {
        let reason = format_args!(
            "it has {} bytes, as many as this kernel keeps, so words may be missing: put the list into a file and name \
             it with guest_init.modules_file",
            line.len()
        );
        report.add(Failure::new(Code::CommandLineCut, "/proc/cmdline", reason));
    }
    // Made on the heap. On the stack, the kernel would have to map every page that a request spans, though most stay
    // unused.
    let mut request = Box::write(Box::new_uninit(), Request::new());
    request.read(line, report);
    request
}

/// Logs a warning for each argument of the agent that was most likely meant for the kernel or for guest-init.
pub fn warn_of_misplaced(request: &Request<'_>) {
    request.misplaced().for_each(|word| log::warn!("{word}"));
}

/// Reads the words for the kernel, without the heap, for the report of a crash. Words that do not fit into the buffer
/// are missed.
pub fn kernel_words(buffer: &mut [u8]) -> KernelWords<'_> {
    let (kernel, _) = KernelWords::read(read_head(c"/proc/cmdline", buffer).trim_ascii_end(), &mut |_| {});
    kernel
}
