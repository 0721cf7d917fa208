//! Guests that do not do as they should.

use super::*;

#[test]
fn a_message_may_come_in_pieces() {
    for length in [1, 7, 1000] {
        let listen = Listen::start(&["--unix", "v.sock"]);
        let mut stream = listen.connect("v.sock_9999");
        STARTED[0].as_bytes().chunks(length).for_each(|piece| stream.write_all(piece).unwrap());
        drop(stream);
        assert_eq!(listen.end(), (0, vec![STARTED[1].into()], String::new()));
    }
}

#[test]
fn a_connection_without_a_message_is_nothing() {
    let listen = Listen::start(&["--unix", "v.sock"]);
    drop(listen.connect("v.sock_9999"));
    listen.send("");
    listen.send("\n");
    listen.send(STARTED[0]);
    assert_eq!(listen.end(), (0, vec![STARTED[1].into()], String::new()));
}

#[test]
fn a_message_that_is_too_long_is_passed_over() {
    let listen = Listen::start(&["--unix", "v.sock"]);
    let mut stream = listen.connect("v.sock_9999");
    let long = [FAILED[0].as_bytes(), &[b'a'; 1 << 20]].concat();
    // It is not read to its end, so that the write fails, or the socket takes all of it.
    let _ = stream.write_all(&long);
    let _ = stream.read(&mut [0]);
    listen.send(STARTED[0]);
    let (status, stdout, stderr) = listen.end();
    assert_eq!((status, stdout), (0, vec![STARTED[1].into()]));
    assert_eq!(stderr, "guest-image: warning: a message of more than 64 KiB is passed over");
}

#[test]
fn what_is_printed_controls_no_terminal() {
    let garbage: Vec<u8> = (0..=255).collect();
    let listen = Listen::start(&["--unix", "v.sock"]);
    listen.send(&garbage);
    let forged = "X_GUEST_INIT_MODULES=1\nX_GUEST_INIT_AGENT=\x1b[2J\r\u{9b}\nX_GUEST_INIT_USEC=99999999999999999999\n";
    let printed = listen.printed();
    assert!(printed.starts_with("other: \\x00\\x01"), "{printed}");
    assert!(printed.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{printed:?}");
    listen.send(forged);
    let (status, stdout, _) = listen.end();
    let line = "guest-init: started \\x1b[2J\\x0d\\xc2\\x9b: 1 module, loaded in 0.000 s; 0.000 s from its start, \
                0.000 s from the kernel's";
    assert_eq!((status, stdout), (0, vec![line.to_string()]));
}

#[test]
fn connections_that_never_end_hold_up_nobody() {
    let listen = Listen::start(&["--unix", "v.sock"]);
    // More than are read at once.
    let idle: Vec<_> = (0..40).map(|_| listen.connect("v.sock_9999")).collect();
    let mut cut = listen.connect("v.sock_9999");
    cut.write_all(b"READY=1\nX_GUEST_INIT_CODE=0x4").unwrap();
    assert_eq!(listen.printed(), "other: READY=1");
    let mut whole = listen.connect("v.sock_9999");
    whole.write_all(FAILED[0].as_bytes()).unwrap();
    let (status, stdout, stderr) = listen.end();
    assert_eq!((status, stdout), (66, vec![FAILED[1].into()]));
    assert!(stderr.contains("guest-image: warning: a connection did not end within 5 s"), "{stderr}");
    drop((idle, cut, whole));
}

#[test]
fn many_connections_are_all_heard() {
    let listen = Listen::start(&["--unix", "v.sock"]);
    let expected: Vec<_> = (0..200).map(|number| format!("other: N={number:03}")).collect();
    thread::scope(|scope| {
        for number in 0..200 {
            let mut stream = listen.connect("v.sock_9999");
            scope.spawn(move || {
                stream.write_all(format!("N={number:03}").as_bytes()).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut [0]).expect("an end of file"), 0);
            });
        }
    });
    let mut printed: Vec<_> = expected.iter().map(|_| listen.printed()).collect();
    printed.sort();
    assert_eq!(printed, expected);
    listen.send(STARTED[0]);
    assert_eq!(listen.end().0, 0);
}
