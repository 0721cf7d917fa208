//! guest-image build: the init and the agent that an image can have.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use guest_init::machine::{self, Machine, PPC64LE, X86_64};

use super::work::{Work, listing};
use crate::support::program::{init, init_for, linked_dynamically};

#[test]
fn an_agent_without_its_interpreter_is_refused() {
    let work = Work::new();
    fs::set_permissions(work.path("init"), fs::Permissions::from_mode(0o755)).unwrap();
    work.file("dynamic", linked_dynamically(init()));
    work.file("script", "#!/bin/sh -e\n");
    for (agent, interpreter) in [("dynamic", "/lib/ld.so"), ("script", "/bin/sh")] {
        let failure = format!("start /sbin/agent: ENOENT: its interpreter {interpreter} is not there");
        let printed = work.fails(&["--agent", agent]);
        let hint = "put it into the image with --add, or only warn of it with --allow-missing";
        assert_eq!(printed, format!("guest-image: {failure}; {hint}\n"));
        let printed = work.build(&["--agent", agent, "--allow-missing"]);
        assert_eq!(printed, format!("guest-image: warning: {failure}\ninitramfs.img: 0 modules"));
        let printed = work.build(&["--agent", agent, "--add", &format!("init:{interpreter}")]);
        assert_eq!(printed, "initramfs.img: 0 modules");
        work.remove_image();
    }
}

#[test]
fn an_agent_for_another_machine_is_refused() {
    let work = Work::new();
    for machine in machine::ALL.into_iter().filter(|machine| **machine != X86_64) {
        work.file("foreign", init_for(machine));
        let line = format!("start /sbin/agent: ENOEXEC: built for {machine}, this machine is x86_64\n");
        assert_eq!(work.fails(&["--agent", "foreign"]), format!("guest-image: {line}"));
    }
}

#[test]
fn an_image_is_for_the_machine_of_its_init() {
    let work = Work::new();
    for machine in machine::ALL {
        work.file("init", init_for(machine));
        work.build(&["--agent", "init"]);
        work.remove_image();
    }
    // A big-endian PowerPC.
    work.file("init", init_for(&Machine { big_endian: true, ..PPC64LE }));
    let printed = work.fails(&["--agent", "agent"]);
    assert!(printed.starts_with("guest-image: --init init: built for a machine that guest-init does not run on; "));
}

#[test]
fn an_image_whose_agent_is_on_another_root_has_none() {
    let work = Work::new();
    work.build(&["--no-agent"]);
    let lines = listing(&work.image());
    assert!(lines.contains("sbin/guest-init\n") && !lines.contains("agent"), "{lines}");
}

#[test]
fn without_init_the_installed_one_is_taken() {
    let work = Work::new();
    fs::create_dir_all(work.path("prefix/bin")).unwrap();
    fs::create_dir_all(work.path("prefix/sbin")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_guest-image"), work.path("prefix/bin/guest-image")).unwrap();
    fs::rename(work.path("init"), work.path("prefix/sbin/guest-init")).unwrap();
    let mut build = Command::new(work.path("prefix/bin/guest-image"));
    let output = build.current_dir(work.path("")).args(["build", "--no-agent", "--quiet"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(listing(&work.image()).contains("sbin/guest-init\n"));
}

#[test]
fn an_init_that_can_not_be_pid_1_is_refused() {
    let ordinary = fs::read(env!("CARGO_BIN_EXE_guest-init")).unwrap();
    let cases = [
        (ordinary, "not a build of guest-init that can be PID 1: no note .note.guest_init in it"),
        (b"#!/bin/sh\n".to_vec(), "not a 64-bit ELF program"),
        (linked_dynamically(init()), "linked dynamically"),
    ];
    let work = Work::new();
    for (file, cause) in cases {
        work.file("init", file);
        let expected =
            format!("guest-image: --init init: {cause}; run scripts/build and name the guest-init that it makes\n");
        assert_eq!(work.fails(&["--agent", "agent"]), expected);
    }
}
