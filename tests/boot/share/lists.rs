//! Lists of modules on shares.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use guest_init::failure::Code;
use tempfile::TempDir;

use super::{asked_for, image, with_share};
use crate::support::scene::{boot, directory};
use crate::support::{Console, Image, Kernel, Machine, Vm};

const LISTS: &str = "guest_init.modules=loop guest_init.modules_file=virtiofs:kataShared:/pod/list \
                     guest_init.modules=bonding guest_init.modules_file=/etc/list";

fn lists_are_joined(machine: &Machine) {
    let share = directory(&[("pod/list", b"# for this pod\ndummy numdummies=2\n\n?nosuch;\n")]);
    let image = image().file("/etc/list", "ifb numifbs=1\n", 0o644);
    let console = Vm::new(&image.build())
        .options(["--machine", machine.name, "--share", &format!("kataShared={}", share.path().display())])
        .append(LISTS)
        .append("-- --reboot --mount virtiofs kataShared /mnt --cat /mnt/pod/list")
        .run()
        .agent_ran()
        .has("agent: mount virtiofs: ok")
        .has("agent: /mnt/pod/list: dummy numdummies=2")
        .has("  dummy1  ")
        .in_order(&["Mounts: 6", "/proc", "/sys", "/dev", "/run", "/mnt   virtiofs  kataShared  rw,relatime"])
        .has("Open descriptors: 3");
    assert_eq!(asked_for(&console), ["loop", "dummy", "bonding", "ifb"]);
}

#[test]
fn lists_of_files_and_of_the_command_line_are_joined_in_their_order() {
    lists_are_joined(Machine::under_test());
}

#[test]
fn lists_are_joined_the_same_if_virtio_is_memory_mapped() {
    lists_are_joined(Machine::under_test().memory_mapped());
}

#[test]
fn four_hundred_entries_on_one_of_two_shares_are_read() {
    let many = "dummy; ?nosuch0\n".repeat(200);
    let (one, two) = (directory(&[("list", many.as_bytes())]), directory(&[("list", b"loop")]));
    let console = Vm::new(&image().build())
        .options(["--share", &format!("one={}", one.path().display())])
        .options(["--share", &format!("two={}", two.path().display())])
        .append("guest_init.log=error guest_init.modules_file=virtiofs:two:/list guest_init.modules_file=virtiofs:one:/list")
        .run()
        .agent_ran();
    assert_eq!(asked_for(&console), ["loop", "dummy"]);
}

#[test]
fn a_share_without_a_list_is_not_mounted() {
    let console = with_share(image(), Path::new("/usr/share"), "guest_init.modules=dummy").agent_ran();
    assert_eq!(asked_for(&console), ["dummy"]);
    assert!(!console.modules().contains(&"virtiofs"), "{console}");
}

// Failures.

/// Boots with a list at this path of a share.
fn with_list(share: &TempDir, path: &str) -> Console {
    with_share(image(), share.path(), &format!("guest_init.modules_file=virtiofs:kataShared:{path}"))
}

#[test]
fn an_unknown_tag_is_named_once_a_list() {
    let words = "guest_init.modules_file=virtiofs:katashared:/a guest_init.modules_file=virtiofs:katashared:/b";
    let line = "mount virtiofs:katashared, virtiofs:katashared: EINVAL: no virtio-fs device of this VM has the tag";
    with_share(image(), Path::new("/usr/share"), words).failed(Code::ShareUnknown, line);
}

#[test]
fn a_share_without_its_file_system_is_a_failure() {
    let words = "guest_init.modules_file=virtiofs:kataShared:/list";
    let console = with_share(Image::new(), Path::new("/usr/share"), words);
    match Kernel::under_test().release.starts_with("6.1.") {
        true => console
            .failed(Code::ShareFailed, "mount virtiofs:kataShared: ENODEV: neither the kernel nor the module tree of"),
        // Other kernels have the file system built in, so the share is mounted, and the list is missing.
        false => console.has("failed: read virtiofs:kataShared:/list: ENOENT: there is no such file (exit 0x27)"),
    };
}

#[test]
fn all_lists_that_cannot_be_read_are_named() {
    let share = directory(&[]);
    symlink("/etc/hostname", share.path().join("out")).expect("a link can be made");
    let words = "guest_init.modules_file=virtiofs:kataShared:/none guest_init.modules_file=virtiofs:kataShared:/out";
    with_share(image(), share.path(), words)
        .has("guest-init: read virtiofs:kataShared:/out: EXDEV: its path, or a symbolic link in it, leads out of the share or the disk")
        .failed(Code::ListMissing, "read virtiofs:kataShared:/none, virtiofs:kataShared:/out: ENOENT: 2 failures");
}

#[test]
fn a_link_that_leaves_the_share_is_a_failure() {
    let share = directory(&[("list", b"dummy")]);
    symlink("../../etc/hostname", share.path().join("out")).expect("a link can be made");
    with_list(&share, "/out")
        .failed(Code::ListOutside, "read virtiofs:kataShared:/out: EXDEV: its path, or a symbolic");
}

#[test]
fn a_link_that_stays_on_the_share_is_followed() {
    let share = directory(&[("pod/list", b"dummy")]);
    symlink("pod/list", share.path().join("in")).expect("a link can be made");
    assert_eq!(asked_for(&with_list(&share, "/in").agent_ran()), ["dummy"]);
}

#[test]
fn a_list_that_is_no_regular_file_is_a_failure() {
    let share = directory(&[]);
    let path = |name| share.path().join(name);
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO can be made");
    fs::create_dir(path("directory")).expect("a directory can be made");
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket can be made");
    let words: String = ["fifo", "directory", "socket", "device"]
        .iter()
        .map(|name| format!(" guest_init.modules_file=virtiofs:kataShared:/{name}"))
        .collect();
    let device = std::process::Command::new("mknod").arg(path("device")).args(["c", "1", "5"]).status();
    assert!(device.is_ok_and(|status| status.success()), "a device needs root");
    with_share(image(), share.path(), &words)
        .has("guest-init: read virtiofs:kataShared:/directory: EISDIR: it is a directory")
        .has("guest-init: read virtiofs:kataShared:/socket: ENXIO: it is a socket or a device")
        .has("guest-init: read virtiofs:kataShared:/device: EINVAL: it is a FIFO or a device")
        .failed(Code::ListNotAFile, "read virtiofs:kataShared:/fifo, ")
        .has("guest-init: read virtiofs:kataShared:/fifo: EINVAL: it is a FIFO or a device");
}

#[test]
fn a_list_of_one_gibibyte_is_a_failure() {
    let share = directory(&[]);
    fs::File::create(share.path().join("list")).and_then(|file| file.set_len(1 << 30)).expect("a file can be made");
    with_list(&share, "/list")
        .failed(Code::ListTooLong, "read virtiofs:kataShared:/list: EFBIG: it has more than 64 KiB");
}

#[test]
fn a_list_that_is_not_utf_8_is_a_failure() {
    let share = directory(&[("list", b"dummy\n# caf\xe9\n")]);
    let line = "read virtiofs:kataShared:/list: EILSEQ: not UTF-8, at offset 0xb";
    with_list(&share, "/list").failed(Code::ListNotText, line);
}

#[test]
fn a_list_that_cannot_be_read_is_a_failure() {
    // This file can only be written to.
    let line = "read /sys/bus/pci/rescan: EACCES: Permission denied";
    boot(Image::new(), "guest_init.modules_file=/sys/bus/pci/rescan").failed(Code::ListUnreadable, line);
}
