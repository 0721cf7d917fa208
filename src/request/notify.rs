//! The channel to the host: the value of `guest_init.notify=`, and systemd's credential that means the same.

use core::fmt;

use crate::request::kernel::words::Word;
use crate::request::keys::number;
use crate::text::Shown;

/// The channel on which the host gets notifications. It displays as its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// A vsock of the host (vsock(7)).
    Vsock {
        /// The type of the socket.
        socket: VsockType,
        /// The context identifier: 2 is the host.
        cid: u32,
        /// The port.
        port: u32,
    },
    /// The virtio-serial port of this name.
    VirtioPort(&'a [u8]),
}

/// The type of a vsock, as sd_notify(3) names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VsockType {
    /// The first that can be connected of datagram, seqpacket and stream.
    Any,
    /// A message is one datagram.
    Datagram,
    /// A message is one packet of a connection.
    Seqpacket,
    /// A message is all that a connection carries.
    Stream,
}

/// The types, and how an address of each begins.
const VSOCK_TYPES: [(&str, VsockType); 4] = [
    ("vsock", VsockType::Any),
    ("vsock-dgram", VsockType::Datagram),
    ("vsock-seqpacket", VsockType::Seqpacket),
    ("vsock-stream", VsockType::Stream),
];

/// How the address of a virtio-serial port begins.
const VIRTIO_PORT: &str = "virtio-port";

/// The word that sets a credential, and how the one begins that tells systemd where to send notifications
/// (systemd.system-credentials(7)).
const CREDENTIAL: (&[u8], &[u8]) = (b"systemd.set_credential", b"vmm.notify_socket:");

impl<'a> Channel<'a> {
    /// Reads an address. The error says in words what is wrong.
    ///
    /// ```
    /// use guest_init::request::notify::{Channel, VsockType};
    ///
    /// let channel = Channel::parse(b"vsock-stream:2:9000");
    /// assert_eq!(channel, Ok(Channel::Vsock { socket: VsockType::Stream, cid: 2, port: 9000 }));
    /// assert_eq!(Channel::parse(b"virtio-port:notify"), Ok(Channel::VirtioPort(b"notify")));
    /// ```
    pub fn parse(address: &'a [u8]) -> Result<Self, &'static str> {
        const FORM: &str = "vsock:CID:PORT, vsock-stream:CID:PORT, vsock-seqpacket:CID:PORT or virtio-port:NAME";
        let mut parts = address.splitn(2, |&b| b == b':');
        let (Some(kind), Some(rest)) = (parts.next(), parts.next()) else { return Err(FORM) };
        if kind == VIRTIO_PORT.as_bytes() {
            let is_name = !rest.is_empty() && !rest.contains(&b'/');
            return if is_name {
                Ok(Self::VirtioPort(rest))
            } else {
                Err("a port's name is not empty, and has no `/`")
            };
        }
        let (_, socket) = VSOCK_TYPES.iter().find(|(name, _)| name.as_bytes() == kind).ok_or(FORM)?;
        let mut numbers = rest.splitn(2, |&b| b == b':').map(|digits| u32::try_from(number::<u64>(digits)?).ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(cid), Some(port)) => Ok(Self::Vsock { socket: *socket, cid, port }),
            _ => Err("CID and PORT are numbers below 2^32: vsock:2:9000"),
        }
    }

    /// Reads systemd's credential `vmm.notify_socket`. `None`: the word is another, or its address is none that
    /// guest-init knows. It is systemd's word, so it is no mistake then.
    pub(super) fn of_credential(word: &Word<'a>) -> Option<Self> {
        let (name, credential) = CREDENTIAL;
        let address = word.value.filter(|_| word.name == name)?.strip_prefix(credential)?;
        Self::parse(address).ok()
    }
}

impl fmt::Display for Channel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock { socket, cid, port } => {
                let name = VSOCK_TYPES.iter().find(|(_, known)| known == socket).map_or("", |(name, _)| name);
                write!(f, "{name}:{cid}:{port}")
            }
            Self::VirtioPort(name) => write!(f, "{VIRTIO_PORT}:{}", Shown(name)),
        }
    }
}
