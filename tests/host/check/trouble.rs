//! guest-image check and explain: wrong arguments, unreadable files, files of all kinds in place of lists, and the
//! output.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::place::{Outcome, Place};

fn fifo(place: &Place, path: &str) {
    assert!(Command::new("mkfifo").arg(place.path(path)).status().unwrap().success());
}

#[test]
fn an_unreadable_file_is_no_verdict() {
    let place = Place::new();
    place.file("root/lib/modules/2.0/modules.dep", "");
    place.file("empty/lib/modules/nothing/x", "");
    place.file("notes.txt", "notes");
    fs::create_dir(place.path("bare")).unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["--root", "root", "net"], "root/lib/modules: several module trees; choose with --release among 1.0, 2.0"),
        (
            &["--root", "empty", "net"],
            "empty/lib/modules: no module tree: it has no RELEASE/modules.dep; name another --module-dir, or run depmod",
        ),
        (
            &["--root", "bare", "net"],
            "bare/lib/modules: No such file or directory (os error 2): no module trees; name their folder with \
             --module-dir, or the root with --root",
        ),
        (
            &["--module-dir", "notes.txt", "net"],
            "notes.txt: Not a directory (os error 20): no module trees; name their folder with --module-dir, or the root with --root",
        ),
        (&["--root", "root", "--file", "no-list"], "--file no-list: No such file or directory (os error 2)"),
        (
            &["--root", "root", "--kernel", "no-kernel", "net"],
            "--kernel no-kernel: No such file or directory (os error 2)",
        ),
        (
            &["--root", "root", "--kernel", "notes.txt", "net"],
            "--kernel notes.txt: not a kernel image: neither bzImage, nor vmlinux, nor an Image of arm64 or riscv64, nor a \
             unified kernel image; it may be compressed with gzip, zstd, xz, bzip2, lzma, lzo or lz4",
        ),
        (
            &["--module-dir", "root/lib/modules", "--cmdline", "guest_init.modules_file=/list"],
            "guest_init.modules_file=/list: a path in the guest: name its root with --root",
        ),
        (
            &["--cmdline", "guest_init.module_dir=/m guest_init.modules=net"],
            "guest_init.module_dir=/m: a path in the guest: name its root with --root",
        ),
    ];
    for (arguments, expected) in cases {
        let outcome = place.run(&[&["check"], arguments].concat());
        let expected = Outcome { status: 2, out: String::new(), err: format!("guest-image: {expected}\n") };
        assert_eq!(outcome, expected, "{arguments:?}");
    }
}

#[test]
fn wrong_arguments_are_status_2() {
    let place = Place::new();
    for arguments in [
        &["check", "--share", "x"][..],
        &["check", "--lists", "x"],
        &["explain", "--all", "0x42"],
        &["explain", "0x7f"],
        &["explain", "hello"],
        &["no-command"],
        &[],
    ] {
        let outcome = place.run(arguments);
        assert!(outcome.status == 2 && outcome.out.is_empty() && !outcome.err.is_empty(), "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn files_in_place_of_lists_fail_as_in_the_guest() {
    let place = Place::new();
    place.file("latin", b"bus\n# \xff\n");
    place.file("long", "#".repeat((64 << 10) + 1));
    place.file("whole", format!("#{}\nbus", "x".repeat((64 << 10) - 5)));
    fs::create_dir(place.path("folder")).unwrap();
    fifo(&place, "pipe");
    let first = |file: &str| {
        let outcome = place.check(&["--file", file]);
        (outcome.status, outcome.out.lines().next().unwrap().to_string())
    };
    let cases = [
        ("latin", "failure: read latin: EILSEQ: not UTF-8, at offset 0x6 (exit 0x2b)"),
        ("long", "failure: read long: EFBIG: it has more than 64 KiB (exit 0x2a)"),
        ("folder", "failure: read folder: EISDIR: it is a directory (exit 0x29)"),
        ("pipe", "failure: read pipe: EINVAL: it is a FIFO or a device (exit 0x29)"),
    ];
    for (file, expected) in cases {
        assert_eq!(first(file), (1, expected.into()));
    }
    assert_eq!(first("whole"), (0, "insmod kernel/bus.ko".into()));
}

#[test]
fn a_list_comes_from_standard_input() {
    let place = Place::new();
    let mut command = place.command(&["check", "--root", "root", "--file", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"bus; -x").unwrap();
    let outcome = Outcome::of(child.wait_with_output().unwrap());
    let expected = "failure: read standard input `-x`: EINVAL: a name begins with a letter, a digit or `_` (exit 0x25)";
    assert_eq!((outcome.status, outcome.out.lines().next()), (1, Some(expected)), "{}", outcome.err);
}

#[test]
fn arguments_that_are_not_text_are_refused_or_taken_as_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let odd = OsStr::from_bytes(b"bus\xff");
    let output = place.command(&["check", "--root", "root"]).arg(odd).output().unwrap();
    assert_eq!(Outcome::of(output).status, 2);
    let output = place.command(&["check", "--root", "root", "bus", "--cmdline"]).arg(odd).output().unwrap();
    assert_eq!(Outcome::of(output).status, 0);
    let output = place.command(&["check", "bus", "--root"]).arg(odd).output().unwrap();
    assert_eq!(Outcome::of(output).status, 2);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    for arguments in [&["check", "--root", "root", "bus"][..], &["explain", "--all"], &["explain", "--all", "--json"]] {
        let mut child = place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let outcome = Outcome::of(child.wait_with_output().unwrap());
        assert_eq!((outcome.status, &outcome.err[..]), (0, ""), "{arguments:?}");
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = place.command(&["explain", "--all"]).stdout(full).output().unwrap();
    let outcome = Outcome::of(output);
    assert_eq!(outcome.status, 1);
    assert!(outcome.err.starts_with("guest-image: standard output: "), "{}", outcome.err);
}

#[test]
fn colours_are_only_for_terminals() {
    let place = Place::new();
    let colours = |variables: &[(&str, &str)]| {
        let mut command = place.command(&["check", "--root", "root", "nett"]);
        Outcome::of(command.envs(variables.iter().copied()).output().unwrap()).out.contains('\x1b')
    };
    assert!(!colours(&[]));
    assert!(colours(&[("CLICOLOR_FORCE", "1")]));
    assert!(!colours(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}
