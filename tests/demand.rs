//! Modules on demand: what the kernel and an agent call modprobe for, in an image whose modprobe is guest-init.

mod support;

use std::process::Command;

use support::{Console, Image, Kernel, Machine, Vm};

/// Boots an image, with words for the kernel, and for the agent.
fn boot(image: Image, words: &str, agent: &str) -> Console {
    // The kernel panics over more than 32 arguments, and counts them up to a second `--`.
    Vm::new(&image.build()).append(&format!("{words} -- -- {agent}")).run().agent_ran()
}

fn image() -> Image {
    Image::new().modules("overlay; vsock_loopback; dummy; loop; nls_ascii")
}

/// One call of modprobe, as the agent makes it.
fn call(arguments: &str) -> String {
    format!("--exec /sbin/modprobe {arguments} ; ")
}

/// What the agent says of a call's output and its end.
fn says(line: &str) -> String {
    format!("agent: /sbin/modprobe: {line}")
}

fn exits(status: u8) -> String {
    format!("agent: exec /sbin/modprobe: exit {status}")
}

/// The path of a module's file in a guest.
fn path(module: &str) -> String {
    let kernel = Kernel::under_test();
    format!("/lib/modules/{}/{}", kernel.release, kernel.module(module).1)
}

/// Asserts that modprobe says these lines and nothing else, but for what a kernel says in its own words.
fn all(console: &Console, lines: &[String]) {
    let said = console.report().filter(|line| line.contains("/sbin/modprobe: "));
    let said: Vec<_> = said.map(|line| line.split("; the kernel says: ").next().unwrap_or_default()).collect();
    assert_eq!(said, lines, "{console}");
}

#[test]
fn a_file_system_and_a_socket_family_are_loaded_when_they_are_used() {
    // An overlay needs options, so the mount itself is refused, and by overlay: without it there would be no device.
    let console = boot(image(), "", "--mount overlay none /mnt --socket 40 1 0 --mount nosuchfs none /mnt");
    let console = console.has("agent: mount overlay: EINVAL").has("agent: socket 40 1 0: ok");
    let console = console.has("agent: mount nosuchfs: ENODEV");
    let modules = console.modules();
    assert_eq!((modules[0], modules.last()), ("overlay", Some(&"vsock_loopback")), "{modules:?}");
}

#[test]
fn a_file_system_on_a_disk_brings_what_it_needs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let disk = directory.path().join("disk");
    let disk = disk.to_str().expect("a path in UTF-8");
    let made = Command::new("mke2fs").args(["-q", "-t", "ext4", disk, "16m"]).env("PATH", "/usr/sbin:/sbin").status();
    assert!(made.expect("mke2fs starts").success());
    let virtio = Machine::under_test().virtio;
    let image = Image::new().modules(&format!("{virtio}; virtio_blk; ext4")).build();
    let words = format!("guest_init.modules=\"{virtio}; virtio_blk\" -- --mount ext4 /dev/vda /mnt");
    let console = Vm::new(&image).options(["--disk", disk]).append(&words).run().agent_ran();
    let console = console.has("agent: mount ext4: ok").has("  /mnt  ");
    let modules = console.modules();
    assert!(modules.contains(&"jbd2") && modules.contains(&"ext4"), "{modules:?}");
}

#[test]
fn an_agent_loads_modules_by_name() {
    let calls = [
        "-v dummy numdummies=2",
        "-v dummy numdummies=3",
        "--first-time dummy",
        "-v -n loop",
        "-v tcp_cubic",
        "-v -a -- loop nosuch -x",
        "-q nosuch",
        "-q -- -x",
        "-s nosuch",
        "-R fs-overlay net-pf-40",
        "-r dummy",
        "-v overlay metacopy=many",
        "-q overlay metacopy=many",
    ];
    let console = boot(image(), "", &calls.map(call).concat());
    let directory = format!("/lib/modules/{}", Kernel::under_test().release);
    all(
        &console,
        &[
            says(&format!("insmod {} numdummies=2", path("dummy"))),
            exits(0),
            exits(0),
            says("modprobe: ERROR: could not insert 'dummy': Module already in kernel"),
            exits(1),
            says(&format!("insmod {} ", path("loop"))),
            exits(0),
            exits(0),
            says(&format!("insmod {} ", path("loop"))),
            says(&format!("modprobe: WARNING: Module nosuch not found in directory {directory}")),
            says(&format!("modprobe: WARNING: Module -x not found in directory {directory}")),
            exits(1),
            exits(1),
            exits(1),
            exits(1),
            says("overlay"),
            exits(0),
            says("modprobe: ERROR: --remove is not supported: guest-init only loads modules."),
            exits(1),
            says(&format!("insmod {} metacopy=many", path("overlay"))),
            says("modprobe: ERROR: could not insert 'overlay': Invalid argument"),
            says(
                "modprobe: ERROR: load overlay: EINVAL: the kernel says: overlay: `many' invalid for parameter `metacopy'",
            ),
            exits(1),
            exits(1),
        ],
    );
    let log = format!("guest-init: modprobe: FATAL: Module nosuch not found in directory {directory}");
    console.has("  dummy1  ").has_not("  dummy2  ").has(&log);
}

#[test]
fn a_module_that_cannot_be_loaded_is_explained() {
    let image = image().file(&path("dummy"), "no module", 0o644);
    let image = image.file(
        "/etc/modprobe.d/some.conf",
        "install loop /bin/false\ninstall nls_ascii /bin/true\ninstall overlay sh -c x\nalias dangling nosuch\n",
        0o644,
    );
    let calls = ["dummy", "-v loop", "-v -i loop", "-v nls_ascii", "overlay", "dangling", "-S 9.9 dummy"];
    let console = boot(image, "", &calls.map(call).concat());
    let could_not = |name: &str, why: &str| says(&format!("modprobe: ERROR: could not insert '{name}': {why}"));
    let because = |why: &str| says(&format!("modprobe: ERROR: {why}"));
    let command = "plan overlay: EPERM: modprobe.d has `install sh -c x` for it, and there is no shell to run that";
    all(
        &console,
        &[
            could_not("dummy", "Exec format error"),
            because("load dummy: ENOEXEC: no module: the file does not begin as one"),
            exits(1),
            says("install /bin/false "),
            could_not("loop", "Invalid argument"),
            because("plan loop: EPERM: modprobe.d has `install /bin/false` for it"),
            exits(1),
            says(&format!("insmod {} ", path("loop"))),
            exits(0),
            says("install /bin/true "),
            exits(0),
            could_not("overlay", "Invalid argument"),
            because(command),
            exits(1),
            could_not("nosuch", "Unknown symbol in module, or unknown parameter (see dmesg)"),
            because("plan nosuch: ENOENT: an alias of modprobe.d means it, and it does not exist"),
            exits(1),
            says("modprobe: FATAL: Module dummy not found in directory /lib/modules/9.9"),
            exits(1),
        ],
    );
}

#[test]
fn the_command_line_counts_for_what_is_loaded_later() {
    let words = "modprobe.blacklist=overlay loop.max_loop=3";
    let agent = format!("loop.max_part=7 --mount overlay none /mnt {}", call("-v loop"));
    let console = boot(image(), words, &agent);
    let console = console.has("agent: mount overlay: ENODEV");
    all(&console, &[says(&format!("insmod {} max_loop=3 ", path("loop"))), exits(0)]);
}
