//! guest-image explain: consoles of VMs that were booted, and what is said of them.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use guest_init::failure::Code;

/// Consoles of Linux 6.1 in QEMU, each from the start of PID 1 to the end of the VM: of a list that names a module that
/// does not exist, of an agent that ends with status 50, and of an agent that powers the VM off.
const CONSOLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/console");

fn console(name: &str) -> PathBuf {
    PathBuf::from(CONSOLES).join(name)
}

/// Runs `guest-image explain` with this input in the folder of consoles.
fn explain(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
    command.arg("explain").args(arguments).current_dir(CONSOLES);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// guest-init's own line in `failure.log`, and the first line of its explanation.
const FAILURE: [&str; 2] = [
    "guest-init: failed: plan e1001e: ENOENT: no module, alias or built-in of 6.1.0-56-amd64; nearest: e1000e (exit 0x32)",
    "0x32 UnknownModule (plan): a name is no module, alias or built-in of this kernel",
];

#[test]
fn a_log_is_explained_by_guest_inits_own_line() {
    for (arguments, input) in [(&["failure.log"][..], Vec::new()), (&["-"], fs::read(console("failure.log")).unwrap())]
    {
        let (status, stdout, stderr) = explain(arguments, &input);
        assert_eq!((status, stderr.as_str()), (0, ""));
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines[..2], FAILURE);
        assert!(lines.len() == 3 && lines[2].starts_with("     look at "), "{stdout}");
    }
    let (status, stdout, _) = explain(&["failure.log", "--json"], b"");
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &json[0]["line"], &json[0]["code"]), (0, &FAILURE[0].into(), &"0x32".into()));
}

#[test]
fn an_agents_own_end_is_not_explained_as_a_failure() {
    let (status, stdout, stderr) = explain(&["agent-ended.log"], b"");
    assert_eq!((status, stderr.as_str()), (1, ""));
    let answer = "agent-ended.log: the agent ended with status 50: guest-init reports no failure in this log; PID 1 was \
                  called agent\n";
    assert_eq!(stdout, answer);
    let (status, stdout, _) =
        explain(&["-"], b"Kernel panic - not syncing: Attempted to kill init! exitcode=0x00003200");
    assert_eq!(status, 1);
    assert!(stdout.contains("the agent ended with status 50, or guest-init failed with 0x32"), "{stdout}");
}

#[test]
fn a_missing_file_a_healthy_log_and_a_log_without_guest_init_differ() {
    let (status, stdout, stderr) = explain(&["absent.log"], b"");
    assert_eq!((status, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("guest-image: absent.log: No such file or directory"), "{stderr}");
    let (status, stdout, _) = explain(&["healthy.log"], b"");
    assert_eq!(status, 0);
    assert_eq!(stdout, "healthy.log: no failure of guest-init; its last line: guest-init: modules loaded: 1\n");
    let (status, stdout, _) = explain(&["-"], b"[    1.0] Run /sbin/init as init process\nsystemd[1]: hello\n");
    assert_eq!(status, 1);
    assert!(stdout.starts_with("standard input: no line of guest-init; the kernel ran /sbin/init\n"), "{stdout}");
}

#[test]
fn several_logs_are_each_explained_and_the_worst_status_counts() {
    let (status, stdout, stderr) = explain(&["failure.log", "absent.log", "healthy.log"], b"");
    assert_eq!((status, stderr.lines().count()), (2, 1));
    let headings: Vec<_> = stdout.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(headings, ["# failure.log", "# absent.log", "# healthy.log"]);
    assert!(stdout.contains(FAILURE[0]) && stdout.contains("no failure of guest-init"), "{stdout}");
}

#[test]
fn a_code_is_explained_however_it_is_given() {
    let text = "0x42 OtherKernel (load): a module was built for another kernel\n     look at the two versions named\n";
    let panic = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00004200";
    let unquoted: Vec<_> = panic.split(' ').collect();
    for arguments in [&["0x42"][..], &["66"], &["0x00004200"], &[panic], &unquoted] {
        let (status, stdout, stderr) = explain(arguments, b"");
        assert_eq!((status, stdout.as_str()), (0, text), "{stderr}");
    }
    let log = b"[    0.1] noise \xff\n<0>guest-init: failed: load x: ENOEXEC: y (exit 0x42)\n---[ end exitcode=0x00004200 ]---\n";
    let line = "guest-init: failed: load x: ENOEXEC: y (exit 0x42)";
    assert_eq!(explain(&[], log), (0, format!("{line}\n{text}"), String::new()));
    let (_, stdout, _) = explain(&["--all", "--json"], b"");
    let found: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let numbers: Vec<_> = found.as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap() as u8).collect();
    assert_eq!(numbers, Code::ALL.iter().map(|code| *code as u8).collect::<Vec<_>>());
}

#[test]
fn a_bare_number_says_how_it_is_read() {
    let (status, stdout, stderr) = explain(&["42"], b"");
    assert!(status == 0 && stdout.starts_with("0x2a ListTooLong (read): "), "{stdout}");
    assert_eq!(stderr, "guest-image: 42 is read as decimal, 0x2a; in hexadecimal it is 0x42 OtherKernel\n");
    let (_, _, stderr) = explain(&["exitcode=0x00003200"], b"");
    assert!(stderr.ends_with("; without it, the agent ended with status 50\n"), "{stderr}");
}

#[test]
fn a_log_that_has_the_times_of_modules_names_the_timeline() {
    let (status, stdout, stderr) = explain(&["../timeline/failure.log"], b"");
    assert!(status == 0 && stdout.contains("0x48 InitFailed (load)"), "{stdout}");
    let timeline = "has the time of each module: guest-image timeline LOG --svg draws them\n";
    assert_eq!(stderr, format!("guest-image: ../timeline/failure.log {timeline}"));
    let (_, stdout, _) = explain(&["../timeline/jobs-1.log"], b"");
    assert!(stdout.ends_with(&format!("\n../timeline/jobs-1.log {timeline}")), "{stdout}");
}
