//! Modules on demand: the kernel and the agent call modprobe, and the image's modprobe is guest-init.

use std::process::Command;

use crate::support::scene::file_of;
use crate::support::{Console, Image, Kernel, Machine, Vm};

/// Boots an image, with words for the kernel and for the agent.
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

/// The agent's copy of a line that modprobe prints.
fn prints(line: &str) -> String {
    format!("agent: /sbin/modprobe: {line}")
}

/// The agent's line about modprobe's exit status.
fn exits(status: u8) -> String {
    format!("agent: exec /sbin/modprobe: exit {status}")
}

/// Asserts that the agent's lines about modprobe are these and no others. The kernel's own words at the end of a line
/// are left out, because each kernel has others.
fn calls_print(console: &Console, lines: &[String]) {
    let printed = console.report().filter(|line| line.contains("/sbin/modprobe: "));
    let printed: Vec<_> = printed.map(|line| line.split("; the kernel says: ").next().unwrap_or_default()).collect();
    assert_eq!(printed, lines, "{console}");
}

#[test]
fn the_first_use_of_a_file_system_and_of_a_socket_family_loads_them() {
    // overlay refuses a mount without options with EINVAL. If it were not loaded, the error would be ENODEV.
    let console = boot(image(), "", "--mount overlay none /mnt --socket 40 1 0 --mount nosuchfs none /mnt");
    let console = console.has("agent: mount overlay: EINVAL").has("agent: socket 40 1 0: ok");
    let console = console.has("agent: mount nosuchfs: ENODEV");
    let modules = console.modules();
    assert_eq!((modules[0], modules.last()), ("overlay", Some(&"vsock_loopback")), "{modules:?}");
}

#[test]
fn a_kernel_that_looks_for_modprobe_elsewhere_finds_it() {
    let console = boot(image(), "sysctl.kernel.modprobe=/nowhere/modprobe", "--mount overlay none /mnt");
    let console = console.has("agent: mount overlay: EINVAL");
    console.has("guest-init: kernel.modprobe was /nowhere/modprobe, which does not exist: set to /sbin/modprobe");
}

#[test]
fn words_behind_the_end_that_were_meant_for_the_kernel_are_warnings() {
    let console = boot(image(), "", "root=/dev/vda guest_init.log=debug");
    let warning = "only an argument of the agent, because it stands behind ` -- `";
    let [root, log] = ["root=/dev/vda", "guest_init.log=debug"].map(|word| format!("guest-init: {word}: {warning}"));
    console.has(&root).has(&log);
}

#[test]
fn mounting_a_disk_loads_its_file_system_with_dependencies() {
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
fn modprobe_loads_modules_by_name() {
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
    calls_print(
        &console,
        &[
            prints(&format!("insmod {} numdummies=2", file_of("dummy"))),
            exits(0),
            exits(0),
            prints("modprobe: ERROR: could not insert 'dummy': Module already in kernel"),
            exits(1),
            prints(&format!("insmod {} ", file_of("loop"))),
            exits(0),
            exits(0),
            prints(&format!("insmod {} ", file_of("loop"))),
            prints(&format!("modprobe: WARNING: Module nosuch not found in directory {directory}")),
            prints(&format!("modprobe: WARNING: Module -x not found in directory {directory}")),
            exits(1),
            exits(1),
            exits(1),
            exits(1),
            prints("overlay"),
            exits(0),
            prints("modprobe: ERROR: --remove is not supported: guest-init only loads modules."),
            exits(1),
            prints(&format!("insmod {} metacopy=many", file_of("overlay"))),
            prints("modprobe: ERROR: could not insert 'overlay': Invalid argument"),
            prints(
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
fn an_agent_that_collects_its_children_elsewhere_gets_the_exit_status() {
    // With --icount the 3 ms by which the agent comes late are exact.
    let words = format!("-- --reap {}{}", call("-v dummy"), call("-v dummy"));
    let console = Vm::new(&image().build()).options(["--icount"]).append(&words).run().agent_ran();
    calls_print(&console, &[prints(&format!("insmod {} ", file_of("dummy"))), exits(0), exits(0)]);
}

#[test]
fn modprobe_explains_why_a_module_cannot_be_loaded() {
    let image = image().file(&file_of("dummy"), "no module", 0o644);
    let image = image.file(
        "/etc/modprobe.d/some.conf",
        "install loop /bin/false\ninstall nls_ascii /bin/true\ninstall overlay sh -c x\nalias dangling nosuch\n",
        0o644,
    );
    let calls = ["dummy", "-v loop", "-v -i loop", "-v nls_ascii", "overlay", "dangling", "-S 9.9 dummy"];
    let console = boot(image, "", &calls.map(call).concat());
    let could_not = |name: &str, why: &str| prints(&format!("modprobe: ERROR: could not insert '{name}': {why}"));
    let because = |why: &str| prints(&format!("modprobe: ERROR: {why}"));
    let command = "plan overlay: EPERM: modprobe.d has `install sh -c x` for it, and there is no shell to run that";
    calls_print(
        &console,
        &[
            could_not("dummy", "Exec format error"),
            because("load dummy: ENOEXEC: no module: the file does not begin as one"),
            exits(1),
            prints("install /bin/false "),
            could_not("loop", "Invalid argument"),
            because("plan loop: EPERM: modprobe.d has `install /bin/false` for it"),
            exits(1),
            prints(&format!("insmod {} ", file_of("loop"))),
            exits(0),
            prints("install /bin/true "),
            exits(0),
            could_not("overlay", "Invalid argument"),
            because(command),
            exits(1),
            could_not("nosuch", "Unknown symbol in module, or unknown parameter (see dmesg)"),
            because("plan nosuch: ENOENT: an alias of modprobe.d means it, and it does not exist"),
            exits(1),
            prints("modprobe: FATAL: Module dummy not found in directory /lib/modules/9.9"),
            exits(1),
        ],
    );
}

#[test]
fn install_commands_that_call_modprobe_are_done() {
    let lines = "install loop /sbin/modprobe -i loop $CMDLINE_OPTS && /sbin/sysctl -q --system
                 install renamed { modprobe -q nosuch; modprobe -i dummy $CMDLINE_OPTS || true; }
                 install either modprobe overlay metacopy=many || modprobe nls_ascii
                 install neither modprobe overlay metacopy=many
                 options renamed numdummies=3\n";
    let image = image().file("/etc/modprobe.d/install.conf", lines.replace("  ", ""), 0o644);
    let calls = ["-v loop", "--first-time loop", "-v either", "neither"];
    let console = boot(image, "guest_init.modules=\"renamed; loop max_part=7\"", &calls.map(call).concat());
    let could_not = |name: &str, why: &str| prints(&format!("modprobe: ERROR: could not insert '{name}': {why}"));
    calls_print(
        &console,
        &[
            exits(0),
            could_not("loop", "Module already in kernel"),
            exits(1),
            prints("install modprobe overlay metacopy=many || modprobe nls_ascii "),
            prints(&format!("insmod {} metacopy=many ", file_of("overlay"))),
            prints(&format!("insmod {} ", file_of("nls_ascii"))),
            exits(0),
            could_not("neither", "Invalid argument"),
            prints(
                "modprobe: ERROR: load overlay: EINVAL: the kernel says: overlay: `many' invalid for parameter `metacopy'",
            ),
            exits(1),
        ],
    );
    let console = console.has("guest-init: loop: its install command has more than modprobe, which is passed over: `/sbin/sysctl -q --system`");
    let console = console.has("guest-init: plan nosuch: ENOENT: an install command of modprobe.d loads it");
    assert_eq!(console.modules(), ["dummy", "loop", "nls_ascii"]);
    console.has("  dummy2  ").has_not("  dummy3  ").has("max_part=7");
}

#[test]
fn the_kernel_command_line_counts_for_modules_that_are_loaded_later() {
    let words = "modprobe.blacklist=overlay loop.max_loop=3";
    let agent = format!("loop.max_part=7 --mount overlay none /mnt {}", call("-v loop"));
    let console = boot(image(), words, &agent);
    let console = console.has("agent: mount overlay: ENODEV");
    calls_print(&console, &[prints(&format!("insmod {} max_loop=3 ", file_of("loop"))), exits(0)]);
}
