//! QEMU's control socket: the events of a VM, which QEMU reports there, and commands.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
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
            let lines = BufReader::new(connect(&socket)).lines();
            // QEMU's end may reset the connection.
            lines.map_while(Result::ok).map(|line| line + "\n").collect()
        }))
    }

    /// All that QEMU reported. Waits for its end.
    pub fn text(self) -> String {
        self.0.join().expect("the listener ends")
    }
}

/// Connects to the socket as soon as QEMU has made it, and ends the negotiation.
pub fn connect(socket: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(mut stream) => {
                stream.write_all(b"{\"execute\": \"qmp_capabilities\"}\n").expect("QEMU takes commands");
                return stream;
            }
            Err(error) if start.elapsed() > LIMIT => panic!("{}: {error}", socket.display()),
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}

/// Executes a command with these arguments, an object of JSON, and waits for its success.
pub fn execute(mut stream: UnixStream, command: &str, arguments: &str) {
    let text = format!("{{\"execute\": \"{command}\", \"arguments\": {arguments}, \"id\": \"command\"}}\n");
    stream.write_all(text.as_bytes()).expect("QEMU takes commands");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let answer = lines.find(|line| line.contains("\"id\": \"command\""));
    assert!(answer.as_ref().is_some_and(|answer| answer.contains("\"return\"")), "{command}: {answer:?}");
}
