//! The output of modprobe: results on stdout, messages on stderr or in the kernel log.

extern crate alloc;

use alloc::vec::Vec;

use rustix::io::{self, fcntl_getfd, retry_on_intr, write};

use crate::guest::boot::console::{stderr, stdout};
use crate::guest::watch::logger;
use crate::request::modprobe::call::{ERROR, WARNING};
use crate::text::Shown;

/// The places that results and messages go to.
///
/// If the kernel itself starts modprobe, descriptors 0 to 2 are closed (MODPROBE.md 9.6), and the next file that is
/// opened becomes stdin.
pub struct Output {
    /// Whether stdout is open.
    prints: bool,
    /// Whether messages go to the kernel log instead of stderr.
    pub log: bool,
    /// The least urgent priority that is written, as syslog(3) numbers it.
    pub verbosity: i32,
}

impl Output {
    /// Finds out which descriptors are open. Must be called before any file is opened, because that may take the number
    /// of a closed one.
    pub fn of_this_process() -> Self {
        Self { prints: fcntl_getfd(stdout()).is_ok(), log: fcntl_getfd(stderr()).is_err(), verbosity: WARNING }
    }

    /// Prints a result.
    pub fn print(&self, text: &[u8]) {
        if self.prints {
            write_all(text, |text| write(stdout(), text));
        }
    }

    /// Writes a message, if its priority is urgent enough. `each_piece` passes on the pieces of its text.
    pub fn report(&self, priority: i32, each_piece: impl FnOnce(&mut dyn FnMut(&[u8]))) {
        let weight = match priority {
            ERROR => "ERROR",
            WARNING => "WARNING",
            _ => "FATAL",
        };
        if priority > self.verbosity {
            return;
        }
        let mut text = [b"modprobe: ", weight.as_bytes(), b": "].concat();
        each_piece(&mut |piece| text.extend_from_slice(piece));
        if self.log {
            logger::start();
            log::error!("{}", Shown(&text));
        } else {
            self.print_error(text);
        }
    }

    /// Writes a line to stderr.
    pub fn print_error(&self, mut text: Vec<u8>) {
        text.push(b'\n');
        write_all(&text, |text| write(stderr(), text));
    }
}

/// Writes a whole text. Gives up if a write fails, or takes no bytes.
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
    fn a_text_is_written_in_pieces_until_a_write_takes_no_bytes() {
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
