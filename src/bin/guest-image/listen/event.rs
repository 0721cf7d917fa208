//! The events of a session, and the queue that they wait in.

use std::sync::mpsc::{self, Receiver, SyncSender};

/// The number of events that wait. Whoever has another one waits until the session has handled one, so a guest that
/// sends without an end fills no memory.
const MOST_WAITING: usize = 16;

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A message, and the CID of the VM that sent it, if that is known.
    Message(Vec<u8>, Option<u32>),
    /// A message that did not arrive as it should, as a text for a warning.
    Flaw(String),
    /// No message can arrive any more, for this reason.
    Silence(String),
    /// A signal to this process.
    Signal(i32),
}

/// A queue of events.
pub fn queue() -> (SyncSender<Event>, Receiver<Event>) {
    mpsc::sync_channel(MOST_WAITING)
}
