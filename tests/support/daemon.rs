//! A back end of a device that a test can stop and kill while a VM uses it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a back end may take to open its socket.
const LIMIT: Duration = Duration::from_secs(60);

/// A running back end. It ends with this value, or with the test.
pub struct Daemon {
    child: Child,
    /// The socket that QEMU connects to.
    pub socket: PathBuf,
    _directory: TempDir,
}

impl Daemon {
    /// Starts a program with the option for its socket, to which the socket's path is added, and other arguments.
    pub fn start(program: &str, socket_option: &str, arguments: &[String]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let socket = directory.path().join("socket");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]).arg(format!("{socket_option}={}", socket.display()));
        command.args(arguments);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("setpriv starts");
        let start = Instant::now();
        while !socket.exists() {
            assert!(start.elapsed() < LIMIT, "{program} does not open its socket");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, socket, _directory: directory }
    }

    /// Serves a directory as a virtio-fs share.
    pub fn virtiofsd(source: &Path) -> Self {
        let program = std::env::var("VIRTIOFSD").unwrap_or_else(|_| "/usr/lib/qemu/virtiofsd".into());
        let options = ["-o", &format!("source={}", source.display()), "-o", "sandbox=chroot"];
        Self::start(&program, "--socket-path", &options.map(String::from))
    }

    /// The value of `--share-socket` of scripts/vm.
    pub fn share(&self, tag: &str) -> String {
        format!("{tag}={}", self.socket.display())
    }

    /// Stops the daemon: it keeps its connection and answers nothing.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Kills the daemon, even if it is stopped.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        kill(pid, signal).expect("the daemon is there");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
