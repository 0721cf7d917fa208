//! The host's end of the channel that `guest_init.notify=` names: it keeps the notifications that arrive, and answers
//! the agent.
//!
//! A listener is a Unix socket. For vsock, the device's back end connects to it anew for each connection of the
//! guest's, as Firecracker and Cloud Hypervisor do. For a virtio-serial port, QEMU connects to it once, when the VM
//! starts.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use tempfile::TempDir;

use super::daemon::Daemon;
use super::scripts::script;

/// The CID of the guest.
const CID: u32 = 7;
/// The host's port: the default of `guest-image listen`.
pub const PORT: u32 = 9999;
/// The name of the virtio-serial port.
const NAME: &str = "org.guest-init.notify";
/// How long a peer may be silent within a connection.
const SILENCE: Duration = Duration::from_secs(300);

/// The device that carries the notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Vsock,
    Port,
}

/// How a listener treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It reads to the end of the message, and closes a vsock then.
    Reads,
    /// It accepts, and never reads.
    NeverReads,
    /// It reads to the end of file, and never closes.
    NeverCloses,
    /// It closes at once.
    ClosesAtOnce,
}

/// The messages that have arrived, in their order.
type Messages = Arc<Mutex<Vec<String>>>;

/// A listener. It ends with this value.
pub struct Listener {
    channel: Channel,
    folder: TempDir,
    messages: Messages,
    listening: Mutex<Option<UnixListener>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Listener {
    /// A listener that reads each message to its end.
    pub fn new(channel: Channel) -> Self {
        Self::with_manner(channel, Manner::Reads)
    }

    /// A listener that treats its connections like this.
    pub fn with_manner(channel: Channel, manner: Manner) -> Self {
        let listener = Self::absent(channel);
        listener.arrive(manner);
        listener
    }

    /// A listener that is not there yet. QEMU makes a port's socket then.
    pub fn absent(channel: Channel) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let (messages, listening, threads) = Default::default();
        Self { channel, folder, messages, listening, threads }
    }

    /// Begins to listen, or connects to the socket that QEMU has made.
    pub fn arrive(&self, manner: Manner) {
        let (channel, messages) = (self.channel, self.messages.clone());
        let thread = if self.socket().exists() {
            let stream = UnixStream::connect(self.socket()).expect("QEMU listens");
            spawn(move || treat(stream, channel, manner, &messages))
        } else {
            let listener = UnixListener::bind(self.socket()).expect("the socket can be made");
            *lock(&self.listening) = Some(listener.try_clone().expect("a descriptor"));
            spawn(move || accept(&listener, channel, manner, &messages))
        };
        lock(&self.threads).push(thread);
    }

    /// Waits for the end of all connections, which end with the VM, and returns the messages.
    pub fn finish(&self) -> Vec<String> {
        if let Some(listener) = lock(&self.listening).take() {
            // accept(2) fails from now on.
            let _ = shutdown(listener.as_raw_fd(), Shutdown::Both);
        }
        let threads = std::mem::take(&mut *lock(&self.threads));
        threads.into_iter().for_each(|thread| thread.join().expect("the listener ends"));
        lock(&self.messages).clone()
    }

    /// The options of scripts/vm for the device.
    pub fn options(&self) -> [String; 2] {
        match self.channel {
            Channel::Vsock => ["--vsock".into(), format!("{CID}={}", self.base().display())],
            Channel::Port => ["--port".into(), format!("{NAME}={}", self.socket().display())],
        }
    }

    /// A back end of the vsock device, for `--vsock-socket` of scripts/vm in place of [`Self::options`].
    pub fn back_end(&self) -> Daemon {
        let arguments = [format!("--guest-cid={CID}"), format!("--uds-path={}", self.base().display())];
        Daemon::start(&script("vhost-device-vsock", &[]), "--socket", &arguments)
    }

    /// The word of the kernel command line.
    pub fn word(&self) -> String {
        format!("guest_init.notify={}", self.address())
    }

    /// The value of that word.
    pub fn address(&self) -> String {
        match self.channel {
            Channel::Vsock => format!("vsock:2:{PORT}"),
            Channel::Port => format!("virtio-port:{NAME}"),
        }
    }

    /// The socket on which this value or QEMU listens.
    pub fn socket(&self) -> PathBuf {
        match self.channel {
            Channel::Vsock => self.folder.path().join(format!("vsock_{PORT}")),
            Channel::Port => self.folder.path().join("port"),
        }
    }

    /// The path to which a vsock back end adds the port.
    pub fn base(&self) -> PathBuf {
        self.folder.path().join("vsock")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Takes connections until the socket is shut down, and waits for their ends.
fn accept(listener: &UnixListener, channel: Channel, manner: Manner, messages: &Messages) {
    let mut connections = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        let messages = messages.clone();
        connections.push(spawn(move || treat(stream, channel, manner, &messages)));
    }
    connections.into_iter().for_each(|connection| connection.join().expect("a connection ends"));
}

/// Treats a connection in this manner, up to its end.
fn treat(stream: UnixStream, channel: Channel, manner: Manner, messages: &Messages) {
    stream.set_read_timeout(Some(SILENCE)).expect("a socket has a time limit");
    match manner {
        Manner::Reads => read(&stream, channel == Channel::Vsock, messages),
        Manner::NeverCloses => {
            read(&stream, false, messages);
            wait_for_hang_up(&stream);
        }
        Manner::NeverReads => wait_for_hang_up(&stream),
        Manner::ClosesAtOnce => {}
    }
}

/// Waits until the peer has closed the connection in both directions, and reads nothing.
fn wait_for_hang_up(stream: &UnixStream) {
    let mut closed = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let limit = PollTimeout::try_from(SILENCE).expect("a short time");
    poll(&mut closed, limit).expect("a socket can be waited for");
}

/// Keeps the messages of a connection. A message ends at an empty line or at the end of file, and `is_one` means that
/// nothing is read behind it. A line without `=` is the agent's, and is answered.
fn read(mut stream: &UnixStream, is_one: bool, messages: &Messages) {
    let mut reader = BufReader::new(stream);
    let (mut message, mut line) = (String::new(), Vec::new());
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        match &*text {
            "\n" => {
                lock(messages).push(std::mem::take(&mut message));
                if is_one {
                    return;
                }
            }
            text if text.contains('=') => message += text,
            // The agent may be gone by now.
            text => drop(write!(stream, "the host heard {text}")),
        }
        line.clear();
    }
    if !message.is_empty() {
        lock(messages).push(message);
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().expect("no thread has panicked")
}
