//! The bytes of a connection become messages.
//!
//! sd_notify(3) over vsock has a connection for each message. A virtio-serial port has one connection for all messages.
//! An empty line ends a message of either: the guest waits until its connection is closed, and some VMMs do not pass on
//! that the guest has shut its side down ([`guest_init::guest::watch::channel`]). The end of the connection ends a
//! message as well.

/// The bound on a message's size, in bytes.
pub const LONGEST: usize = 64 << 10;

/// The number of messages that a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One. Whatever follows it is passed over.
    OneMessage,
    /// Any number.
    ManyMessages,
}

/// A message, or the reason why one is none.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A message, which is not empty.
    Message(&'a [u8]),
    /// A message has more than [`LONGEST`] bytes.
    TooLong,
}

/// The bytes of a message that has not ended.
pub struct Messages {
    framing: Framing,
    bytes: Vec<u8>,
    /// The last byte of the connection.
    last: u8,
    /// The message has more than [`LONGEST`] bytes. The rest of it is passed over.
    is_too_long: bool,
}

impl Messages {
    /// The messages of a connection that begins.
    pub fn new(framing: Framing) -> Self {
        Self { framing, bytes: Vec::new(), last: b'\n', is_too_long: false }
    }

    /// Adds bytes, and calls `found` with each message that they complete. Returns whether another one can follow.
    pub fn add(&mut self, bytes: &[u8], mut found: impl FnMut(Found)) -> bool {
        for &byte in bytes {
            let is_end = [self.last, byte] == *b"\n\n";
            self.last = byte;
            let is_found = if is_end { self.finish(self.bytes.len(), &mut found) } else { self.push(byte, &mut found) };
            if is_found && self.framing == Framing::OneMessage {
                return false;
            }
        }
        true
    }

    /// Adds a byte. Returns whether the message becomes too long with it.
    fn push(&mut self, byte: u8, found: &mut impl FnMut(Found)) -> bool {
        if self.bytes.len() < LONGEST {
            self.bytes.push(byte);
            return false;
        }
        if !self.is_too_long {
            found(Found::TooLong);
        }
        !std::mem::replace(&mut self.is_too_long, true)
    }

    /// Calls `found` with the last message. If it was cut, a line without an end is left out, because a value that was
    /// cut means something else.
    pub fn end(mut self, is_cut: bool, mut found: impl FnMut(Found)) {
        let whole = match is_cut || self.framing == Framing::ManyMessages {
            true => self.bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1),
            false => self.bytes.len(),
        };
        self.finish(whole, &mut found);
    }

    /// Calls `found` with the message of this length, unless it is empty or too long. Returns whether it did.
    fn finish(&mut self, length: usize, found: &mut impl FnMut(Found)) -> bool {
        let is_message = length > 0 && !self.is_too_long;
        if is_message {
            found(Found::Message(&self.bytes[..length]));
        }
        self.bytes.clear();
        self.is_too_long = false;
        is_message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages and flaws that are found in these pieces, as text.
    fn found_in<'a>(framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>, is_cut: bool) -> Vec<String> {
        let mut all = Vec::new();
        let mut found = |found: Found| {
            all.push(match found {
                Found::Message(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Found::TooLong => "too long".into(),
            });
        };
        let mut messages = Messages::new(framing);
        if pieces.into_iter().all(|piece| messages.add(piece, &mut found)) {
            messages.end(is_cut, &mut found);
        }
        all
    }

    #[test]
    fn the_end_of_a_connection_or_an_empty_line_ends_its_message() {
        for pieces in [&[&b"A=1\nB=2"[..]][..], &[b"A=1", b"\nB", b"=2"]] {
            assert_eq!(found_in(Framing::OneMessage, pieces.iter().copied(), false), ["A=1\nB=2"]);
            assert_eq!(found_in(Framing::OneMessage, pieces.iter().copied(), true), ["A=1\n"]);
        }
        let bytes = b"\n\nA=1\n\nB=2\n\n";
        for size in 1..bytes.len() {
            assert_eq!(found_in(Framing::OneMessage, bytes.chunks(size), false), ["A=1\n"], "{size}");
        }
        assert_eq!(found_in(Framing::OneMessage, [], false), [""; 0]);
        assert_eq!(found_in(Framing::OneMessage, [&b"A=1"[..]], true), [""; 0]);
    }

    #[test]
    fn an_empty_line_ends_a_message_wherever_it_is_cut() {
        let bytes = b"\n\nA=1\nB=2\n\nC=3\n\n\n\nD=4\nE";
        let expected = ["A=1\nB=2\n", "C=3\n", "D=4\n"];
        assert_eq!(found_in(Framing::ManyMessages, [&bytes[..]], false), expected);
        assert_eq!(found_in(Framing::ManyMessages, bytes.chunks(1), false), expected);
        for at in 0..bytes.len() {
            assert_eq!(found_in(Framing::ManyMessages, [&bytes[..at], &bytes[at..]], false), expected, "{at}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_passed_over_and_the_next_one_is_not() {
        let fits = [b'a'; LONGEST];
        assert_eq!(found_in(Framing::OneMessage, [&fits[..]], false).concat().len(), LONGEST);
        assert_eq!(found_in(Framing::OneMessage, [&fits[..], b"a", b"a"], false), ["too long"]);
        let long = [&[b'a'; 3 * LONGEST][..], b"\n\nA=1\n\n"].concat();
        assert_eq!(found_in(Framing::ManyMessages, long.chunks(1000), false), ["too long", "A=1\n"]);
    }
}
