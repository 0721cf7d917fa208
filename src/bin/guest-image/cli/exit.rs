//! The exit statuses of all commands.

use std::process::{ExitCode, Termination};

/// The end of every help text and manual page.
pub const STATUS: &str = "\
Exit status:
  0  success; check: nothing was found that keeps the VM from starting its agent
  1  failure; check: the VM would panic, or --deny-warnings is given and there are warnings
  2  wrong arguments; check: or a file on this host can't be read, so nothing is known about the VM";

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success. Of `check`: nothing was found that keeps the VM from starting its agent.
    Done = 0,
    /// Failure. Of `check`: the VM would panic, or `--deny-warnings` found some.
    Failed = 1,
    /// Wrong arguments. Of `check`: nothing is known about the VM.
    Usage = 2,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
