//! The bytes of a connection become messages.
//!
//! sd_notify(3) over vsock has a connection for each message. A virtio-serial port has one connection for all messages.
//! An empty line ends a message of either: the guest waits until its connection is closed, and some VMMs do not pass on
//! that the guest has shut its side down ([`guest_init::guest::watch::channel`]).
//!
//! A peer is hostile: it may send without an end, send nothing, or never close its side.

use std::io::{ErrorKind, Read};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use memchr::memmem;
use socket2::Socket;

use super::event::Event;

/// The bound on a message's size, in bytes.
const LONGEST: usize = 64 << 10;

/// The time that a connection for one message has, from its start to its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many messages a connection has. An empty line ends each, and so does the end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One.
    Connection,
    /// Any number.
    EmptyLine,
}

/// Reads a connection to its end, and sends its messages as events. The caller closes it.
pub fn read(socket: &Socket, framing: Framing, cid: Option<u32>, events: &SyncSender<Event>) {
    let deadline = (framing == Framing::Connection).then(|| Instant::now() + PATIENCE);
    let mut messages = Messages { framing, bytes: Vec::new(), is_too_long: false };
    // A record of SOCK_SEQPACKET that is longer than the buffer loses its end, but a message of that size is too long.
    let mut buffer = vec![0; LONGEST + 1];
    let flaw = loop {
        let count = match read_until(socket, &mut buffer, deadline) {
            Ok(0) => break None,
            Ok(count) => count,
            Err(flaw) => break Some(flaw),
        };
        if !messages.add(&buffer[..count], |found| send(found, cid, events)) {
            break None;
        }
    };
    if let Some(flaw) = &flaw {
        send(Found::Flaw(flaw), cid, events);
    }
    messages.end(flaw.is_some(), |found| send(found, cid, events));
}

/// Reads from a socket, until the deadline at most.
fn read_until(mut socket: &Socket, buffer: &mut [u8], deadline: Option<Instant>) -> Result<usize, String> {
    let late = || format!("a connection did not end within {} s", PATIENCE.as_secs());
    loop {
        if let Some(deadline) = deadline {
            // A timeout of zero would be none.
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late());
            }
            socket.set_read_timeout(Some(left)).map_err(|error| format!("a connection: {error}"))?;
        }
        match socket.read(buffer) {
            Ok(count) => return Ok(count),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(format!("a connection: {error}")),
        }
    }
}

/// A session that has ended hears nothing.
fn send(found: Found, cid: Option<u32>, events: &SyncSender<Event>) {
    let _ = events.send(match found {
        Found::Message(bytes) => Event::Message(bytes.to_vec(), cid),
        Found::Flaw(text) => Event::Flaw(text.to_string()),
    });
}

/// A message, or the reason why one is none.
#[derive(Debug, PartialEq, Eq)]
enum Found<'a> {
    Message(&'a [u8]),
    Flaw(&'a str),
}

/// The bytes that belong to no message yet.
struct Messages {
    framing: Framing,
    bytes: Vec<u8>,
    /// The message has more than [`LONGEST`] bytes, and the rest of it is passed over.
    is_too_long: bool,
}

impl Messages {
    /// Adds bytes, and calls `found` with each message that they complete. Returns whether more can follow.
    fn add(&mut self, bytes: &[u8], mut found: impl FnMut(Found)) -> bool {
        self.bytes.extend_from_slice(bytes);
        let is_complete = self.split(&mut found) > 0;
        if is_complete && self.framing == Framing::Connection {
            self.bytes.clear();
            return false;
        }
        if self.bytes.len() <= LONGEST {
            return true;
        }
        if !self.is_too_long {
            found(Found::Flaw(&format!("a message of more than {} KiB is passed over", LONGEST >> 10)));
        }
        self.is_too_long = true;
        // The last byte may be the first half of an empty line.
        self.bytes.drain(..self.bytes.len() - 1);
        self.framing == Framing::EmptyLine
    }

    /// Takes the messages that have an empty line at their end, and returns how many. Of a connection that has only one,
    /// what comes behind it is passed over.
    fn split(&mut self, found: &mut impl FnMut(Found)) -> usize {
        let (mut start, mut count) = (0, 0);
        while let Some(length) = memmem::find(&self.bytes[start..], b"\n\n")
            && (count == 0 || self.framing == Framing::EmptyLine)
        {
            let message = self.bytes[start..=start + length].trim_ascii_start();
            if !self.is_too_long && !message.is_empty() {
                found(Found::Message(message));
                count += 1;
            }
            self.is_too_long = false;
            start += length + 2;
        }
        self.bytes.drain(..start);
        count
    }

    /// Calls `found` with the last message. If the connection broke off, lines without an end are left out, because a
    /// value that was cut means something else.
    fn end(&self, is_cut: bool, mut found: impl FnMut(Found)) {
        let whole = match is_cut || self.framing == Framing::EmptyLine {
            true => self.bytes.iter().rposition(|&b| b == b'\n').map_or(0, |last| last + 1),
            false => self.bytes.len(),
        };
        if whole > 0 && !self.is_too_long {
            found(Found::Message(&self.bytes[..whole]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in these pieces, as text.
    fn found_in<'a>(framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>, is_cut: bool) -> Vec<String> {
        let mut all = Vec::new();
        let mut found = |found: Found| {
            all.push(match found {
                Found::Message(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Found::Flaw(text) => text.to_string(),
            });
        };
        let mut messages = Messages { framing, bytes: Vec::new(), is_too_long: false };
        if pieces.into_iter().all(|piece| messages.add(piece, &mut found)) {
            messages.end(is_cut, &mut found);
        }
        all
    }

    #[test]
    fn the_end_of_a_connection_or_an_empty_line_ends_its_message() {
        for pieces in [&[&b"A=1\nB=2"[..]][..], &[b"A=1", b"\nB", b"=2"]] {
            assert_eq!(found_in(Framing::Connection, pieces.iter().copied(), false), ["A=1\nB=2"]);
            assert_eq!(found_in(Framing::Connection, pieces.iter().copied(), true), ["A=1\n"]);
        }
        let bytes = b"\n\nA=1\n\nB=2\n\n";
        for size in 1..bytes.len() {
            assert_eq!(found_in(Framing::Connection, bytes.chunks(size), false), ["A=1\n"], "{size}");
        }
        assert_eq!(found_in(Framing::Connection, [], false), [""; 0]);
        assert_eq!(found_in(Framing::Connection, [&b"A=1"[..]], true), [""; 0]);
    }

    #[test]
    fn an_empty_line_ends_a_message_wherever_it_is_cut() {
        let bytes = b"\n\nA=1\nB=2\n\nC=3\n\n\n\nD=4\nE";
        let expected = ["A=1\nB=2\n", "C=3\n", "D=4\n"];
        assert_eq!(found_in(Framing::EmptyLine, [&bytes[..]], false), expected);
        assert_eq!(found_in(Framing::EmptyLine, bytes.chunks(1), false), expected);
        for at in 0..bytes.len() {
            assert_eq!(found_in(Framing::EmptyLine, [&bytes[..at], &bytes[at..]], false), expected, "{at}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_passed_over_and_the_next_one_is_not() {
        let flaw = "a message of more than 64 KiB is passed over";
        let fits = [b'a'; LONGEST];
        assert_eq!(found_in(Framing::Connection, [&fits[..]], false).concat().len(), LONGEST);
        assert_eq!(found_in(Framing::Connection, [&fits[..], b"a", b"a"], false), [flaw]);
        let long = [&[b'a'; 3 * LONGEST][..], b"\n\nA=1\n\n"].concat();
        assert_eq!(found_in(Framing::EmptyLine, long.chunks(1000), false), [flaw, "A=1\n"]);
    }
}
