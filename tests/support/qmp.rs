//! QEMU's control socket: the events of a VM, from its start to its end.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// Listens on its own thread.
pub struct Events(JoinHandle<String>);

impl Events {
    /// Connects to the socket as soon as QEMU has made it, and reads it to its end.
    pub fn of(socket: &Path) -> Self {
        let socket = socket.to_path_buf();
        Self(spawn(move || {
            let mut stream = connect(&socket);
            stream.write_all(b"{\"execute\": \"qmp_capabilities\"}\n").expect("QEMU takes commands");
            let lines = BufReader::new(stream).lines();
            // The end of QEMU may reset the connection.
            lines.map_while(Result::ok).map(|line| line + "\n").collect()
        }))
    }

    /// All that was said, once QEMU has ended.
    pub fn text(self) -> String {
        self.0.join().expect("the listener ends")
    }
}

fn connect(socket: &PathBuf) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) if start.elapsed() > Duration::from_secs(20) => panic!("{}: {error}", socket.display()),
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}
