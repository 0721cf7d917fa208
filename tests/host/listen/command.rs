//! The command that runs the VM: its start, its end, and signals.

use super::*;

/// Starts listen with a script as its command.
fn start(options: &[&str], script: &str) -> Listen {
    Listen::start(&[&["--unix", "v.sock"], options, &["--", "sh", "-c", script]].concat())
}

/// Gives the command a line.
fn write(listen: &mut Listen, line: &str) {
    listen.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
}

#[test]
fn a_command_runs_on_after_the_hand_off() {
    let mut listen = start(&[], "exec cat");
    listen.send(STARTED[0]);
    assert_eq!((listen.printed(), listen.status()), (STARTED[1].into(), 0));
    assert!(!listen.path("v.sock_9999").exists());
    write(&mut listen, "still here\n");
    assert_eq!(listen.printed(), "still here");
    assert_eq!(listen.end(), (0, vec![], String::new()));
}

#[test]
fn wait_stays_until_the_command_ends() {
    let mut listen = start(&["--wait", "--time-limit", "60"], "exec cat");
    listen.send(STARTED[0]);
    assert_eq!(listen.printed(), STARTED[1]);
    listen.send("READY=1");
    assert_eq!(listen.printed(), "other: READY=1");
    drop(listen.stdin.take());
    assert_eq!(listen.end(), (0, vec![], String::new()));

    let listen = start(&["--wait"], "exec cat");
    listen.send(STARTED[0]);
    assert_eq!(listen.printed(), STARTED[1]);
    listen.send(FAILED[0]);
    assert_eq!(listen.end(), (66, vec![FAILED[1].into()], String::new()));
}

#[test]
fn after_a_failure_a_command_may_end_by_itself() {
    let mut listen = start(&[], "trap 'echo killed; exit' TERM; read line; echo \"$line\"");
    listen.send(FAILED[0]);
    assert_eq!(listen.printed(), FAILED[1]);
    write(&mut listen, "panic\n");
    assert_eq!(listen.end(), (66, vec!["panic".into()], String::new()));
}

#[test]
fn after_a_failure_a_command_that_stays_gets_sigterm_and_then_sigkill() {
    let listen = start(&[], "trap 'echo TERM; read line' TERM; read line");
    listen.send(FAILED[0]);
    assert_eq!(listen.printed(), FAILED[1]);
    let (status, stdout, _) = listen.end();
    assert_eq!((status, stdout), (66, vec!["TERM".into()]));
}

#[test]
fn after_the_time_limit_a_command_gets_sigterm() {
    let listen = start(&["--time-limit", "3"], "trap 'echo TERM; exit' TERM; echo ready; read line");
    let (status, stdout, stderr) = listen.end();
    assert_eq!((status, stdout), (124, vec!["ready".into(), "TERM".into()]));
    assert_eq!(stderr, "guest-image: guest-init did not report within 3 s; nothing was heard");
}

#[test]
fn a_command_that_ends_early_is_status_1() {
    let (status, _, stderr) = start(&[], "exit 7").end();
    assert_eq!(status, 1);
    assert_eq!(stderr, "guest-image: sh ended (exit status: 7) before guest-init reported; nothing was heard");
    let mut listen = start(&[], "exec cat");
    listen.send("READY=1");
    assert_eq!(listen.printed(), "other: READY=1");
    drop(listen.stdin.take());
    let (status, _, stderr) = listen.end();
    assert!(status == 1 && stderr.ends_with("; heard last: other: READY=1"), "{stderr}");
}

#[test]
fn a_message_from_before_the_commands_end_counts() {
    let mut listen = start(&[], "exec cat");
    let mut stream = listen.connect("v.sock_9999");
    stream.write_all(FAILED[0].as_bytes()).unwrap();
    drop((stream, listen.stdin.take()));
    assert_eq!(listen.end(), (66, vec![FAILED[1].into()], String::new()));
}

#[test]
fn a_command_that_can_not_be_started_is_status_126_or_127() {
    for (program, expected, error) in
        [("./absent", 127, "No such file or directory (os error 2)"), ("/", 126, "Permission denied (os error 13)")]
    {
        let (status, _, stderr) = run(&["--unix", "v.sock", "--", program]);
        assert_eq!(status, expected);
        assert!(stderr.ends_with(&format!("\nguest-image: {program}: {error}")), "{stderr}");
    }
}

#[test]
fn signals_are_passed_on() {
    let script = "for s in HUP INT QUIT TERM; do trap \"echo $s\" $s; done; echo ready; read a; read a; read a; read a";
    let mut listen = start(&[], script);
    assert_eq!(listen.printed(), "ready");
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        listen.signal(signal);
        assert_eq!(listen.printed(), signal.as_str().trim_start_matches("SIG"));
    }
    drop(listen.stdin.take());
    let (status, _, stderr) = listen.end();
    assert!(status == 1 && stderr.contains("sh ended"), "{stderr}");
}

#[test]
fn a_signal_without_a_command_ends_listen_and_removes_the_socket() {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        let mut listen = Listen::start(&["--unix", "v.sock"]);
        listen.signal(signal);
        assert_eq!(listen.status(), 128 + signal as i32);
        assert!(!listen.path("v.sock_9999").exists());
    }
}

#[test]
fn a_signal_that_was_ignored_stays_so_for_the_command_too() {
    let folder = TempDir::new().unwrap();
    let script = "trap '' HUP; exec \"$0\" listen --unix v.sock -- sh -c 'kill -HUP $$; kill -HUP $PPID; echo on; cat'";
    let mut shell = Command::new("sh");
    let listen = Listen::spawn(folder, shell.args(["-c", script, env!("CARGO_BIN_EXE_guest-image")]));
    assert_eq!(listen.printed(), "on");
    listen.send(STARTED[0]);
    let (status, stdout, _) = listen.end();
    assert_eq!((status, stdout), (0, vec![STARTED[1].into()]));
}
