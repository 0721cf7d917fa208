//! The switch to a root that has the agent: a disk that is made here, or a share of the host's.

mod disks;
mod names;

use std::fs;

use guest_init::failure::Code;
use tempfile::TempDir;

use crate::support::disk::Disk;
use crate::support::scene::{BARE, after, boot};
use crate::support::{Console, Image, Machine, Vm, built};

/// The drivers of a disk and of a share, if the kernel has them as modules.
const DRIVERS: &str = "virtio_pci; virtio_mmio; virtio_blk; ext4; virtiofs";

/// A directory with the files of a root, an agent among them, and these directories.
pub fn tree(directories: &[&str]) -> TempDir {
    let tree = TempDir::new().expect("a temporary directory");
    for directory in directories.iter().chain(&["sbin", "etc"]) {
        fs::create_dir(tree.path().join(directory)).expect("a directory can be made");
    }
    fs::copy(built().join("demo-agent"), tree.path().join("sbin/agent")).expect("the agent can be copied");
    fs::write(tree.path().join("etc/name"), "the root\n").expect("a file can be written");
    tree
}

/// The directories that the mounts are moved to.
pub const MOUNT_POINTS: &[&str] = &["proc", "sys", "dev", "run"];

/// The word without which these initramfs, which have an agent as well, would stay the root.
const SWITCH: &str = "guest_init.root=switch";

/// Boots with a disk that has these files, and switches to it.
fn with_disk(image: Image, tree: &TempDir, options: &[&str], words: &str) -> Console {
    switched(Vm::telling(image).options(options.iter().copied()), tree, words)
}

/// Boots a VM with a disk that has these files, and switches to it.
fn switched(vm: Vm, tree: &TempDir, words: &str) -> Console {
    let disk = Disk::ext4(tree.path(), &[]);
    vm.options(["--disk", disk.path()]).append(&format!("{SWITCH} {words}")).run()
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
fn an_initramfs_with_an_agent_stays_the_root_and_one_without_gives_way() {
    // Kata's runtimes write this for Cloud Hypervisor, even for an initramfs without any disk.
    let words = "root=/dev/vda1 rootflags=data=ordered,errors=remount-ro ro rootfstype=ext4 guest_init.modules=loop";
    boot(Image::new().modules("loop"), words)
        .agent_ran()
        .has("guest-init: root=/dev/vda1: ignored: the initramfs has the agent, /sbin/agent");
    let image = || Image::new().modules(DRIVERS);
    let disk = Disk::ext4(tree(MOUNT_POINTS).path(), &[]);
    let agent =
        |image: Image, words: &str| Vm::new(&image.build()).options(["--disk", disk.path()]).append(words).run();
    let without = BARE.replace("/sbin/agent", "/elsewhere");
    agent(image().layout(&without), "root=/dev/vda -- --cat /etc/name")
        .agent_ran()
        .has("guest-init: root=/dev/vda: switching to it: the initramfs does not have the agent, /sbin/agent")
        .has("agent: /etc/name: the root");
    agent(image().layout(&without), "root=/dev/vda guest_init.root=stay")
        .failed(Code::AgentMissing, "start /sbin/agent: ENOENT: there is no such file");
}

#[test]
fn options_of_mount_are_attributes_and_an_unknown_option_is_quoted() {
    let image = || Image::new().modules(DRIVERS);
    let words = "root=/dev/vda rw rootflags=defaults,noatime,nodev,nosuid,sync,commit=7 -- --cat /proc/self/mounts";
    with_disk(image(), &tree(&[]), &[], words).agent_ran().has("/dev/vda / ext4 rw,sync,nosuid,nodev,noatime,commit=7");
    let line = "start root=/dev/vda: EINVAL: it can't be mounted as ext4: ext4: Unknown parameter 'comit'";
    with_disk(image(), &tree(&[]), &[], "root=/dev/vda rootflags=comit=7").failed(Code::RootFailed, line);
    let share = tree(&[]);
    let words = "root=kataShared rootfstype=virtiofs rootflags=nosuch guest_init.root=switch";
    Vm::new(&image().build())
        .options(["--share", &format!("kataShared={}", share.path().display())])
        .append(words)
        .run()
        .failed(Code::ShareFailed, "mount virtiofs:kataShared: EINVAL: virtiofs: Unknown parameter 'nosuch'");
}

#[test]
fn a_btrfs_finds_the_checksum_that_it_has() {
    // modules.softdep has a line for each checksum, and modprobe takes the first alone.
    for checksum in ["xxhash", "blake2"] {
        let files = tree(MOUNT_POINTS);
        let files = files.path().to_str().expect("a path in UTF-8");
        let tool = ["mkfs.btrfs", "-q", "--csum", checksum, "--rootdir", files, "DISK"];
        let disk = Disk::made_by(&tool, 256 << 20);
        Vm::new(&Image::new().modules("virtio_pci; virtio_mmio; virtio_blk; btrfs").build())
            .options(["--disk", disk.path()])
            .append(&format!("{SWITCH} root=/dev/vda -- --cat /etc/name"))
            .run()
            .agent_ran()
            .has("agent: /etc/name: the root");
    }
}

#[test]
fn a_9p_share_becomes_the_root() {
    let root = tree(&[]);
    let fsdev = format!("local,id=f,path={},security_model=none", root.path().display());
    for tag in ["myroot", "/dev/root"] {
        let device = format!("virtio-9p-{},fsdev=f,mount_tag={tag}", Machine::under_test().bus);
        Vm::new(&Image::new().modules("virtio_pci; 9p; 9pnet_virtio").build())
            .devices(["-fsdev", &fsdev, "-device", &device])
            .append(&format!("{SWITCH} root={tag} rootfstype=9p rootflags=version=9p2000.L rw -- --cat /etc/name"))
            .run()
            .agent_ran()
            .has("agent: /etc/name: the root");
    }
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
    switched(Vm::new(&image.build()), &tree(MOUNT_POINTS), "root=/dev/vda -- --cat /etc/name")
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
    let image = after(script).modules(DRIVERS).build();
    switched(Vm::new(&image), &root, "root=/dev/nosuch -- --cat /etc/name")
        .agent_ran()
        .has("agent: /etc/name: the root");
}

#[test]
fn a_share_becomes_the_root() {
    let root = tree(&[]);
    fs::write(root.path().join("etc/list"), "loop").expect("a list can be written");
    let share = format!("kataShared={}", root.path().display());
    let words = "guest_init.root=switch root=kataShared rootfstype=virtiofs rw guest_init.modules_file=virtiofs:kataShared:/etc/list";
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
fn a_root_without_a_form_that_is_known_is_a_failure() {
    let line = "start root=vda1: EINVAL: understood are /dev/NAME, PARTUUID=, PARTLABEL=, UUID=, LABEL=, and a tag with \
                rootfstype=virtiofs or 9p; guest_init.root=stay ignores root=";
    boot(Image::new(), "root=vda1 guest_init.root=switch").failed(Code::RootUnclear, line);
    let line = "start guest_init.root=switch: EINVAL: the kernel command line has no root= to switch to";
    boot(Image::new(), "guest_init.root=switch").failed(Code::RootUnclear, line);
}

#[test]
fn a_disk_that_never_appears_is_a_failure_after_ten_seconds() {
    let line = "start root=/dev/vdz: ENODEV: no such disk within 10 s; disks here: vda; rootwait waits longer, and \
                guest_init.root=stay ignores root=";
    with_disk(Image::new().modules(DRIVERS), &tree(&[]), &[], "root=/dev/vdz").failed(Code::RootMissing, line);
}

#[test]
fn rootwait_sets_the_time_that_a_disk_may_take() {
    let line = "start root=LABEL=none: ENODEV: no such disk within 2 s; disks here: none; rootwait waits longer";
    let words = "root=LABEL=none guest_init.root=switch rootwait=2";
    boot(Image::new(), words).failed(Code::RootMissing, line);
    let line = "deadline of 12 s: ETIMEDOUT: passed while waiting for root=/dev/vda";
    let words = "root=/dev/vda guest_init.root=switch rootwait rootdelay=1 guest_init.deadline=12";
    boot(Image::new(), words).timed_out(Code::DeadlinePassed, line);
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
    let disk = Disk::blank(1 << 20);
    let boot =
        |words: &str| Vm::new(&image).options(["--disk", disk.path()]).append(&format!("{SWITCH} {words}")).run();
    let line = "start root=/dev/vda: EINVAL: it can't be mounted as ext4: Invalid argument";
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
    boot(Image::new().modules(DRIVERS), "guest_init.root=switch root=nosuch rootfstype=virtiofs")
        .failed(Code::ShareUnknown, line);
}

#[test]
fn an_agent_that_is_missing_in_the_root_is_a_failure() {
    let line = "start /sbin/none: ENOENT: there is no such file";
    with_disk(Image::new().modules(DRIVERS), &tree(&[]), &[], "root=/dev/vda rw guest_init.agent=/sbin/none")
        .failed(Code::AgentMissing, line);
}
