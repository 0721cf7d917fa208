//! guest-image listen: the test is the guest and the VMM, with real sockets and real commands.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tempfile::TempDir;

mod command;
mod hostile;

/// The bound on each wait. A test that works ends long before.
const BOUND: Duration = Duration::from_secs(120);

/// The message of guest-init at the hand-off, and the line that is printed for it.
const STARTED: [&str; 2] = [
    "STATUS=agent started\nX_GUEST_INIT_AGENT=/sbin/agent\nX_GUEST_INIT_MODULES=12\nX_GUEST_INIT_USEC=123456\n\
     X_GUEST_INIT_LOAD_USEC=100000\nX_GUEST_INIT_BOOT_USEC=2345678\n",
    "guest-init: started /sbin/agent: 12 modules, loaded in 0.100 s; 0.123 s from its start, 2.345 s from the kernel's",
];

/// The message of guest-init at a failure, and the line that is printed for it.
const FAILED: [&str; 2] = [
    "STATUS=guest-init: failed: load nvidia: ENOEXEC: built for A, this kernel is B (exit 0x42)\nERRNO=8\n\
     EXIT_STATUS=66\nX_GUEST_INIT_CODE=0x42\nX_GUEST_INIT_STAGE=load\nX_GUEST_INIT_SUBJECT=nvidia\n",
    "guest-init: failed: load nvidia: ENOEXEC: built for A, this kernel is B (exit 0x42)",
];

/// A running `guest-image listen`, in a folder of its own.
struct Listen {
    folder: TempDir,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Listen {
    /// Starts it with these arguments in a new folder.
    fn start(arguments: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), arguments)
    }

    /// Starts it with these arguments, and returns when it has its socket.
    fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        // A shell without job control starts commands in the background with SIGINT and SIGQUIT ignored.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,QUIT,TERM", env!("CARGO_BIN_EXE_guest-image"), "listen"]);
        let listen = Self::spawn(folder, command.args(arguments));
        let line = listen.stderr.recv_timeout(BOUND).expect("a line");
        assert!(line.contains("guest_init.notify="), "{line}");
        listen
    }

    fn spawn(folder: TempDir, command: &mut Command) -> Self {
        let command = command.current_dir(folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { folder, child, stdin, stdout, stderr }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A connection of the guest.
    fn connect(&self, socket: &str) -> UnixStream {
        let stream = UnixStream::connect(self.path(socket)).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream
    }

    /// Sends a message as the guest does, to the socket for the default port: it waits for the end of file.
    fn send(&self, message: impl AsRef<[u8]>) {
        let mut stream = self.connect("v.sock_9999");
        stream.write_all(message.as_ref()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).expect("an end of file"), 0);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// The next line on standard output.
    fn printed(&self) -> String {
        self.stdout.recv_timeout(BOUND).expect("a line")
    }

    /// The exit status. Standard input stays open.
    fn status(&mut self) -> i32 {
        if let Some(status) = self.child.try_wait().unwrap() {
            return status.code().expect("an exit status");
        }
        let (sender, ended) = mpsc::channel();
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // The thread waits without reaping, so that the test can still kill by the process id.
        thread::spawn(move || sender.send(waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)));
        ended.recv_timeout(BOUND).expect("an end in time").unwrap();
        self.child.wait().unwrap().code().expect("an exit status")
    }

    /// The exit status, and all further lines on standard output and standard error. A command that runs on must end
    /// with its standard input.
    fn end(mut self) -> (i32, Vec<String>, String) {
        let status = self.status();
        drop(self.stdin.take());
        let rest = |lines: &Receiver<String>| {
            let mut rest = Vec::new();
            loop {
                match lines.recv_timeout(BOUND) {
                    Ok(line) => rest.push(line),
                    Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
                    Err(mpsc::RecvTimeoutError::Timeout) => panic!("a process does not end: {rest:?}"),
                }
            }
        };
        (status, rest(&self.stdout), rest(&self.stderr).join("\n"))
    }
}

impl Drop for Listen {
    fn drop(&mut self) {
        // Nothing happens if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream as they arrive.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

/// The end of a run that needs nothing from the test.
fn run(arguments: &[&str]) -> (i32, Vec<String>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
    Listen::spawn(TempDir::new().unwrap(), command.arg("listen").args(arguments)).end()
}

#[test]
fn a_start_is_status_0_and_a_line() {
    let listen = Listen::start(&["--unix", "v.sock"]);
    listen.send(STARTED[0]);
    let socket = listen.path("v.sock_9999");
    let folder = listen.folder.path().to_path_buf();
    assert_eq!(listen.end(), (0, vec![STARTED[1].into()], String::new()));
    assert!(!socket.exists() && !folder.exists());
}

#[test]
fn a_failure_is_its_code_and_its_line() {
    let listen = Listen::start(&["--unix", "v.sock", "--vsock-port", "5"]);
    let mut stream = listen.connect("v.sock_5");
    stream.write_all(FAILED[0].as_bytes()).unwrap();
    drop(stream);
    assert_eq!(listen.end(), (0x42, vec![FAILED[1].into()], String::new()));
}

#[test]
fn messages_of_others_decide_nothing() {
    let listen = Listen::start(&["--unix", "v.sock"]);
    listen.send("READY=1\nSTATUS=Startup finished\n");
    assert_eq!(listen.printed(), "other: READY=1, STATUS=Startup finished");
    // A code that no stage has, and that would be the status of success.
    listen.send("X_GUEST_INIT_CODE=0x00\n");
    listen.send("EXIT_STATUS=66");
    listen.send(STARTED[0]);
    let others = ["other: X_GUEST_INIT_CODE=0x00", "other: EXIT_STATUS=66", STARTED[1]].map(String::from);
    let (status, mut stdout, _) = listen.end();
    let mut expected = others.to_vec();
    assert_eq!(stdout.last(), expected.last());
    stdout.sort();
    expected.sort();
    assert_eq!((status, stdout), (0, expected));
}

#[test]
fn json_has_the_fields_and_their_meaning() {
    let json = |message: &str| {
        let listen = Listen::start(&["--unix", "v.sock", "--json"]);
        listen.send("A=\u{9b}31m\u{7f}\u{1f600}\nA=2\n=\nno field\n");
        let other = listen.printed();
        assert_eq!(other, r#"{"kind":"other","fields":{"":"","A":"\u009b31m\u007f\ud83d\ude00"}}"#);
        listen.send(message);
        let (status, stdout, _) = listen.end();
        (status, serde_json::from_str::<serde_json::Value>(&stdout[0]).unwrap())
    };
    let (status, failed) = json(FAILED[0]);
    let expected = serde_json::json!({
        "kind": "failed", "line": FAILED[1], "code": "0x42", "number": 66, "name": "OtherKernel", "stage": "load",
        "subject": "nvidia", "errno": "ENOEXEC", "meaning": "a module was built for another kernel",
        "look": "the two versions named",
        "fields": {
            "STATUS": FAILED[1], "ERRNO": "8", "EXIT_STATUS": "66", "X_GUEST_INIT_CODE": "0x42",
            "X_GUEST_INIT_STAGE": "load", "X_GUEST_INIT_SUBJECT": "nvidia",
        },
    });
    assert_eq!((status, failed), (66, expected));
    let (status, started) = json(STARTED[0]);
    let expected = serde_json::json!({
        "kind": "started", "agent": "/sbin/agent", "modules": 12, "usec": 123_456, "load_usec": 100_000,
        "boot_usec": 2_345_678,
        "fields": {
            "STATUS": "agent started", "X_GUEST_INIT_AGENT": "/sbin/agent", "X_GUEST_INIT_MODULES": "12",
            "X_GUEST_INIT_USEC": "123456", "X_GUEST_INIT_LOAD_USEC": "100000", "X_GUEST_INIT_BOOT_USEC": "2345678",
        },
    });
    assert_eq!((status, started), (0, expected));
}

#[test]
fn a_failure_with_an_unknown_code_keeps_its_number() {
    let listen = Listen::start(&["--unix", "v.sock", "--json"]);
    listen.send("X_GUEST_INIT_CODE=0x6f\nX_GUEST_INIT_STAGE=deadline\nX_GUEST_INIT_SUBJECT=x\n");
    let (status, stdout, _) = listen.end();
    let failed: serde_json::Value = serde_json::from_str(&stdout[0]).unwrap();
    assert_eq!((status, &failed["number"], &failed["name"]), (0x6f, &0x6f.into(), &serde_json::Value::Null));
}

#[test]
fn the_time_limit_reports_what_was_heard_last() {
    let (status, stdout, stderr) = run(&["--unix", "v.sock", "--time-limit", "0.1"]);
    assert_eq!((status, stdout.len()), (124, 0));
    assert!(stderr.ends_with("\nguest-image: guest-init did not report within 0.1 s; nothing was heard"), "{stderr}");
    // The message comes in time on every machine, because the first one is sent before the limit is waited for.
    let listen = Listen::start(&["--unix", "v.sock", "--time-limit", "3"]);
    listen.send("READY=1\n");
    let (status, stdout, stderr) = listen.end();
    assert_eq!((status, stdout), (124, vec!["other: READY=1".into()]));
    assert_eq!(stderr, "guest-image: guest-init did not report within 3 s; heard last: other: READY=1");
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let folder = TempDir::new().unwrap();
    drop(UnixListener::bind(folder.path().join("v.sock_9999")).unwrap());
    let listen = Listen::start_in(folder, &["--unix", "v.sock"]);
    listen.send(STARTED[0]);
    assert_eq!(listen.end().0, 0);

    let folder = TempDir::new().unwrap();
    let socket = UnixListener::bind(folder.path().join("v.sock_9999")).unwrap();
    fs::write(folder.path().join("v.sock_1"), "text").unwrap();
    symlink("absent", folder.path().join("v.sock_2")).unwrap();
    let path = folder.path().to_path_buf();
    let stderr = |arguments: &[&str]| {
        let mut run = Command::new(env!("CARGO_BIN_EXE_guest-image"));
        run.args(["listen", "--unix", "v.sock"]).args(arguments).current_dir(&path);
        let output = run.output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(stderr(&[]), "guest-image: v.sock_9999: another process listens on this socket\n");
    assert_eq!(stderr(&["--vsock-port", "1"]), "guest-image: v.sock_1: exists, and is no socket\n");
    assert!(stderr(&["--vsock-port", "2"]).starts_with("guest-image: v.sock_2: Address already in use"));
    assert_eq!(fs::read(path.join("v.sock_1")).unwrap(), b"text");
    drop(socket);
}

#[test]
fn a_socket_that_can_not_be_had_is_status_1() {
    let (status, _, stderr) = run(&["--unix", "absent/v.sock"]);
    assert_eq!(status, 1);
    assert_eq!(stderr, "guest-image: absent/v.sock_9999: No such file or directory (os error 2)");
    let long = "a".repeat(200);
    let (status, _, stderr) = run(&["--port", &long]);
    assert!(status == 1 && stderr.starts_with(&format!("guest-image: {long}: ")), "{stderr}");
}

#[test]
fn wrong_arguments_are_status_2() {
    for arguments in [
        &[][..],
        &["--unix", "a", "--vsock", "1"],
        &["--vsock", "4294967295"],
        &["--port", "a", "--vsock-port", "1"],
        &["--port", "a", "--seqpacket"],
        &["--unix", "a", "--wait"],
        &["--unix", "a", "--time-limit", "0"],
        &["--unix", "a", "--time-limit", "inf"],
        &["--unix", "a", "firecracker"],
    ] {
        assert_eq!(run(arguments).0, 2, "{arguments:?}");
    }
}

#[test]
fn a_port_is_listened_on_or_connected_to() {
    let message = |text: &str| [text.as_bytes(), b"\n"].concat();
    let both = [&message("READY=1\n")[..], &message(STARTED[0])].concat();
    let printed = vec!["other: READY=1".to_string(), STARTED[1].to_string()];

    let listen = Listen::start(&["--port", "n.sock"]);
    let mut vmm = listen.connect("n.sock");
    both.iter().for_each(|byte| vmm.write_all(&[*byte]).unwrap());
    let socket = listen.path("n.sock");
    assert_eq!(listen.end(), (0, printed.clone(), String::new()));
    assert!(!socket.exists());

    for (messages, expected) in [(both, (0, printed)), (message(FAILED[0]), (66, vec![FAILED[1].to_string()]))] {
        let folder = TempDir::new().unwrap();
        let vmm = UnixListener::bind(folder.path().join("n.sock")).unwrap();
        let listen = Listen::start_in(folder, &["--port", "n.sock"]);
        vmm.accept().unwrap().0.write_all(&messages).unwrap();
        let (status, stdout, _) = listen.end();
        assert_eq!((status, stdout), expected);
    }
}

#[test]
fn a_vmm_that_closes_its_port_is_status_1() {
    let folder = TempDir::new().unwrap();
    let vmm = UnixListener::bind(folder.path().join("n.sock")).unwrap();
    let listen = Listen::start_in(folder, &["--port", "n.sock"]);
    vmm.accept().unwrap().0.write_all(b"READY=1\nX_GUEST_INIT_CODE=0x4").unwrap();
    let expected = "guest-image: the VMM closed the socket; heard last: other: READY=1";
    assert_eq!(listen.end(), (1, vec!["other: READY=1".into()], expected.into()));
}

#[test]
fn a_socket_that_a_vmm_replaced_is_named_and_left() {
    let mut listen = Listen::start(&["--port", "n.sock", "--time-limit", "3"]);
    let socket = listen.path("n.sock");
    fs::remove_file(&socket).unwrap();
    let vmm = UnixListener::bind(&socket).unwrap();
    assert_eq!(listen.status(), 124);
    assert!(socket.exists());
    let (_, _, stderr) = listen.end();
    assert!(stderr.contains("nothing was heard; the socket was replaced: "), "{stderr}");
    drop(vmm);
}

#[test]
fn vsock_listens_or_names_the_errno() {
    use socket2::{Domain, SockAddr, Socket, Type};
    for (kind, option, key) in
        [(Type::STREAM, &[][..], "vsock-stream"), (Type::SEQPACKET, &["--seqpacket"], "vsock-seqpacket")]
    {
        // A port of this test process, so that no two runs have the same.
        let port = 0x4000_0000 + std::process::id();
        let bound = Socket::new(Domain::VSOCK, kind, None)
            .and_then(|socket| socket.bind(&SockAddr::vsock(u32::MAX, port)))
            .map_err(|error| error.to_string());
        let port = port.to_string();
        let (status, _, stderr) = run(&[&["--vsock", &port, "--time-limit", "0.1"], option].concat());
        match bound {
            Ok(()) => {
                let first = format!("guest-image: listening on vsock port {port}: guest_init.notify={key}:2:{port}\n");
                assert!(status == 124 && stderr.starts_with(&first), "{stderr}");
            }
            Err(error) => {
                assert_eq!((status, stderr), (1, format!("guest-image: AF_VSOCK, port {port}: {error}")));
            }
        }
    }
}
