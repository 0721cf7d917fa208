//! What modprobe says, and where: results on stdout, messages on stderr or the kernel log.

extern crate alloc;

use alloc::format;
use core::fmt;

use rustix::io::{self, fcntl_getfd, retry_on_intr, write};

use crate::guest::boot::console::{stderr, stdout};
use crate::guest::watch::logger;
use crate::request::modprobe::call::{ERROR, WARNING};

/// Where results and messages go. A module request of the kernel starts its program with no descriptor open, and whatever
/// is opened then takes their places.
pub struct Output {
    /// Whether there is a stdout.
    prints: bool,
    /// Whether messages go to the kernel log in place of stderr.
    pub log: bool,
    /// The least of what is told, by syslog's numbers.
    pub verbosity: i32,
}

impl Output {
    /// Results and messages where they are expected, if these descriptors are open: ask before anything is opened.
    pub fn of_this_process() -> Self {
        Self { prints: fcntl_getfd(stdout()).is_ok(), log: fcntl_getfd(stderr()).is_err(), verbosity: WARNING }
    }

    /// Prints a result.
    pub fn print(&self, text: &[u8]) {
        if self.prints {
            write_all(text, |text| write(stdout(), text));
        }
    }

    /// Writes a message if its priority is within the verbosity.
    pub fn report(&self, priority: i32, text: &dyn fmt::Display) {
        let weight = match priority {
            ERROR => "ERROR",
            WARNING => "WARNING",
            _ => "FATAL",
        };
        if priority <= self.verbosity {
            self.message(format_args!("modprobe: {weight}: {text}"));
        }
    }

    /// Writes a message whatever the verbosity is.
    pub fn message(&self, text: fmt::Arguments<'_>) {
        if self.log {
            logger::start();
            log::error!("{text}");
        } else {
            write_all(format!("{text}\n").as_bytes(), |text| write(stderr(), text));
        }
    }
}

/// Writes all of a text, or gives up if nothing more is taken, with an error or without one.
fn write_all(mut text: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<usize>) {
    while !text.is_empty()
        && let Ok(count @ 1..) = retry_on_intr(|| write(text))
    {
        text = text.get(count..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_text_is_written_in_pieces_until_nothing_more_is_taken() {
        let mut taken = Vec::new();
        write_all(b"a text", |text| {
            let count = text.len().min(4);
            taken.extend_from_slice(&text[..count]);
            Ok(count)
        });
        assert_eq!(taken, b"a text");
        for end in [Ok(0), Err(io::Errno::PIPE)] {
            let mut calls = 0;
            write_all(b"a text", |_| {
                calls += 1;
                if calls == 1 { Ok(2) } else { end }
            });
            assert_eq!(calls, 2);
        }
    }
}
