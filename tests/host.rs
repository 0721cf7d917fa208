//! What the host learns, and how the agent finds its process, in every ordinary set-up.

mod support;

use guest_init::failure::Code;
use support::image::Built;
use support::qmp::Events;
use support::scene::{after, boot, small};
use support::{Image, Machine, Vm};
use tempfile::TempDir;

/// A failure that needs nothing: the agent is missing.
const FAILING: &str = "guest_init.agent=/none";
/// How QEMU tells of a VM that restarts, as after a panic; where no device tells of the panic, it is all a host learns.
const RESET: &str = r#""reason": "guest-reset""#;
const LINE: &str = "start /none: ENOENT: there is no such file";

/// An image, an option and words for a VM with a device that tells of a panic, where the machine has one.
fn with_pvpanic() -> (Built, Option<&'static str>, &'static str) {
    match Machine::under_test().pvpanic {
        true => (small().modules("pvpanic_pci").build(), Some("--pvpanic"), "guest_init.modules=pvpanic_pci"),
        false => (small().build(), None, ""),
    }
}

#[test]
fn the_reason_is_on_the_console_with_quiet() {
    boot(Image::new(), &format!("quiet {FAILING}")).failed(Code::AgentMissing, LINE);
}

#[test]
fn the_reason_is_on_the_console_with_loglevel_0() {
    boot(Image::new(), &format!("loglevel=0 {FAILING}")).failed(Code::AgentMissing, LINE);
}

/// An image with the modules of a virtio console.
fn with_virtio_console(image: Image) -> Image {
    image.modules(&format!("{}; virtio_console", Machine::under_test().virtio))
}

/// Boots with a virtio console alone, and returns what is on it.
fn on_hvc0(words: &str) -> support::Console {
    image_on_hvc0(with_virtio_console(small()), words)
}

/// The same with an image of the caller's.
fn image_on_hvc0(image: Image, words: &str) -> support::Console {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("hvc0");
    let Machine { bus, .. } = Machine::under_test();
    let image = image.build();
    let (serial, chardev) = (format!("virtio-serial-{bus}"), format!("file,id=hvc0,path={}", file.display()));
    Vm::new(&image)
        .bare()
        .append(&format!("console=hvc0 panic=-1 {words}"))
        .devices(["-device", &serial, "-chardev", &chardev, "-device", "virtconsole,chardev=hvc0"])
        .run();
    support::Console::new(&std::fs::read(file).unwrap())
}

#[test]
fn the_reason_is_on_a_virtio_console_that_comes_late() {
    let virtio = Machine::under_test().virtio;
    on_hvc0(&format!("{FAILING} guest_init.modules=\"?{virtio}; virtio_console\"")).failed(Code::AgentMissing, LINE);
}

#[test]
fn the_reason_is_on_a_virtio_console_whose_driver_no_list_came_to_load() {
    let line = "plan nosuch: ENOENT: no module, alias or built-in of";
    on_hvc0("guest_init.modules=\"virtio_console; nosuch\"").failed(Code::UnknownModule, line);
}

#[test]
fn words_of_the_agent_do_not_keep_the_last_word_from_its_console() {
    let words = "guest_init.modules=nosuch -- modprobe.blacklist=virtio_console";
    on_hvc0(words).failed(Code::UnknownModule, "plan nosuch: ENOENT: no module, alias or built-in of");
}

#[test]
fn the_last_word_finds_its_driver_in_the_module_directory_of_the_command_line() {
    let image = with_virtio_console(after("mkdir /opt; mv /lib/modules /opt/modules"));
    let words = "guest_init.module_dir=/opt/modules guest_init.modules=nosuch";
    image_on_hvc0(image, words).failed(Code::UnknownModule, "plan nosuch: ENOENT: no module, alias or built-in of");
}

#[test]
fn a_virtio_console_that_never_comes_holds_nothing_up() {
    let virtio = Machine::under_test().virtio;
    let words = format!("console=hvc0 {FAILING} guest_init.modules=\"?{virtio}; virtio_console\"");
    boot(small().modules(&format!("{virtio}; virtio_console")), &words).failed(Code::AgentMissing, LINE);
}

#[test]
fn without_a_console_the_event_and_the_end_tell() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("qmp");
    let (image, option, list) = with_pvpanic();
    // Some machines have a console that they name themselves; this one shows nothing to anybody.
    let words = format!("console=tty0 panic=-1 {FAILING} {list}");
    let events = Events::of(&socket);
    let options = ["--qmp", socket.to_str().unwrap()];
    let console = Vm::new(&image).options(option).options(options).bare().append(&words).run();
    console.has_not("guest-init");
    let events = events.text();
    assert_eq!(events.contains("GUEST_PANICKED"), Machine::under_test().pvpanic, "{events}");
    assert!(events.contains(RESET), "{events}");
}

#[test]
fn an_agent_that_ends_well_is_no_panic() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("qmp");
    let (image, option, list) = with_pvpanic();
    let events = Events::of(&socket);
    let options = ["--qmp", socket.to_str().unwrap()];
    Vm::new(&image).options(option).options(options).append(list).run().agent_ran();
    let events = events.text();
    assert!(!events.contains("GUEST_PANICKED") && !events.contains(RESET) && events.contains("SHUTDOWN"), "{events}");
}

#[test]
fn the_agent_finds_its_process_as_the_kernel_makes_it() {
    let look = "--quiet --cat /proc/self/status --cat /proc/self/limits --cat /proc/self/stat --cat /proc/self/cgroup";
    // Nothing mounts /dev for an agent that the kernel starts, so its image has the node of the port that it reports on.
    let (_, port) = Machine::under_test().arch.second_serial;
    let node = format!("\"/dev/ttyS{port}\" = {{ kind = \"char\", major = 4, minor = {}, mode = 0o600 }}", 64 + port);
    let layout = include_str!("../initramfs/layout.toml").replace("[devices]", &format!("[devices]\n{node}"));
    let state = |words: &str| {
        let console = boot(small().layout(&layout), words).agent_ran();
        let line = |line: &str| line.strip_prefix("agent: /proc/self/").map(String::from);
        console.report().filter_map(line).filter_map(|line| comparable(&line)).collect::<Vec<_>>()
    };
    let direct = state(&format!("rdinit=/sbin/agent -- --mount proc proc /proc {look}"));
    let handed = state(&format!("guest_init.modules=dummy -- {look}"));
    assert!(direct.len() > 30, "{direct:?}");
    assert_eq!(handed, direct);
}

/// What of a line is the same from boot to boot: signals, credentials, limits, session, terminal.
fn comparable(line: &str) -> Option<String> {
    let (file, text) = line.split_once(": ")?;
    match file {
        "stat" => {
            // pid (name) state ppid pgrp session tty tpgid flags: up to the terminal.
            let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(1..6)?.join(" "))
        }
        "status" => {
            let counts = ["Vm", "Rss", "Hugetlb", "voluntary", "nonvoluntary", "Name", "SigQ", "State"];
            (!counts.iter().any(|name| text.starts_with(name))).then(|| text.to_string())
        }
        _ => Some(text.to_string()),
    }
}
