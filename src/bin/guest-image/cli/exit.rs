//! The exit statuses of all commands.

use std::process::{ExitCode, Termination};

/// The end of a help text and manual page, unless the command has its own.
pub const STATUS: &str = "\
Exit status:
  0  success; check: nothing was found that keeps the VM from starting its agent
  1  failure; check: the VM would panic, or --deny-warnings is given and there are warnings
  2  wrong arguments; check: or a file on this host can't be read, so nothing is known about the VM";

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success. Of `check`: nothing was found that keeps the VM from starting its agent. Of `explain`: the failure is
    /// explained, or the log has none.
    Done = 0,
    /// Failure. Of `check`: the VM would panic, or `--deny-warnings` found some. Of `explain`: no failure of guest-init
    /// explains the end of the VM.
    Failed = 1,
    /// Wrong arguments. Of `check`: nothing is known about the VM. Of `explain`: the log can't be read.
    Usage = 2,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
