//! Lists on disks, and the disks that they may be on.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread::{sleep, spawn};
use std::time::Duration;

use guest_init::failure::Code;
use tempfile::TempDir;

use super::{DRIVERS, LIST, Verified, add_tree, erofs, image, named, with_disks, with_list};
use crate::support::disk::Disk;
use crate::support::qmp::{connect, execute};
use crate::support::scene::directory;
use crate::support::{Console, Image, Machine, Vm};

const FROM_LIST: &str = "guest_init.modules_file=disk:lists:/list";

#[test]
fn a_list_on_an_erofs_disk_is_read_and_the_disk_is_free_behind_it() {
    let console = with_disks(image(), &[named("lists", &erofs(with_list().path()))], FROM_LIST)
        .agent_ran()
        .has("  dummy1  ")
        .has("Mounts: 5")
        .has("Open descriptors: 3");
    assert!(console.modules().contains(&"dummy"));
}

/// A disk with the list and the module tree.
fn list_and_tree() -> Disk {
    let files = with_list();
    add_tree(files.path());
    erofs(files.path())
}

/// Boots with a disk whose list and module tree are read, and which these devices make of the drive `d`.
fn with_drive(disk: &Disk, devices: &[&str]) -> Console {
    let drive = format!("file={},format=raw,if=none,id=d", disk.path());
    Vm::new(&Image::new().modules(DRIVERS).build())
        .devices([&["-drive", &drive][..], devices].concat())
        .append(&format!("{FROM_LIST} guest_init.module_dir=disk:lists:/modules"))
        .run()
        .agent_ran()
        .has("  dummy1  ")
}

/// The controller of a SCSI disk on the machine under test.
fn scsi_controller() -> String {
    format!("virtio-scsi-{},id=scsi", Machine::under_test().bus)
}

#[test]
fn the_serial_number_of_a_scsi_disk_is_found() {
    let devices = ["-device", &scsi_controller(), "-device", "scsi-hd,drive=d,serial=lists"];
    with_drive(&list_and_tree(), &devices);
}

#[test]
fn the_serial_number_of_an_nvme_disk_is_found() {
    with_drive(&list_and_tree(), &["-device", "nvme,drive=d,serial=lists"]);
}

#[test]
fn a_disk_may_be_named_by_the_name_of_a_partition() {
    let list = erofs(with_list().path());
    let disk = Disk::partitioned("gpt", "", &[("", &Disk::blank(0)), ("", &list)]);
    with_disks(image(), &[disk.path().into()], "guest_init.modules_file=disk:vda2:/list").agent_ran().has("  dummy1  ");
}

#[test]
fn two_lists_come_from_one_disk_and_the_tree_from_another() {
    let lists = directory(&[("list", LIST.as_bytes()), ("pod/list", b"?nosuch\n")]);
    let modules = TempDir::new().expect("a temporary directory");
    add_tree(modules.path());
    let (lists, modules) = (erofs(lists.path()), erofs(modules.path()));
    let disks = [named("lists", &lists), named("modules", &modules)];
    let words = "guest_init.modules_file=disk:lists:/pod/list guest_init.module_dir=disk:modules:/modules";
    with_disks(Image::new().modules(DRIVERS), &disks, &format!("{FROM_LIST} {words}"))
        .agent_ran()
        .has("guest-init: plan nosuch: ENOENT: ")
        .has("  dummy1  ");
}

#[test]
fn a_disk_that_is_plugged_in_late_is_waited_for() {
    // The kernel finds the partitions a moment after the disk.
    let verified = Verified::erofs(with_list().path());
    let disk = verified.disk();
    let directory = TempDir::new().expect("a temporary directory");
    let socket = directory.path().join("qmp");
    let drive = format!("file={},format=raw,if=none,id=d", disk.path());
    let mut plugs = None;
    Vm::new(&image().build())
        .options(["--qmp", socket.to_str().expect("a path in UTF-8")])
        .devices(["-drive", &drive, "-device", &scsi_controller()])
        .append(&format!("{FROM_LIST} guest_init.verity=lists,{}", verified.fields()))
        .watched(|line| {
            if line.contains("Run /init as init process") {
                let socket = socket.clone();
                plugs = Some(spawn(move || {
                    sleep(Duration::from_secs(5));
                    let device = r#"{"driver": "scsi-hd", "drive": "d", "serial": "lists"}"#;
                    execute(connect(&socket), "device_add", device);
                }));
            }
        })
        .agent_ran()
        .has("  dummy1  ");
    plugs.expect("the kernel started guest-init").join().expect("the disk was plugged in");
}

#[test]
fn a_journal_that_was_not_closed_is_not_replayed() {
    let disk = Disk::ext4(with_list().path(), &[]);
    disk.output_of(&["debugfs", "-w", "-R", "feature needs_recovery", "DISK"]);
    let before = fs::read(disk.path()).expect("the disk can be read");
    let device = format!("virtio-blk-{},drive=d,serial=lists", Machine::under_test().bus);
    for read_only in ["off", "on"] {
        let drive = format!("file={},format=raw,if=none,id=d,readonly={read_only}", disk.path());
        Vm::new(&image().build())
            .devices(["-drive", &drive, "-device", &device])
            .append(FROM_LIST)
            .run()
            .agent_ran()
            .has("  dummy1  ");
    }
    assert!(fs::read(disk.path()).expect("the disk can be read") == before, "the disk was written to");
}

// Failures.

#[test]
fn a_list_that_is_no_regular_file_is_a_failure() {
    let files = directory(&[("directory/list", b"dummy")]);
    let path = |name| files.path().join(name);
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO can be made");
    let device = Command::new("mknod").arg(path("device")).args(["c", "1", "5"]).status();
    assert!(device.is_ok_and(|status| status.success()), "a device needs root");
    let words = ["fifo", "directory", "device"].map(|name| format!("guest_init.modules_file=disk:lists:/{name}"));
    with_disks(image(), &[named("lists", &erofs(files.path()))], &words.join(" "))
        .has("guest-init: read disk:lists:/fifo: EINVAL: it is a FIFO or a device")
        .has("guest-init: read disk:lists:/directory: EISDIR: it is a directory")
        .has("guest-init: read disk:lists:/device: EINVAL: it is a FIFO or a device")
        .failed(Code::ListNotAFile, "read disk:lists:/fifo, ");
}

#[test]
fn a_link_that_leaves_the_disk_is_a_failure() {
    let files = directory(&[]);
    symlink("../../etc/list", files.path().join("list")).expect("a link can be made");
    let image = image().file("/etc/list", "dummy", 0o644);
    let line = "read disk:lists:/list: EXDEV: its path, or a symbolic link in it, leads out of the share or the disk";
    with_disks(image, &[named("lists", &erofs(files.path()))], FROM_LIST).failed(Code::ListOutside, line);
}

#[test]
fn a_list_of_more_than_64_kib_is_a_failure() {
    let files = directory(&[]);
    fs::write(files.path().join("list"), "dummy\n".repeat(64 << 10)).expect("a list can be written");
    let line = "read disk:lists:/list: EFBIG: it has more than 64 KiB";
    with_disks(image(), &[named("lists", &erofs(files.path()))], FROM_LIST).failed(Code::ListTooLong, line);
}
