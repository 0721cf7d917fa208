//! The socket that messages arrive on. One that was made here is removed with its [`Channel`].

use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use socket2::{Domain, SockAddr, Socket, Type};

use super::connection;
use super::event::Event;
use super::framing::Framing;

/// The number of connections that are read at once. Others wait.
const MOST_AT_ONCE: usize = 32;

/// The length of the queue of connections that wait.
const BACKLOG: i32 = 128;

/// The time that connecting has, because a listener with a full queue does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// VMADDR_CID_ANY of vsock(7): all CIDs of this host.
const ANY_CID: u32 = u32::MAX;

/// A socket, and its description.
pub struct Channel {
    role: Role,
    socket: Arc<Socket>,
    framing: Framing,
    description: String,
}

/// The part that a socket has.
enum Role {
    /// It listens. A socket with a path has a file.
    Listener(Option<SocketFile>),
    /// It is connected to a VMM that listens.
    Client,
}

impl Channel {
    /// Listens where a guest's connections to a port arrive, if its vsock device has this Unix socket.
    pub fn unix(vmm: &Path, port: u32) -> Result<Self> {
        let mut path = vmm.as_os_str().to_owned();
        path.push(format!("_{port}"));
        let path = PathBuf::from(path);
        let name = path.display();
        ensure!(connected(&path)?.is_none(), "{name}: another process listens on this socket");
        let (socket, file) = listen_at(&path)?;
        let description = format!("listening on {name}: guest_init.notify=vsock-stream:2:{port}");
        let role = Role::Listener(Some(file));
        Ok(Self { role, socket: Arc::new(socket), framing: Framing::OneMessage, description })
    }

    /// Listens on a port of AF_VSOCK.
    pub fn vsock(port: u32, is_seqpacket: bool) -> Result<Self> {
        let (kind, name) =
            if is_seqpacket { (Type::SEQPACKET, "vsock-seqpacket") } else { (Type::STREAM, "vsock-stream") };
        let socket = listen(Domain::VSOCK, kind, &SockAddr::vsock(ANY_CID, port));
        let socket = socket.with_context(|| format!("AF_VSOCK, port {port}"))?;
        let description = format!("listening on vsock port {port}: guest_init.notify={name}:2:{port}");
        Ok(Self { role: Role::Listener(None), socket: Arc::new(socket), framing: Framing::OneMessage, description })
    }

    /// Connects to a virtio-serial port's chardev, or else listens for it.
    pub fn virtio_port(path: &Path) -> Result<Self> {
        let (framing, name) = (Framing::ManyMessages, path.display());
        if let Some(socket) = connected(path)? {
            let description = format!("connected to {name}: guest_init.notify=virtio-port:NAME");
            return Ok(Self { role: Role::Client, socket: Arc::new(socket), framing, description });
        }
        let (socket, file) = listen_at(path)?;
        let description = format!("listening on {name}: guest_init.notify=virtio-port:NAME");
        Ok(Self { role: Role::Listener(Some(file)), socket: Arc::new(socket), framing, description })
    }

    /// Starts threads that read messages.
    pub fn serve(&self, events: &SyncSender<Event>) -> Result<()> {
        let framing = self.framing;
        let count = if matches!(self.role, Role::Client) { 1 } else { MOST_AT_ONCE };
        for _ in 0..count {
            let (socket, events, is_client) = (self.socket.clone(), events.clone(), count == 1);
            thread::Builder::new().name("connection".into()).spawn(move || match is_client {
                true => {
                    connection::read(&socket, framing, None, &events);
                    let _ = events.send(Event::Silence("the VMM closed the socket".into()));
                }
                false => accept(&socket, framing, &events),
            })?;
        }
        Ok(())
    }

    /// A possible reason why nothing arrives.
    pub fn doubt(&self) -> &'static str {
        match &self.role {
            Role::Listener(Some(file)) if !file.is_mine() => {
                "; the socket was replaced: the VMM that COMMAND starts must connect to it, without server=on"
            }
            _ => "",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description)
    }
}

/// Accepts and reads one connection after the other.
fn accept(socket: &Socket, framing: Framing, events: &SyncSender<Event>) {
    loop {
        match socket.accept() {
            Ok((connection, peer)) => {
                let cid = peer.as_vsock_address().map(|(cid, _)| cid);
                connection::read(&connection, framing, cid, events);
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                let _ = events.send(Event::Silence(format!("accept: {error}")));
                return;
            }
        }
    }
}

/// Connects to the process that listens on the socket at a path. If nobody listens, the socket is removed.
fn connected(path: &Path) -> Result<Option<Socket>> {
    let context = || path.display().to_string();
    match connect(path) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            let is_socket = fs::symlink_metadata(path).with_context(context)?.file_type().is_socket();
            ensure!(is_socket, "{}: exists, and is no socket", path.display());
            fs::remove_file(path).with_context(context)?;
            Ok(None)
        }
        Err(error) => Err(error).with_context(context),
    }
}

fn connect(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Listens on a new socket at a path.
fn listen_at(path: &Path) -> Result<(Socket, SocketFile)> {
    let context = || path.display().to_string();
    let socket = SockAddr::unix(path).and_then(|address| listen(Domain::UNIX, Type::STREAM, &address));
    let socket = socket.with_context(context)?;
    let identity = identity(&fs::symlink_metadata(path).with_context(context)?);
    Ok((socket, SocketFile { path: path.to_path_buf(), identity }))
}

fn listen(domain: Domain, kind: Type, address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, None)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// A socket's file, which is removed with this value, unless another one has its place.
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Whether the file at the path is this one.
    fn is_mine(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_mine() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device and inode.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
