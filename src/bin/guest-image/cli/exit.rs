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
    /// explained, or the log has none. Of `listen`: the agent was started.
    Done,
    /// Failure. Of `check`: the VM would panic, or `--deny-warnings` found some. Of `explain`: no failure of guest-init
    /// explains the end of the VM. Of `listen`: nothing will be heard.
    Failed,
    /// Wrong arguments. Of `check`: nothing is known about the VM. Of `explain`: the log can't be read.
    Usage,
    /// Of `listen`: guest-init failed with this code.
    Guest(u8),
    /// Of `listen`: the time limit passed. timeout(1) has the same status.
    TimedOut,
    /// Of `listen`: the command can't be executed. A shell has the same status.
    NotExecutable,
    /// Of `listen`: the command does not exist. A shell has the same status.
    NotFound,
    /// Of `listen`: this signal ended it. A shell reports the same status.
    Signal(u8),
}

impl Exit {
    /// The number that the shell gets.
    pub const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Guest(code) => code,
            Self::TimedOut => 124,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.status())
    }
}
