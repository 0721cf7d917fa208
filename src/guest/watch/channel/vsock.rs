//! A vsock of the host: one connection a message (pid_notify_with_fds_internal in systemd's sd-daemon.c).

use rustix::event::PollFlags;
use rustix::fd::OwnedFd;
use rustix::io::{self, Errno};
use rustix::net::sockopt::socket_error;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, connect, recv, send, shutdown, socket_with,
};

use super::{IN_ALL, Receipt, TO_CONNECT, Time};
use crate::guest::system::vsock::VsockAddress;
use crate::request::notify::VsockType;

/// A vsock of the host that is not connected yet.
pub(super) struct Vsock {
    /// The types that are tried, in this order.
    types: &'static [SocketType],
    address: VsockAddress,
    /// Keeps the kernel's module of vsock loaded. Without it, the socket of a message could make the kernel load that,
    /// which takes unbounded time.
    _family: OwnedFd,
}

impl Vsock {
    /// Makes ready to send to a port of a context.
    ///
    /// Error: EAFNOSUPPORT if the kernel has no vsock.
    pub(super) fn open(kind: VsockType, cid: u32, port: u32) -> io::Result<Self> {
        let types: &[_] = match kind {
            VsockType::Any => &[SocketType::DGRAM, SocketType::SEQPACKET, SocketType::STREAM],
            VsockType::Datagram => &[SocketType::DGRAM],
            VsockType::Seqpacket => &[SocketType::SEQPACKET],
            VsockType::Stream => &[SocketType::STREAM],
        };
        Ok(Self { types, address: VsockAddress::new(cid, port), _family: socket(SocketType::STREAM)? })
    }

    /// Sends a message by the first type of socket that can be connected.
    pub(super) fn send(&self, message: &[u8], time: &Time) -> io::Result<Receipt> {
        let mut result = Err(Errno::SOCKTNOSUPPORT);
        for kind in self.types {
            result = self.connect(*kind, time).map(|socket| (socket, *kind));
            if result.is_ok() || time.left(TO_CONNECT).is_none() {
                break;
            }
        }
        let (socket, kind) = result?;
        send_all(&socket, message, time)?;
        if kind == SocketType::DGRAM {
            return Ok(Receipt::Unconfirmed);
        }
        // An error means that the host has closed the connection already.
        let _ = shutdown(&socket, Shutdown::Write);
        // If the VM ends before the host has read the message, the message is lost (systemd's issue 30511).
        wait_for_end(&socket, time)
    }

    fn connect(&self, kind: SocketType, time: &Time) -> io::Result<OwnedFd> {
        let socket = socket(kind)?;
        match connect(&socket, &self.address) {
            Err(Errno::INPROGRESS) => {
                time.wait(&socket, PollFlags::OUT, TO_CONNECT)?;
                socket_error(&socket)??;
            }
            result => result?,
        }
        Ok(socket)
    }
}

fn socket(kind: SocketType) -> io::Result<OwnedFd> {
    socket_with(AddressFamily::VSOCK, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

fn send_all(socket: &OwnedFd, mut message: &[u8], time: &Time) -> io::Result<()> {
    while !message.is_empty() {
        match send(socket, message, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => drop(time.wait(socket, PollFlags::OUT, IN_ALL)?),
            Err(Errno::INTR) => {}
            sent => message = message.get(sent?..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Waits until the host has closed the connection. What it sends meanwhile is read and not heeded.
fn wait_for_end(socket: &OwnedFd, time: &Time) -> io::Result<Receipt> {
    while time.confirmed(socket, PollFlags::IN)? == Receipt::Confirmed {
        match recv(socket, &mut [0; 64], RecvFlags::empty()) {
            // A host that closes without reading resets the connection.
            Ok((_, 0)) | Err(Errno::CONNRESET | Errno::NOTCONN) => return Ok(Receipt::Confirmed),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Receipt::Unconfirmed)
}
