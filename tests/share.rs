//! What the host hands over: lists and modules on virtio-fs shares, with the real virtiofsd, sound, hostile and dead.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use guest_init::failure::Code;
use support::machine::Arch;
use support::scene::{BARE, after, boot};
use support::virtiofsd::Virtiofsd;
use support::{Console, Image, Kernel, Machine, Vm};
use tempfile::TempDir;

/// An image with what shares take where the kernel has it as modules, and some modules to ask for.
fn image() -> Image {
    Image::new().modules("virtiofs; virtio_pci; virtio_mmio; dummy; loop; ifb; bonding")
}

/// A directory of the host's with these files.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, content).expect("the file can be written");
    }
    directory
}

/// Boots with a directory of the host's as the share `kataShared`.
fn with_share(image: Image, directory: &Path, words: &str) -> Console {
    Vm::new(&image.build()).options(["--share", &format!("kataShared={}", directory.display())]).append(words).run()
}

/// The modules that were loaded, without those that the share took.
fn asked_for(console: &Console) -> Vec<&str> {
    let known = ["dummy", "loop", "ifb", "bonding", "ext4"];
    console.modules().into_iter().filter(|module| known.contains(module)).collect()
}

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
fn lists_of_a_share_and_of_the_command_line_are_joined_in_their_order() {
    lists_are_joined(Machine::under_test());
}

#[test]
fn the_same_where_virtio_is_memory_mapped() {
    lists_are_joined(Machine::under_test().memory_mapped());
}

#[test]
fn four_hundred_entries_on_one_of_two_shares() {
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
fn without_a_list_on_it_a_share_is_not_mounted() {
    let console = with_share(image(), Path::new("/usr/share"), "guest_init.modules=dummy").agent_ran();
    assert_eq!(console.modules(), ["dummy"]);
}

// Modules.

/// An image with nothing of a module tree but what a share takes.
fn drivers_only() -> Image {
    Image::new().modules("virtiofs; virtio_pci")
}

const MODULE_DIR: &str = "guest_init.module_dir=virtiofs:kataShared:/";

#[test]
fn modules_of_a_share_stay_for_those_who_load_on_demand() {
    let modules = Kernel::under_test().directory.join("lib/modules");
    let words = "guest_init.modules=\"dummy numdummies=2; bonding\" -- --exec /sbin/modprobe -v ext4 ; \
                 --mount virtiofs kataShared /mnt --cat /proc/self/mountinfo";
    let console = with_share(drivers_only(), &modules, &format!("{MODULE_DIR} {words}"))
        .agent_ran()
        .has("  dummy1  ")
        .has("agent: exec /sbin/modprobe: exit 0")
        .has("agent: mount virtiofs: ok")
        .has("  /lib/modules  virtiofs  kataShared  ro,nosuid,nodev,noexec,relatime")
        .has("  /mnt          virtiofs  kataShared  rw,relatime")
        .has("Mounts: 7")
        .has("Open descriptors: 3");
    assert_eq!(asked_for(&console), ["dummy", "bonding", "ext4"]);
}

#[test]
fn modules_of_a_share_go_where_nobody_loads_on_demand() {
    let kernel = Kernel::under_test();
    let share = TempDir::new().expect("a temporary directory");
    symlink(kernel.directory.join("lib/modules"), share.path().join("modules")).expect("a link can be made");
    // The share is what the link is in, so below it there is but a link that leads out.
    let words = "guest_init.modules=dummy guest_init.module_dir=virtiofs:kataShared:/modules";
    let line = "plan virtiofs:kataShared:/modules: EXDEV: the directory can't be opened";
    with_share(drivers_only(), share.path(), words).failed(Code::NoModuleTree, line);

    let words = format!("guest_init.modules=dummy {MODULE_DIR}lib/modules");
    let image = drivers_only().layout(BARE);
    let console = with_share(image, &kernel.directory, &words).agent_ran().has("Mounts: 5").has("Open descriptors: 3");
    assert_eq!(asked_for(&console), ["dummy"]);
}

#[test]
fn a_directory_of_the_image() {
    let release = &Kernel::under_test().release;
    let (file, _) = Kernel::under_test().module("dummy");
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
    let image = Image::new().add(&file, &format!("/opt/{release}/{name}")).file(
        &format!("/opt/{release}/modules.dep"),
        format!("{name}:\n"),
        0o644,
    );
    let console = boot(image, "guest_init.module_dir=/opt guest_init.modules=dummy").agent_ran();
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn a_share_without_modules_for_this_kernel() {
    let share = directory(&[("5.4.0-other/modules.dep", b"dummy.ko:\n")]);
    let release = &Kernel::under_test().release;
    let line =
        format!("plan virtiofs:kataShared:/{release}: ENOENT: the directory can't be opened; there is 5.4.0-other");
    let words = format!("{MODULE_DIR} guest_init.modules=dummy");
    with_share(drivers_only(), share.path(), &words).failed(Code::NoModuleTree, &line);
}

// What ends the VM.

/// A list that is wrong, named by its path on the share.
fn refused(share: &TempDir, path: &str) -> Console {
    with_share(image(), share.path(), &format!("guest_init.modules_file=virtiofs:kataShared:{path}"))
}

#[test]
fn an_unknown_tag() {
    let words = "guest_init.modules_file=virtiofs:katashared:/a guest_init.modules_file=virtiofs:katashared:/b";
    let line = "mount virtiofs:katashared, virtiofs:katashared: EINVAL: no virtio-fs device of this VM has the tag";
    with_share(image(), Path::new("/usr/share"), words).failed(Code::ShareUnknown, line);
}

#[test]
fn a_share_without_its_file_system() {
    let words = "guest_init.modules_file=virtiofs:kataShared:/list";
    let console = with_share(Image::new(), Path::new("/usr/share"), words);
    match Kernel::under_test().release.starts_with("6.1.") {
        true => console
            .failed(Code::ShareFailed, "mount virtiofs:kataShared: ENODEV: neither the kernel nor the module tree of"),
        // Built in: the share is mounted, and there is no list on it.
        false => console.has("failed: read virtiofs:kataShared:/list: ENOENT: there is no such file (exit 0x27)"),
    };
}

#[test]
fn a_list_that_is_missing_beside_one_that_leaves_the_share() {
    let share = directory(&[]);
    symlink("/etc/hostname", share.path().join("out")).expect("a link can be made");
    let words = "guest_init.modules_file=virtiofs:kataShared:/none guest_init.modules_file=virtiofs:kataShared:/out";
    with_share(image(), share.path(), words)
        .has("guest-init: read virtiofs:kataShared:/out: EXDEV: its path, or a symbolic link on it, leads out of the share")
        .failed(Code::ListMissing, "read virtiofs:kataShared:/none, virtiofs:kataShared:/out: ENOENT: 2 failures");
}

#[test]
fn a_path_that_leaves_the_share() {
    let share = directory(&[("list", b"dummy")]);
    symlink("../../etc/hostname", share.path().join("out")).expect("a link can be made");
    refused(&share, "/out").failed(Code::ListOutside, "read virtiofs:kataShared:/out: EXDEV: its path, or a symbolic");
}

#[test]
fn a_link_that_stays_on_the_share() {
    let share = directory(&[("pod/list", b"dummy")]);
    symlink("pod/list", share.path().join("in")).expect("a link can be made");
    assert_eq!(asked_for(&refused(&share, "/in").agent_ran()), ["dummy"]);
}

#[test]
fn what_is_no_file_in_place_of_a_list() {
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
fn a_list_of_one_gibibyte() {
    let share = directory(&[]);
    fs::File::create(share.path().join("list")).and_then(|file| file.set_len(1 << 30)).expect("a file can be made");
    refused(&share, "/list")
        .failed(Code::ListTooLong, "read virtiofs:kataShared:/list: EFBIG: it has more than 64 KiB");
}

#[test]
fn a_list_that_is_not_text() {
    let share = directory(&[("list", b"dummy\n# caf\xe9\n")]);
    let line = "read virtiofs:kataShared:/list: EILSEQ: not UTF-8, at offset 0xb";
    refused(&share, "/list").failed(Code::ListNotText, line);
}

#[test]
fn a_list_that_cannot_be_read() {
    // It can only be written to.
    let line = "read /sys/bus/pci/rescan: EACCES: Permission denied";
    boot(Image::new(), "guest_init.modules_file=/sys/bus/pci/rescan").failed(Code::ListUnreadable, line);
}

// What the deadline and the kernel end.

/// Boots with a share to whose daemon something is done as soon as the console says `when`.
fn with_daemon(image: Image, source: &Path, words: &str, when: &str, act: fn(&Virtiofsd)) -> Console {
    let daemon = Virtiofsd::start(source);
    let image = image.build();
    Vm::new(&image).options(["--share-socket", &daemon.share("kataShared")]).append(words).watched(|line| {
        if line.contains(when) {
            act(&daemon);
        }
        // QEMU waits for its daemon on its way out, even for one that is stopped.
        if line.contains("Kernel panic") {
            daemon.kill();
        }
    })
}

#[test]
fn a_daemon_that_is_stopped_before_the_mount() {
    // While its device is set up QEMU itself would wait for it, and the VM would stand still.
    let image = after("modprobe virtio_pci; modprobe virtiofs; echo ready; sleep 1").modules("virtiofs; virtio_pci");
    let share = directory(&[("list", b"dummy")]);
    let words = "guest_init.deadline=4 guest_init.modules_file=virtiofs:kataShared:/list";
    with_daemon(image, share.path(), words, "ready", Virtiofsd::stop)
        .timed_out(Code::DeadlinePassed, "deadline of 4 s: ETIMEDOUT: passed while mounting virtiofs:kataShared");
}

/// The modules are long enough that reading them goes on when the daemon ends.
fn while_modules_are_read(act: fn(&Virtiofsd)) -> Console {
    let words = format!(
        "guest_init.deadline=5 guest_init.log=debug guest_init.module_dir=virtiofs:kataShared:/ \
         guest_init.modules=\"dummy;{};xfs;btrfs;nouveau;amdgpu\"",
        Machine::under_test().arch.graphics
    );
    let modules = Kernel::under_test().directory.join("lib/modules");
    with_daemon(drivers_only(), &modules, &words, "/i2c-algo-bit.ko", act)
}

const READING: &str = "deadline of 5 s: ETIMEDOUT: passed while loading ";

#[test]
fn a_daemon_that_is_stopped_while_modules_are_read() {
    while_modules_are_read(Virtiofsd::stop).timed_out(Code::DeadlinePassed, READING);
}

#[test]
fn a_daemon_that_is_killed_before_its_share_is_read() {
    let share = directory(&[("list", b"dummy")]);
    let words = "guest_init.deadline=4 guest_init.modules_file=virtiofs:kataShared:/list";
    with_daemon(image(), share.path(), words, "Linux version", Virtiofsd::kill)
        .timed_out(Code::DeadlinePassed, "deadline of 4 s: ETIMEDOUT: passed while mounting virtiofs:kataShared");
}

#[test]
fn a_daemon_that_is_killed_while_modules_are_read() {
    while_modules_are_read(Virtiofsd::kill).timed_out(Code::DeadlinePassed, READING);
}

#[test]
fn a_list_that_does_not_fit_into_memory() {
    let kernel = Kernel::under_test();
    let Arch { graphics, tight, .. } = Machine::under_test().arch;
    let words = format!(
        "guest_init.module_dir=virtiofs:kataShared:/ guest_init.modules=\"xfs;btrfs;ocfs2;{graphics};nouveau;amdgpu;\
         radeon;vmwgfx;mlx5_core;qed;ath11k;iwlmvm\""
    );
    let share = format!("kataShared={}", kernel.directory.join("lib/modules").display());
    Vm::new(&drivers_only().build())
        .options(["--memory", tight, "--share", &share])
        .append(&words)
        .run()
        .has("Kernel panic - not syncing: System is deadlocked on memory")
        .has_not("agent: ready")
        .in_time();
}
