//! Receivers that are programs of their own: one that reads as systemd does, and `guest-image listen`.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use guest_init::failure::Code;
use serde_json::{Value, json};

use super::image;
use crate::support::listener::{Channel, Listener};
use crate::support::{Console, Vm, root};

/// How long a receiver may take to make its socket.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts a receiver, with these last words of its command line, and waits for its socket.
fn start(program: &str, listener: &Listener, arguments: &[&str]) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]).args(arguments);
    let receiver = command.stdout(Stdio::piped()).spawn().expect("setpriv starts");
    let start = Instant::now();
    while !listener.socket().exists() {
        assert!(start.elapsed() < LIMIT, "{program} does not make its socket");
        sleep(Duration::from_millis(20));
    }
    receiver
}

/// Boots with the listener's vsock device.
fn boot(listener: &Listener, words: &str) -> Console {
    Vm::new(&image().build()).channel(listener).append(&listener.word()).append(words).run()
}

/// The lines of JSON that a receiver has printed up to its end.
fn printed(receiver: Child) -> Vec<Value> {
    let output = receiver.wait_with_output().expect("it ends").stdout;
    let lines = output.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect()
}

/// Boots with the receiver in Python, and returns the console and what the receiver understood.
fn read_in_python(words: &str) -> (Console, Vec<Value>) {
    let listener = Listener::absent(Channel::Vsock);
    let (script, socket) = (root().join("tests/support/notify_reader.py"), listener.socket());
    let [script, socket] = [&script, &socket].map(|path| path.to_str().expect("a path in UTF-8"));
    let mut reader = start("python3", &listener, &[script, socket]);
    let console = boot(&listener, words);
    reader.kill().expect("it can be killed");
    (console, printed(reader))
}

#[test]
fn a_receiver_that_reads_as_systemd_does_understands_a_failure() {
    let (console, messages) = read_in_python("guest_init.agent=/none");
    let line = "start /none: ENOENT: there is no such file";
    let console = console.failed(Code::AgentMissing, line);
    let keys = ["STATUS", "ERRNO", "EXIT_STATUS", "X_GUEST_INIT_CODE", "X_GUEST_INIT_STAGE", "X_GUEST_INIT_SUBJECT"];
    let (status, code) = (console.last_word(line), Code::AgentMissing as u8);
    let expected = json!({"ready": false, "status": status, "errno": 2, "exit_status": code, "keys": keys});
    assert_eq!(messages, [expected], "{console}");
}

#[test]
fn a_receiver_that_reads_as_systemd_does_understands_a_start() {
    let (console, messages) = read_in_python("guest_init.modules=dummy");
    let console = console.agent_ran();
    let [message] = &messages[..] else { panic!("{messages:?}\n{console}") };
    let understood = [&message["ready"], &message["status"], &message["exit_status"]];
    assert_eq!(understood, [&json!(false), &json!("agent started"), &json!(0)], "{message}");
}

/// Boots with `guest-image listen`, and returns the console, its exit status, and its last message.
fn with_guest_image(words: &str) -> (Console, i32, Value) {
    let listener = Listener::absent(Channel::Vsock);
    let base = listener.base();
    let arguments = ["listen", "--json", "--time-limit", "300", "--unix", base.to_str().expect("a path in UTF-8")];
    let mut receiver = start(env!("CARGO_BIN_EXE_guest-image"), &listener, &arguments);
    let console = boot(&listener, words);
    let status = receiver.wait().expect("it ends").code().expect("no signal ends it");
    let message = printed(receiver).pop();
    (console, status, message.expect("it printed a message"))
}

#[test]
fn guest_image_listen_ends_with_status_0_if_the_agent_was_started() {
    let (console, status, message) = with_guest_image("guest_init.modules=dummy");
    let console = console.agent_ran();
    let expected = [&json!("started"), &json!("/sbin/agent"), &json!(1)];
    assert_eq!([&message["kind"], &message["agent"], &message["modules"]], expected, "{console}");
    assert_eq!(status, 0, "{message}");
}

#[test]
fn guest_image_listen_ends_with_the_failures_code() {
    let (console, status, message) = with_guest_image("guest_init.modules=nosuch");
    let line = "plan nosuch: ENOENT: no module, alias or built-in of";
    let console = console.failed(Code::UnknownModule, line);
    let expected = [json!("failed"), json!(console.last_word(line)), json!("nosuch")];
    assert_eq!([&message["kind"], &message["line"], &message["subject"]].map(Value::clone), expected, "{console}");
    assert_eq!(status, Code::UnknownModule as i32, "{message}");
}
