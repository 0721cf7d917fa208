//! A virtiofsd that a test can stop and kill while a VM uses it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long virtiofsd may take to open its socket.
const LIMIT: Duration = Duration::from_secs(60);

/// A running virtiofsd. It ends with this value, or with the test.
pub struct Virtiofsd {
    child: Child,
    socket: PathBuf,
    _directory: TempDir,
}

impl Virtiofsd {
    /// Serves a directory.
    pub fn start(source: &Path) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let socket = directory.path().join("socket");
        let daemon = std::env::var("VIRTIOFSD").unwrap_or_else(|_| "/usr/lib/qemu/virtiofsd".into());
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", &daemon]).arg(format!("--socket-path={}", socket.display()));
        command.args(["-o", &format!("source={}", source.display()), "-o", "sandbox=chroot"]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("setpriv starts");
        let start = Instant::now();
        while !socket.exists() {
            assert!(start.elapsed() < LIMIT, "{daemon} does not open its socket");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, socket, _directory: directory }
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

impl Drop for Virtiofsd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
