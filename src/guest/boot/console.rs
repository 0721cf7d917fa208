//! Descriptors 0 to 2, and the wait for a virtio console.
//!
//! An agent needs descriptors 0 to 2 open. If the image has no /dev/console, the kernel starts PID 1 with all three
//! closed (console_on_rootfs in init/main.c). A virtio console exists only some time after its driver is loaded, and a
//! last word that is logged before that does not appear on it.

use core::time::Duration;

use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use rustix::fs::{self, Access, Mode, OFlags};
use rustix::io::fcntl_getfd;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::failure::{Code, Failure};
use crate::guest::system::clock::sleep;
use crate::guest::system::files::read_head;
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

/// Borrows one of descriptors 0 to 2, even if it is closed.
#[expect(unsafe_code, reason = "a number becomes a descriptor")]
const fn standard(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: guest-init never closes one of the three. If one was closed from the start, its use is EBADF.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Opens descriptors 0 to 2 if one of them is closed.
///
/// Failure: [`Code::NoConsole`].
pub fn ensure_open() -> Result<(), Failure> {
    let is_closed = |fd| fcntl_getfd(fd).is_err();
    match [stdin(), stdout(), stderr()].into_iter().any(is_closed) {
        true => open(),
        false => Ok(()),
    }
}

/// Opens /dev/console as descriptors 0 to 2. If the VM has no console, opens /dev/null.
///
/// Failure: [`Code::NoConsole`].
pub fn open() -> Result<(), Failure> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let console = fs::open(c"/dev/console", flags, Mode::empty())
        .or_else(|_| fs::open(c"/dev/null", flags, Mode::empty()))
        .map_err(failure)?;
    dup2_stdin(&console).and_then(|()| dup2_stdout(&console)).and_then(|()| dup2_stderr(&console)).map_err(failure)?;
    if console.as_raw_fd() <= stderr().as_raw_fd() {
        // The open took the lowest free number, which is one of the three, so that the descriptor must stay open.
        let _ = console.into_raw_fd();
    }
    Ok(())
}

/// Whether the command line names a virtio console and no such console exists. Other consoles have the same names,
/// among them the firmware's on ppc64le, and need no driver of virtio.
///
/// The deadline's thread must not call this function, for the reason that [`wait_for_virtio`] has.
pub fn lacks_virtio(kernel: &KernelWords<'_>) -> bool {
    kernel.has_virtio_console && !has_hvc()
}

/// Waits at most 2 s until a virtio console exists, if the command line names one and its driver is loaded.
///
/// The driver and the device agree on a port some time after the driver is loaded. A record that is logged before that
/// does not appear on the console, not even if the console prints the log from its start. The kernel prints the log
/// while the driver does not know the port yet (init_port_console in drivers/char/virtio_console.c).
///
/// The deadline's thread must not call this function. The kernel takes the console lock to list its consoles (c_start
/// in fs/proc/consoles.c), and a thread that hangs may hold that lock.
pub fn wait_for_virtio(kernel: &KernelWords<'_>) {
    const ATTEMPTS: usize = 200;
    const PAUSE: Duration = Duration::from_millis(10);
    // The driver learns of the port a few instructions after the console is listed in /proc/consoles.
    const SETTLE: Duration = Duration::from_millis(50);
    let has_driver = || fs::access(c"/sys/bus/virtio/drivers/virtio_console", Access::EXISTS).is_ok();
    if !kernel.has_virtio_console || !has_driver() {
        return;
    }
    for _ in 0..ATTEMPTS {
        if has_hvc() {
            return sleep(SETTLE);
        }
        sleep(PAUSE);
    }
}

/// Whether the kernel lists a console that has the name of a virtio console.
fn has_hvc() -> bool {
    read_head(c"/proc/consoles", &mut [0; 2048]).windows(3).any(|name| name == b"hvc")
}

fn failure(error: rustix::io::Errno) -> Failure {
    Failure::from_errno(Code::NoConsole, "/dev/console", error, "neither it nor /dev/null can be opened")
}
