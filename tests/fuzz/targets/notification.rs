//! The messages that a guest sends to the host.

use guest_init::notification::{self, Notification};

use super::framing::{Found, Framing, LONGEST, Messages};
use super::{check_printable, check_within, first_line};

/// Input: the size of the pieces in which the rest arrives.
pub fn notification(input: &[u8]) {
    let (size, bytes) = first_line(input);
    let size = str::from_utf8(size).ok().and_then(|size| size.parse().ok()).unwrap_or(1).max(1);
    for framing in [Framing::OneMessage, Framing::ManyMessages] {
        for is_cut in [false, true] {
            let whole = messages(framing, bytes, usize::MAX, is_cut);
            assert_eq!(messages(framing, bytes, size, is_cut), whole);
            whole.iter().for_each(|message| check_message(message));
        }
    }
}

/// The messages of a connection, if its bytes arrive in pieces of this size.
fn messages(framing: Framing, bytes: &[u8], size: usize, is_cut: bool) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut found = |found: Found| match found {
        Found::Message(message) => all.push(message.to_vec()),
        Found::TooLong => assert!(bytes.len() > LONGEST),
    };
    let mut messages = Messages::new(framing);
    if bytes.chunks(size).all(|piece| messages.add(piece, &mut found)) {
        messages.end(is_cut, &mut found);
    }
    all
}

fn check_message(message: &[u8]) {
    assert!(message.len() <= LONGEST && !message.is_empty() && !message.starts_with(b"\n"));
    for (key, value) in notification::fields(message) {
        check_within(key, message);
        check_within(value, message);
        assert!(!key.contains(&b'=') && !key.contains(&b'\n') && !value.contains(&b'\n'));
    }
    let Some(read) = Notification::read(message) else { return };
    let written = read.to_string();
    written.lines().for_each(check_printable);
    let again = Notification::read(written.as_bytes()).expect("what is written can be read");
    assert_eq!(again.to_string(), written);
    match (read, again) {
        (Notification::Failed { code, .. }, Notification::Failed { code: same, .. }) => assert_eq!(code, same),
        (Notification::Started { modules, .. }, Notification::Started { modules: same, .. }) => {
            assert_eq!(modules, same);
        }
        _ => panic!("another kind: {written}"),
    }
}
