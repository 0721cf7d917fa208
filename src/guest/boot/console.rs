//! Descriptors 0 to 2: an agent must find them open, and a kernel without a console node starts PID 1 with none. And the
//! console that comes late: a last word must not come before it.

use core::time::Duration;

use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use rustix::fs::{self, Access, Mode, OFlags};
use rustix::io::fcntl_getfd;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::failure::{Code, Failure};
use crate::guest::system::clock::sleep;
use crate::guest::system::files::head;
use crate::request::kernel::KernelWords;

/// Descriptor 0.
pub const fn stdin() -> BorrowedFd<'static> {
    standard(0)
}

/// Descriptor 1.
pub const fn stdout() -> BorrowedFd<'static> {
    standard(1)
}

/// Descriptor 2.
pub const fn stderr() -> BorrowedFd<'static> {
    standard(2)
}

#[expect(unsafe_code, reason = "a number becomes a descriptor")]
const fn standard(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: nothing here ever closes one of the three. Where they were closed from the start, the kernel says so.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Where one of 0 to 2 is closed, opens all three.
///
/// Failure: [`Code::NoConsole`].
pub fn ensure_open() -> Result<(), Failure> {
    let is_closed = |fd| fcntl_getfd(fd).is_err();
    match [stdin(), stdout(), stderr()].into_iter().any(is_closed) {
        true => open(),
        false => Ok(()),
    }
}

/// Makes all three /dev/console, or /dev/null in a VM without a console.
///
/// Failure: [`Code::NoConsole`].
pub fn open() -> Result<(), Failure> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let console = fs::open(c"/dev/console", flags, Mode::empty())
        .or_else(|_| fs::open(c"/dev/null", flags, Mode::empty()))
        .map_err(failure)?;
    dup2_stdin(&console).and_then(|()| dup2_stdout(&console)).and_then(|()| dup2_stderr(&console)).map_err(failure)?;
    if console.as_raw_fd() <= stderr().as_raw_fd() {
        // It took the place of one of the three itself, and stays open as that.
        let _ = console.into_raw_fd();
    }
    Ok(())
}

/// Waits until a virtio console that the command line names is one, at most 2 s, and not at all without its driver. Device
/// and driver agree on a port some time after the driver is loaded. A record before that is lost on it, even where it shows
/// the log from its start: the kernel does that while the driver does not know the port yet (init_port_console in
/// drivers/char/virtio_console.c).
///
/// Not for the deadline's thread: to list its consoles the kernel locks them.
pub fn wait_for_virtio(kernel: &KernelWords<'_>) {
    const LOOKS: usize = 200;
    const BETWEEN: Duration = Duration::from_millis(10);
    // From the list of consoles to the driver's own it is no more than some instructions of a kernel thread.
    const SETTLE: Duration = Duration::from_millis(50);
    let has_driver = || fs::access(c"/sys/bus/virtio/drivers/virtio_console", Access::EXISTS).is_ok();
    if !kernel.has_virtio_console || !has_driver() {
        return;
    }
    let mut buffer = [0; 2048];
    for _ in 0..LOOKS {
        if head(c"/proc/consoles", &mut buffer).windows(3).any(|name| name == b"hvc") {
            return sleep(SETTLE);
        }
        sleep(BETWEEN);
    }
}

fn failure(error: rustix::io::Errno) -> Failure {
    Failure::from_errno(Code::NoConsole, "/dev/console", error, "neither it nor /dev/null can be opened")
}
