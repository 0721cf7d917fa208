//! guest-image check on the agent of a root, and on the interpreters that the kernel needs for it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::place::Place;
use crate::support::program::{init, linked_dynamically};

/// Puts a program into the root.
fn program(place: &Place, path: &str, content: impl AsRef<[u8]>) {
    let path = format!("root{path}");
    place.file(&path, content);
    fs::set_permissions(place.path(&path), PermissionsExt::from_mode(0o755)).unwrap();
}

/// The status of a check of `bus`, and its lines behind the step.
fn end(place: &Place, arguments: &[&str]) -> (i32, Vec<String>) {
    let outcome = place.check(&[&["bus"], arguments].concat());
    let lines = outcome.out.lines().filter(|line| !line.starts_with("insmod ") && !line.starts_with("note: 0x"));
    (outcome.status, lines.map(String::from).collect())
}

#[test]
fn a_root_without_the_agent_is_a_warning() {
    let place = Place::new();
    fs::remove_file(place.path("root/sbin/agent")).unwrap();
    let lines = [
        "warning: /sbin/agent: the agent is not in root: the VM fails with 0x50 unless its image has it",
        "1.0: the VM would load 1 module, and its agent is missing",
    ];
    let expected = |status| (status, lines.map(String::from).to_vec());
    assert_eq!(end(&place, &[]), expected(0));
    assert_eq!(end(&place, &["--deny-warnings"]), expected(1));
    // A root with guest-init is the VM's image.
    program(&place, "/sbin/guest-init", init());
    let failure = "failure: start /sbin/agent: ENOENT: there is no such file (exit 0x50)";
    assert_eq!(
        end(&place, &[]),
        (1, [failure, "1.0: the VM would panic, exitcode=0x00005000"].map(String::from).into())
    );
    assert_eq!(end(&place, &["--cmdline", "guest_init.agent=/sbin/guest-init"]).0, 0);
}

#[test]
fn an_agent_whose_interpreter_is_missing_is_a_failure() {
    let place = Place::new();
    let failure = |reason: &str, code: &str| {
        let (status, lines) = end(&place, &[]);
        assert_eq!((status, &lines[0]), (1, &format!("failure: start /sbin/agent: {reason} (exit {code})")));
    };
    program(&place, "/sbin/agent", "#!/bin/sh\n");
    failure("ENOENT: its interpreter /bin/sh is not there", "0x52");
    program(&place, "/usr/bin/busybox", linked_dynamically(init()));
    symlink("/usr/bin", place.path("root/bin")).unwrap();
    symlink("/bin/busybox", place.path("root/usr/bin/sh")).unwrap();
    failure("ENOENT: its interpreter /lib/ld.so is not there", "0x52");
    program(&place, "/lib/ld.so", init());
    assert_eq!(end(&place, &[]).0, 0);
    program(&place, "/sbin/agent", "text");
    failure("ENOEXEC: it is neither an ELF file nor a script with #!", "0x53");
    place.file("root/sbin/agent", init());
    fs::set_permissions(place.path("root/sbin/agent"), PermissionsExt::from_mode(0o644)).unwrap();
    failure("EACCES: no execute bit in its mode", "0x51");
}

#[test]
fn the_agent_may_be_on_the_root_that_the_vm_switches_to() {
    let place = Place::new();
    let with = |words: &str| end(&place, &["--cmdline", words]);
    let lines = |note: &str, end: &str| {
        (0, [format!("note: root=/dev/vda: {note}"), format!("1.0: the VM would {end}")].to_vec())
    };
    let here = "load 1 module and start its agent";
    let ignored = lines("ignored by an initramfs that has the agent, /sbin/agent", here);
    assert_eq!(with("root=/dev/vda"), ignored);
    let switches =
        lines("the agent, /sbin/agent, is there, and was not looked for", "load 1 module and switch to root=");
    assert_eq!(with("root=/dev/vda guest_init.root=switch"), switches);
    fs::remove_file(place.path("root/sbin/agent")).unwrap();
    program(&place, "/sbin/guest-init", init());
    assert_eq!(with("root=/dev/vda"), switches);
    assert_eq!(with("root=/dev/vda guest_init.root=stay").0, 1);
}

#[test]
fn without_a_root_the_agent_is_not_looked_for() {
    let place = Place::new();
    let outcome = place.run(&["check", "--module-dir", "root/lib/modules", "bus"]);
    let note = "note: /sbin/agent: the agent was not looked for; name the guest's root with --root";
    assert!(outcome.status == 0 && outcome.out.lines().any(|line| line == note), "{outcome:?}");
}

#[test]
fn an_agent_on_a_share_that_is_the_root_is_looked_for() {
    let place = Place::new();
    fs::remove_file(place.path("root/sbin/agent")).unwrap();
    fs::create_dir(place.path("share")).unwrap();
    let check = || end(&place, &["--cmdline", "root=tag rootfstype=virtiofs", "--share", "tag=share"]);
    let note = "note: root=tag: the agent, /sbin/agent, is there".to_string();
    let failure = |reason: &str, code: &str| format!("failure: start /sbin/agent: ENOENT: {reason} (exit {code})");
    assert_eq!(check().1[..2], [failure("there is no such file", "0x50"), note.clone()]);
    program(&place, "/../share/sbin/agent", "#!/bin/sh\n");
    assert_eq!(check().1[..2], [failure("its interpreter /bin/sh is not there", "0x52"), note.clone()]);
    program(&place, "/../share/bin/sh", init());
    assert_eq!(check(), (0, vec![note, "1.0: the VM would load 1 module and switch to root=".into()]));
}
