//! Failures: one type, which displays as one line and has one code.
//!
//! How the line reaches the kernel log is [`crate::guest::watch::logger`]'s.

mod code;
mod report;

use core::fmt;

use syscalls::Errno;

use crate::text::Text;

pub use code::{Code, Stage};
pub use report::Report;

/// A failure of the mission: a code, a subject, an errno and a reason. It displays as one line, `load nvidia: ENOEXEC:
/// built for 6.1.0-55-amd64, this kernel is 6.1.0-56-amd64`. The line has at most 900 bytes, because a record of
/// /dev/kmsg has at most 976 ([`crate::guest::watch::logger::Line`]).
///
/// ```
/// use guest_init::failure::{Code, Failure};
///
/// let failure = Failure::new(Code::UnknownModule, "e1001e", "nearest: e1000e");
/// assert_eq!(failure.to_string(), "plan e1001e: ENOENT: nearest: e1000e");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of the failure.
    pub code: Code,
    /// The thing that failed: a path, a key, a module.
    pub subject: Text<320>,
    /// The error of the system call. If none failed, the error that a system call would return in such a case.
    pub errno: Errno,
    /// The reason, for a reader who has only this line.
    pub reason: Text<512>,
}

impl Failure {
    /// Creates a failure without a failed system call. The errno is that of the code.
    pub fn new(code: Code, subject: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::from_errno(code, subject, code.errno(), reason)
    }

    /// Creates a failure of a system call.
    pub fn from_errno(
        code: Code,
        subject: impl fmt::Display,
        errno: impl IntoErrno,
        reason: impl fmt::Display,
    ) -> Self {
        Self::of(code, &subject, errno.into_errno(), &reason)
    }

    /// Out of line, because failures are made in many places.
    #[inline(never)]
    fn of(code: Code, subject: &dyn fmt::Display, errno: Errno, reason: &dyn fmt::Display) -> Self {
        Self { code, subject: Text::of(subject), errno, reason: Text::of(reason) }
    }
}

/// Errors that are an errno. [`Errno`] has the name of each number; rustix, which makes most system calls, has only the
/// number.
pub trait IntoErrno {
    /// The errno of the error.
    fn into_errno(self) -> Errno;
}

impl IntoErrno for Errno {
    fn into_errno(self) -> Errno {
        self
    }
}

impl IntoErrno for rustix::io::Errno {
    fn into_errno(self) -> Errno {
        Errno::new(self.raw_os_error())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {:?}: {}", self.code.stage(), self.subject, self.errno, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::new(Code::OtherKernel, "nvidia", "built for A, this kernel is B");
        assert_eq!(failure.to_string(), "load nvidia: ENOEXEC: built for A, this kernel is B");
    }

    #[test]
    fn the_longest_failure_fits_a_kernel_record() {
        let failure = Failure::new(Code::UnknownModule, "s".repeat(999), "r".repeat(999));
        assert!(Text::<1999>::of(failure).as_str().len() <= 900);
    }
}
