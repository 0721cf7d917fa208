//! The switch to a root that has the agent: a disk that is made here, or a share of the host's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use guest_init::failure::Code;
use tempfile::TempDir;

use crate::support::scene::{BARE, after, boot};
use crate::support::{Console, Image, Machine, Vm, built};

/// The drivers of a disk and of a share, if the kernel has them as modules.
const DRIVERS: &str = "virtio_pci; virtio_mmio; virtio_blk; ext4; virtiofs";

/// A directory with the files of a root, an agent among them, and these directories.
fn tree(directories: &[&str]) -> TempDir {
    let tree = TempDir::new().expect("a temporary directory");
    for directory in directories.iter().chain(&["sbin", "etc"]) {
        fs::create_dir(tree.path().join(directory)).expect("a directory can be made");
    }
    fs::copy(built().join("demo-agent"), tree.path().join("sbin/agent")).expect("the agent can be copied");
    fs::write(tree.path().join("etc/name"), "the root\n").expect("a file can be written");
    tree
}

/// The directories that the mounts are moved to.
const MOUNT_POINTS: &[&str] = &["proc", "sys", "dev", "run"];

/// A disk, as a file beside the directory, with the directory's files on an ext4 file system.
fn disk(tree: &TempDir) -> PathBuf {
    let disk = tree.path().with_extension("disk");
    fs::write(&disk, "").expect("a file can be written");
    let status = Command::new("/sbin/mke2fs")
        .args(["-q", "-q", "-F", "-t", "ext4", "-d"])
        .args([tree.path(), &disk])
        .arg("32M")
        .status();
    assert!(status.is_ok_and(|status| status.success()), "mke2fs");
    disk
}

/// Boots with a disk that has these files.
fn with_disk(image: Image, tree: &TempDir, options: &[&str], words: &str) -> Console {
    let disk = Removed(disk(tree));
    Vm::new(&image.build())
        .options(["--disk", disk.0.to_str().expect("a path in UTF-8")])
        .options(options.iter().copied())
        .append(words)
        .run()
}

/// A file that is removed with this value.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A figure of the report's section on memory, in KiB.
fn memory(console: &Console, name: &str) -> u64 {
    let line = console.report().find(|line| line.trim_start().starts_with(name)).expect("the report has it");
    line.split_whitespace().nth(1).and_then(|figure| figure.parse().ok()).expect("a figure")
}

#[test]
fn an_initramfs_may_have_the_place_of_the_root_already() {
    let layout = BARE.replace("[directories]", "[directories]\n\"/.root\" = 0o700");
    let image = Image::new().modules(DRIVERS).layout(&layout);
    with_disk(image, &tree(MOUNT_POINTS), &[], "root=/dev/vda guest_init.modules=ext4").agent_ran();
}

#[test]
fn a_disk_becomes_the_root_and_the_initramfs_returns_its_memory() {
    const BLOB: usize = 128 << 20;
    let image = Image::new().modules(DRIVERS).file("/blob/blob", vec![7; BLOB], 0o644);
    let console = with_disk(image, &tree(&[]), &[], "root=/dev/vda rw -- --cat /etc/name --cat /blob/blob")
        .agent_ran()
        .has("agent: /etc/name: the root")
        .has("agent: cat /blob/blob: ENOENT")
        .has("  /      ext4      /dev/vda  rw,relatime")
        .in_order(&["Mounts: 5", "/proc", "/sys", "/dev", "/run"])
        .in_order(&["Open descriptors: 3", "0  /dev/console", "1  /dev/console", "2  /dev/console"])
        .has_not("(deleted)");
    let used = memory(&console, "MemTotal") - memory(&console, "MemFree");
    assert!(used < BLOB as u64 >> 10, "{used} KiB are in use: {console}");
}

#[test]
fn a_memory_mapped_disk_becomes_the_root_read_only() {
    let words = "root=/dev/vda rootfstype=nosuch,ext4 rootflags=noload -- --reboot --cat /etc/name";
    let image = Image::new().modules(DRIVERS);
    with_disk(image, &tree(MOUNT_POINTS), &["--machine", Machine::under_test().memory_mapped().name], words)
        .agent_ran()
        .has("agent: /etc/name: the root")
        .has("  /      ext4      /dev/vda  ro,relatime");
}

#[test]
fn a_disk_that_appears_late_becomes_the_root() {
    // A shell needs /dev/null for a background job.
    let script = "mount -t devtmpfs dev /dev; mount -t sysfs sysfs /sys; for device in /sys/bus/pci/devices/*; do
            grep -q 0x1af4 $device/vendor && echo 1 >$device/remove
        done
        (sleep 2; echo 1 >/sys/bus/pci/rescan) &";
    let image = after(&format!("mkdir /sys /dev; mount -t devtmpfs dev /dev; {script}")).modules(DRIVERS);
    with_disk(image, &tree(MOUNT_POINTS), &[], "root=/dev/vda -- --cat /etc/name")
        .agent_ran()
        .has("agent: /etc/name: the root");
}

#[test]
fn a_root_that_is_no_initramfs_stays_the_root() {
    let root = tree(MOUNT_POINTS);
    fs::copy(built().join("guest-init"), root.path().join("sbin/guest-init")).expect("it can be copied");
    let script = "mount -t proc proc /proc; mkdir /dev /new; mount -t devtmpfs dev /dev
        ln -s guest-init /sbin/modprobe; modprobe -a virtio_pci virtio_blk ext4
        mount /dev/vda /new; exec switch_root /new /sbin/guest-init";
    with_disk(after(script).modules(DRIVERS), &root, &[], "root=/dev/nosuch -- --cat /etc/name")
        .agent_ran()
        .has("agent: /etc/name: the root");
}

#[test]
fn a_share_becomes_the_root() {
    let root = tree(&[]);
    fs::write(root.path().join("etc/list"), "loop").expect("a list can be written");
    let share = format!("kataShared={}", root.path().display());
    let words = "root=kataShared rootfstype=virtiofs rw guest_init.modules_file=virtiofs:kataShared:/etc/list";
    let console = Vm::new(&Image::new().modules(DRIVERS).modules("loop").build())
        .options(["--share", &share])
        .append(&format!("{words} -- --cat /etc/name --mount virtiofs kataShared /mnt"))
        .run()
        .agent_ran()
        .has("agent: /etc/name: the root")
        .has("agent: mount virtiofs: ok")
        .has("  /      virtiofs  kataShared  rw,relatime")
        .has("  /mnt   virtiofs  kataShared  rw,relatime")
        .has("Mounts: 6")
        .has("Open descriptors: 3");
    assert_eq!(console.modules().last(), Some(&"loop"));
}

// Failures.

#[test]
fn a_root_by_its_uuid_is_refused() {
    let line = "start root=UUID=d3adb33f: EINVAL: only /dev/NAME is understood, or a tag with rootfstype=virtiofs";
    boot(Image::new(), "root=UUID=d3adb33f").failed(Code::RootUnclear, line);
}

#[test]
fn a_disk_that_never_appears_is_a_failure_after_ten_seconds() {
    let line = "start root=/dev/vdz: ENODEV: no such disk within 10 s";
    with_disk(Image::new().modules(DRIVERS), &tree(&[]), &[], "root=/dev/vdz").failed(Code::RootMissing, line);
}

#[test]
fn a_file_system_without_a_driver_is_a_failure() {
    let line = "start root=/dev/vda: ENODEV: neither the kernel nor the module tree has nosuch,nosuch4";
    with_disk(Image::new().modules(DRIVERS), &tree(&[]), &[], "root=/dev/vda rootfstype=nosuch,nosuch4")
        .failed(Code::RootUnknownType, line);
}

#[test]
fn a_disk_without_a_file_system_is_a_failure() {
    let image = Image::new().modules(DRIVERS).build();
    let boot = |words: &str| Vm::new(&image).options(["--disk", env!("CARGO_BIN_EXE_guest-image")]).append(words).run();
    let line = "start root=/dev/vda: EINVAL: it can't be mounted as ext4";
    boot("root=/dev/vda rootfstype=ext4").failed(Code::RootFailed, line);
    let line = "start root=/dev/vda: ENODEV: guest-init does not recognise its file system";
    boot("root=/dev/vda").failed(Code::RootUnknownType, line);
}

#[test]
fn a_read_only_root_without_mount_points_is_a_failure() {
    let line = "start root=/dev/vda: ENOENT: /sys: No such file or directory";
    with_disk(Image::new().modules(DRIVERS), &tree(&["proc"]), &[], "root=/dev/vda").failed(Code::RootUnfit, line);
}

#[test]
fn a_root_on_an_unknown_share_is_a_failure() {
    let line = "mount virtiofs:nosuch: EINVAL: no virtio-fs device of this VM has this tag";
    boot(Image::new().modules(DRIVERS), "root=nosuch rootfstype=virtiofs").failed(Code::ShareUnknown, line);
}

#[test]
fn an_agent_that_is_missing_in_the_root_is_a_failure() {
    let line = "start /sbin/none: ENOENT: there is no such file";
    with_disk(Image::new().modules(DRIVERS), &tree(&[]), &[], "root=/dev/vda rw guest_init.agent=/sbin/none")
        .failed(Code::AgentMissing, line);
}
