//! The notifications that the host gets: lines of `KEY=VALUE`, as sd_notify(3) has them. The guest writes them and
//! `guest-image listen` reads them with this file.
//!
//! `STATUS`, `ERRNO` and `EXIT_STATUS` mean what they mean to systemd. Keys that begin with `X_` are for private use
//! there. READY=1 is the agent's to send.

use core::fmt;
use core::time::Duration;

use crate::failure::Failure;
use crate::text::{Microseconds, Shown};

/// A notification. It displays as its lines.
///
/// ```
/// use guest_init::notification::Notification;
///
/// let message = b"STATUS=guest-init: failed: load nvidia: ENOEXEC: built for A, this kernel is B (exit 0x42)\n\
///     ERRNO=8\nEXIT_STATUS=66\nX_GUEST_INIT_CODE=0x42\nX_GUEST_INIT_STAGE=load\nX_GUEST_INIT_SUBJECT=nvidia\n";
/// let failed = Notification::read(message).unwrap();
/// assert!(matches!(failed, Notification::Failed { code: 0x42, errno: 8, stage: b"load", subject: b"nvidia", .. }));
/// assert_eq!(failed.to_string().as_bytes(), message);
/// assert_eq!(Notification::read(b"READY=1\n"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification<'a> {
    /// guest-init failed, and the VM ends.
    Failed {
        /// The last word, as the kernel log has it.
        line: &'a [u8],
        /// The number of the errno.
        errno: u32,
        /// The number of the failure's code ([`crate::failure::Code`]). A newer guest-init may have more codes.
        code: u8,
        /// The name of the failure's stage.
        stage: &'a [u8],
        /// The thing that failed.
        subject: &'a [u8],
    },
    /// guest-init is about to become the agent.
    Started {
        /// The agent's path.
        agent: &'a [u8],
        /// The number of modules that the lists loaded.
        modules: u64,
        /// The time since the command line was read, in whole microseconds.
        total: Duration,
        /// The part of it in which the lists were planned and loaded, in whole microseconds.
        loading: Duration,
        /// The time since the kernel's start, in whole microseconds.
        since_boot: Duration,
    },
}

const STATUS: &str = "STATUS";
const ERRNO: &str = "ERRNO";
const EXIT_STATUS: &str = "EXIT_STATUS";
const CODE: &str = "X_GUEST_INIT_CODE";
const STAGE: &str = "X_GUEST_INIT_STAGE";
const SUBJECT: &str = "X_GUEST_INIT_SUBJECT";
const AGENT: &str = "X_GUEST_INIT_AGENT";
const MODULES: &str = "X_GUEST_INIT_MODULES";
const TOTAL: &str = "X_GUEST_INIT_USEC";
const LOADING: &str = "X_GUEST_INIT_LOAD_USEC";
const SINCE_BOOT: &str = "X_GUEST_INIT_BOOT_USEC";

impl<'a> Notification<'a> {
    /// The notification of a failure. `line` is the last word, as the kernel log has it.
    pub fn of_failure(failure: &'a Failure, line: &'a str) -> Self {
        Self::Failed {
            line: line.as_bytes(),
            errno: failure.errno.into_raw().unsigned_abs(),
            code: failure.code as u8,
            stage: failure.code.stage().name().as_bytes(),
            subject: failure.subject.as_str().as_bytes(),
        }
    }

    /// Reads a message. `None`: it is no message of guest-init. A line that is missing or malformed counts as empty or
    /// zero, except the one with the code or the number of modules, which tells the two kinds apart.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let text = |key| value_of(message, key).unwrap_or_default();
        let number = |key| decimal(text(key)).unwrap_or_default();
        let time = |key| Duration::from_micros(number(key));
        if let Some(code) = value_of(message, CODE) {
            let digits = code.strip_prefix(b"0x")?;
            let code = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
            let errno = u32::try_from(number(ERRNO)).unwrap_or_default();
            return Some(Self::Failed { line: text(STATUS), errno, code, stage: text(STAGE), subject: text(SUBJECT) });
        }
        let modules = decimal(value_of(message, MODULES)?)?;
        let (total, loading, since_boot) = (time(TOTAL), time(LOADING), time(SINCE_BOOT));
        Some(Self::Started { agent: text(AGENT), modules, total, loading, since_boot })
    }
}

/// The keys and values of a message, in order. Lines without `=` are left out.
pub fn fields(message: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    message.split(|&b| b == b'\n').filter_map(|line| {
        let (key, value) = line.split_at_checked(line.iter().position(|&b| b == b'=')?)?;
        Some((key, value.get(1..)?))
    })
}

/// The value of a key. If the key stands twice, the first counts, as it does to systemd.
fn value_of<'a>(message: &'a [u8], key: &str) -> Option<&'a [u8]> {
    fields(message).find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value)
}

fn decimal(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.parse().ok()
}

impl fmt::Display for Notification<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Failed { line, errno, code, stage, subject } => lines(
                f,
                &[
                    (STATUS, &Shown(line)),
                    (ERRNO, &errno),
                    (EXIT_STATUS, &code),
                    (CODE, &format_args!("{code:#04x}")),
                    (STAGE, &Shown(stage)),
                    (SUBJECT, &Shown(subject)),
                ],
            ),
            Self::Started { agent, modules, total, loading, since_boot } => lines(
                f,
                &[
                    (STATUS, &"agent started"),
                    (AGENT, &Shown(agent)),
                    (MODULES, &modules),
                    (TOTAL, &Microseconds(total)),
                    (LOADING, &Microseconds(loading)),
                    (SINCE_BOOT, &Microseconds(since_boot)),
                ],
            ),
        }
    }
}

/// Writes a line for each key.
fn lines(f: &mut fmt::Formatter<'_>, fields: &[(&str, &dyn fmt::Display)]) -> fmt::Result {
    fields.iter().try_for_each(|(key, value)| writeln!(f, "{key}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;
    use std::string::ToString;

    #[test]
    fn a_failure_is_written_and_read() {
        let failure = Failure::new(Code::UnknownModule, "e1001e", "nearest: e1000e");
        let written = Notification::of_failure(&failure, "guest-init: failed: ... (exit 0x32)").to_string();
        let lines = "STATUS=guest-init: failed: ... (exit 0x32)\nERRNO=2\nEXIT_STATUS=50\nX_GUEST_INIT_CODE=0x32\n\
            X_GUEST_INIT_STAGE=plan\nX_GUEST_INIT_SUBJECT=e1001e\n";
        assert_eq!(written, lines);
        let read = Notification::read(written.as_bytes());
        assert_eq!(read, Some(Notification::of_failure(&failure, "guest-init: failed: ... (exit 0x32)")));
    }

    #[test]
    fn a_start_is_written_and_read() {
        let started = Notification::Started {
            agent: b"/sbin/agent",
            modules: 12,
            total: Duration::from_micros(1_234_567),
            loading: Duration::from_micros(1_000),
            since_boot: Duration::from_micros(3_000_000),
        };
        let lines = "STATUS=agent started\nX_GUEST_INIT_AGENT=/sbin/agent\nX_GUEST_INIT_MODULES=12\n\
            X_GUEST_INIT_USEC=1234567\nX_GUEST_INIT_LOAD_USEC=1000\nX_GUEST_INIT_BOOT_USEC=3000000\n";
        assert_eq!(started.to_string(), lines);
        assert_eq!(Notification::read(lines.as_bytes()), Some(started));
    }

    #[test]
    fn the_values_of_others_can_not_forge_a_line() {
        let failure = Failure::new(Code::UnknownModule, "a\nX_GUEST_INIT_MODULES=1", "x");
        let written = Notification::of_failure(&failure, "a\nb").to_string();
        assert_eq!(written.lines().count(), 6, "{written}");
    }

    #[test]
    fn what_is_not_ours_is_nothing_and_the_first_of_two_lines_counts() {
        for message in [&b""[..], b"=\n=", b"READY=1", b"X_GUEST_INIT_CODE=66\n", b"X_GUEST_INIT_CODE=0xfff\n"] {
            assert_eq!(Notification::read(message), None);
        }
        let twice = Notification::read(b"X_GUEST_INIT_CODE=0x10\nX_GUEST_INIT_CODE=0x42");
        assert!(matches!(twice, Some(Notification::Failed { code: 0x10, errno: 0, line: b"", .. })));
    }
}
