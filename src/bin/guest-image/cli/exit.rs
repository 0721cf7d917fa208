//! How a command ends: the one place that knows the exit statuses.

use std::process::{ExitCode, Termination};

/// What every help text says of the exit status.
pub const STATUS: &str = "\
Exit status:
  0  done; check: the VM would reach its agent
  1  it could not be done; check: the VM would fail, or with --deny-warnings there are warnings
  2  wrong arguments; check: also, what it is given can't be read, so nothing is known of the VM";

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is done; to what was asked, the answer is yes.
    Done = 0,
    /// It could not be done; the answer is no.
    Failed = 1,
    /// It was asked for in a wrong way.
    Usage = 2,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
