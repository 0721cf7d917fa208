//! Reads a connection, in bounded time and memory. A peer is hostile: it may send without an end, send nothing, or
//! never close its side.

use std::io::{ErrorKind, Read};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::event::Event;
use super::framing::{Found, Framing, LONGEST, Messages};

/// The time that a connection for one message has, from its start to its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads a connection to its end, and sends its messages as events. The caller closes it.
pub fn read(socket: &Socket, framing: Framing, cid: Option<u32>, events: &SyncSender<Event>) {
    let deadline = (framing == Framing::OneMessage).then(|| Instant::now() + PATIENCE);
    // A session that has ended hears nothing.
    let send = |event| drop(events.send(event));
    let found = |found: Found| match found {
        Found::Message(bytes) => send(Event::Message(bytes.to_vec(), cid)),
        Found::TooLong => send(Event::Flaw(format!("a message of more than {} KiB is passed over", LONGEST >> 10))),
    };
    let mut messages = Messages::new(framing);
    // A record of SOCK_SEQPACKET that is longer than the buffer loses its end, but a message of that size is too long.
    let mut buffer = vec![0; LONGEST + 1];
    loop {
        match read_until(socket, &mut buffer, deadline) {
            Ok(0) => return messages.end(false, found),
            Ok(count) if messages.add(&buffer[..count], found) => {}
            Ok(_) => return,
            Err(flaw) => {
                send(Event::Flaw(flaw));
                return messages.end(true, found);
            }
        }
    }
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
