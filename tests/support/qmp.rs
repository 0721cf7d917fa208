//! The events of a VM, which QEMU reports on its control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// How long QEMU may take to make its socket.
const LIMIT: Duration = Duration::from_secs(60);

/// A thread that reads the socket.
pub struct Events(JoinHandle<String>);

impl Events {
    /// Connects to the socket as soon as QEMU has made it, and reads it until QEMU ends.
    pub fn of(socket: &Path) -> Self {
        let socket = socket.to_path_buf();
        Self(spawn(move || {
            let mut stream = connect(&socket);
            stream.write_all(b"{\"execute\": \"qmp_capabilities\"}\n").expect("QEMU takes commands");
            let lines = BufReader::new(stream).lines();
            // QEMU's end may reset the connection.
            lines.map_while(Result::ok).map(|line| line + "\n").collect()
        }))
    }

    /// All that QEMU reported. Waits for its end.
    pub fn text(self) -> String {
        self.0.join().expect("the listener ends")
    }
}

fn connect(socket: &PathBuf) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) if start.elapsed() > LIMIT => panic!("{}: {error}", socket.display()),
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}
