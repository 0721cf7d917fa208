//! The channel to the host, on which it gets notifications.
//!
//! A message ends with an empty line on every channel. A host that closes the connection then lets the VM go on at
//! once. The end of file would not do: Firecracker, Cloud Hypervisor and vhost-device-vsock do not pass on that the
//! guest has shut its side down before the guest closes the connection.
//!
//! The channel is opened once. Then any thread may send, also one that reports a crash or the deadline: sending takes
//! no lock, uses no heap, and ends within [`IN_ALL`]. All descriptors are close-on-exec, so that the agent gets none.

mod port;
mod vsock;

use core::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::AsFd;
use rustix::io::{self, Errno};
use rustix::time::Timespec;
use rustix_futex_sync::OnceLock;

use crate::failure::Failure;
use crate::guest::system::clock::now;
use crate::guest::watch::channel::port::Port;
use crate::guest::watch::channel::vsock::Vsock;
use crate::guest::watch::logger::{self, Ending};
use crate::notification::Notification;
use crate::request::notify::Channel;
use crate::text::Text;

/// The time within which the host must take the connection.
const TO_CONNECT: Duration = Duration::from_millis(250);
/// The time within which the host must have the notification.
pub const IN_ALL: Duration = Duration::from_millis(500);
/// The longest message, in bytes. The longest line of a failure has 960, and the longest subject 320.
const LONGEST: usize = 1536;

/// The channel, once it is open.
static CHANNEL: OnceLock<OpenChannel> = OnceLock::new();

/// An open channel.
enum OpenChannel {
    Vsock(Vsock),
    Port(Port),
}

/// Opens the channel. Its drivers must be loaded.
///
/// Errors: ENOENT if no virtio-serial port has the name; EAFNOSUPPORT if the kernel has no vsock.
pub fn open(channel: &Channel<'_>) -> io::Result<()> {
    let open = match *channel {
        Channel::Vsock { socket, cid, port } => OpenChannel::Vsock(Vsock::open(socket, cid, port)?),
        Channel::VirtioPort(name) => OpenChannel::Port(Port::open(name)?),
    };
    let _ = CHANNEL.set(open);
    Ok(())
}

/// Whether the channel is open.
pub fn is_open() -> bool {
    CHANNEL.get().is_some()
}

/// Sends the notification of a failure, if the channel is open.
///
/// Errors: as [`send`].
pub fn send_failure(failure: &Failure, ending: Ending) -> io::Result<Receipt> {
    let line = logger::last_word(failure, ending);
    let text = line.as_str();
    // The priority of the record is for the kernel log.
    send(&Notification::of_failure(failure, text.split_once('>').map_or(text, |(_, text)| text)))
}

/// The host's answer to a notification that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The host has it.
    Confirmed,
    /// Most likely the host has it, but has not closed the connection within [`IN_ALL`]. Of a datagram nothing is
    /// known.
    Unconfirmed,
}

/// Sends a notification, if the channel is open, and waits until the host has it.
///
/// Errors: ETIMEDOUT, also if nobody is connected to the port, and those of connect(2).
pub fn send(notification: &Notification<'_>) -> io::Result<Receipt> {
    let Some(channel) = CHANNEL.get() else { return Ok(Receipt::Confirmed) };
    let time = Time { start: now() };
    let message = Text::<LONGEST>::of(format_args!("{notification}\n"));
    match channel {
        OpenChannel::Vsock(vsock) => vsock.send(message.as_str().as_bytes(), &time),
        OpenChannel::Port(port) => port.send(message.as_str().as_bytes(), &time),
    }
}

/// The time since a notification was begun.
struct Time {
    start: Duration,
}

impl Time {
    /// The rest of a limit. `None`: it has passed.
    fn left(&self, limit: Duration) -> Option<Duration> {
        (self.start + limit).checked_sub(now()).filter(|left| !left.is_zero())
    }

    /// Waits for an event of a descriptor, within a limit.
    ///
    /// Error: ETIMEDOUT.
    fn wait(&self, fd: impl AsFd, event: PollFlags, limit: Duration) -> io::Result<PollFlags> {
        let mut polled = [PollFd::new(&fd, event)];
        while let Some(left) = self.left(limit) {
            let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut polled, Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                result => {
                    result?;
                    return Ok(polled.first().map_or(PollFlags::empty(), PollFd::revents));
                }
            }
        }
        Err(Errno::TIMEDOUT)
    }

    /// Waits for the event that shows that the host has the message, within [`IN_ALL`].
    fn confirmed(&self, fd: impl AsFd, event: PollFlags) -> io::Result<Receipt> {
        match self.wait(fd, event, IN_ALL) {
            Ok(_) => Ok(Receipt::Confirmed),
            Err(Errno::TIMEDOUT) => Ok(Receipt::Unconfirmed),
            Err(error) => Err(error),
        }
    }
}
