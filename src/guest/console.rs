//! Descriptors 0 to 2: an agent must find them open, and a kernel without a console node starts PID 1 with none.

extern crate std;

use std::os::fd::{AsRawFd, IntoRawFd};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::fcntl_getfd;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

use super::errno;
use crate::failure::{Code, Failure};

/// Where one of 0 to 2 is closed, opens all three.
///
/// Failure: [`Code::NoConsole`].
pub fn ensure() -> Result<(), Failure> {
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

fn failure(error: rustix::io::Errno) -> Failure {
    Failure::from_errno(Code::NoConsole, "/dev/console", errno(error), "neither it nor /dev/null can be opened")
}
