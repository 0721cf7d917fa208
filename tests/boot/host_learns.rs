//! The host learns of the VM's end: by the line and the panic on every kind of console, QEMU's events and its exit
//! status.

use std::fs;

use guest_init::failure::Code;
use tempfile::TempDir;

use crate::support::image::Built;
use crate::support::machine::Arch;
use crate::support::qmp::Events;
use crate::support::scene::{after, boot, small, spinning, with_module};
use crate::support::{Console, Image, Machine, Vm};

/// A failure that needs nothing of an image: the agent is missing.
const FAILING: &str = "guest_init.agent=/none";
const LINE: &str = "start /none: ENOENT: there is no such file";

#[test]
fn the_reason_is_on_the_console_with_quiet() {
    boot(Image::new(), &format!("quiet {FAILING}")).failed(Code::AgentMissing, LINE);
}

#[test]
fn the_reason_is_on_the_console_with_loglevel_0() {
    boot(Image::new(), &format!("loglevel=0 {FAILING}")).failed(Code::AgentMissing, LINE);
}

/// The image with the modules of a virtio console.
fn with_virtio_console(image: Image) -> Image {
    image.modules(&format!("{}; virtio_console", Machine::under_test().virtio))
}

/// Boots with a virtio console as the only console, and returns what was written there.
fn on_virtio_console(image: Image, words: &str) -> Console {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("console");
    let name = Machine::under_test().arch.virtio_console;
    let serial = format!("virtio-serial-{}", Machine::under_test().bus);
    let chardev = format!("file,id=virtio,path={}", file.display());
    Vm::new(&with_virtio_console(image).build())
        .bare()
        .append(&format!("console={name} panic=-1 {words}"))
        .devices(["-device", &serial, "-chardev", &chardev, "-device", "virtconsole,chardev=virtio"])
        .run();
    Console::new(&fs::read(file).expect("QEMU has made the file"))
}

#[test]
fn the_reason_is_on_a_virtio_console_whose_driver_the_list_loads() {
    let virtio = Machine::under_test().virtio;
    on_virtio_console(small(), &format!("{FAILING} guest_init.modules=\"?{virtio}; virtio_console\""))
        .failed(Code::AgentMissing, LINE);
}

#[test]
fn the_reason_is_on_a_virtio_console_whose_driver_was_not_loaded_before_the_failure() {
    let line = "plan nosuch: ENOENT: no module, alias or built-in of";
    on_virtio_console(small(), "guest_init.modules=\"virtio_console; nosuch\"").failed(Code::UnknownModule, line);
}

#[test]
fn a_console_that_exists_needs_no_driver() {
    let device = format!("virtio-serial-{}", Machine::under_test().bus);
    Vm::new(&with_virtio_console(small()).build())
        .devices(["-device", &device, "-device", "virtconsole"])
        .append(FAILING)
        .run()
        .failed(Code::AgentMissing, LINE)
        .has_not("for the console");
}

#[test]
fn words_of_the_agent_do_not_keep_the_last_word_from_its_console() {
    let words = "guest_init.modules=nosuch -- modprobe.blacklist=virtio_console";
    on_virtio_console(small(), words)
        .failed(Code::UnknownModule, "plan nosuch: ENOENT: no module, alias or built-in of");
}

#[test]
fn the_last_word_finds_its_driver_in_the_module_directory_of_the_command_line() {
    let image = after("mkdir /opt; mv /lib/modules /opt/modules");
    let words = "guest_init.module_dir=/opt/modules guest_init.modules=nosuch";
    on_virtio_console(image, words).failed(Code::UnknownModule, "plan nosuch: ENOENT: no module, alias or built-in of");
}

#[test]
fn a_virtio_console_without_a_device_delays_nothing() {
    let virtio = Machine::under_test().virtio;
    let words = format!("console=hvc0 {FAILING} guest_init.modules=\"?{virtio}; virtio_console\"");
    boot(with_virtio_console(small()), &words).failed(Code::AgentMissing, LINE);
}

/// An image, arguments of QEMU and words for a VM with a device that reports a panic, if the machine has one.
fn with_pvpanic() -> (Built, Vec<&'static str>, String) {
    match Machine::under_test().panic_devices.first() {
        Some((device, driver)) => {
            (small().modules(driver).build(), vec!["-device", device], format!("guest_init.modules={driver}"))
        }
        None => (small().build(), Vec::new(), String::new()),
    }
}

/// Boots with a control socket, and returns the console and QEMU's events.
fn with_events(vm: Vm) -> (Console, String) {
    let directory = TempDir::new().expect("a temporary directory");
    let socket = directory.path().join("qmp");
    let events = Events::of(&socket);
    let console = vm.options(["--qmp", socket.to_str().expect("a path in UTF-8")]).run();
    (console, events.text())
}

#[test]
fn a_failure_without_a_console_is_a_panic_event_and_a_reset() {
    let machine = Machine::under_test();
    let (image, device, list) = with_pvpanic();
    // Some machines name a console of their own. Nobody sees what tty0 shows.
    let words = format!("console=tty0 panic=-1 {FAILING} {list}");
    let (console, events) = with_events(Vm::new(&image).devices(device).bare().append(&words));
    console.has_not("guest-init");
    assert_eq!(events.contains("GUEST_PANICKED"), machine.reports_panics(), "{events}");
    assert!(events.contains(machine.end_of_panic()), "{events}");
}

#[test]
fn a_failure_before_the_first_load_is_a_panic_event() {
    let line = "plan nosuch: ENOENT: no module, alias or built-in of";
    let (machine, end) = (Machine::under_test(), Machine::under_test().end_of_panic());
    for (device, driver) in machine.panic_devices {
        let image = small().modules(driver).build();
        let words = format!("guest_init.modules=\"{driver}; nosuch\"");
        let (console, events) = with_events(Vm::new(&image).devices(["-device", device]).append(&words));
        console.failed(Code::UnknownModule, line);
        assert!(events.contains("GUEST_PANICKED") && events.contains(end), "{device}: {events}");
    }
    let (console, events) = with_events(Vm::new(&small().build()).append("guest_init.modules=nosuch"));
    console.failed(Code::UnknownModule, line);
    assert_eq!(events.contains("GUEST_PANICKED"), machine.reports_panics_without_device(), "{events}");
    assert!(events.contains(end), "{events}");
}

#[test]
fn a_deadline_that_passes_is_a_panic_event_if_the_list_has_loaded_the_driver() {
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    let (device, driver) = Machine::under_test().panic_devices.first().copied().unzip();
    let driver = driver.unwrap_or("loop");
    let image = with_module(small().modules(&format!("dummy; {driver}")), "dummy", spinning()).build();
    let vm = Vm::new(&image)
        .options(["--smp", &(1 + spare).to_string()])
        .devices(device.into_iter().flat_map(|device| ["-device", device]))
        .append(&format!("{preempt} guest_init.deadline=8 guest_init.modules=\"{driver}; dummy\""));
    let (console, events) = with_events(vm);
    console.timed_out(Code::DeadlinePassed, "deadline of 8 s: ETIMEDOUT: passed while loading dummy");
    assert_eq!(events.contains("GUEST_PANICKED"), Machine::under_test().reports_panics(), "{events}");
}

#[test]
fn a_driver_that_hangs_after_the_last_word_ends_the_vm_in_time() {
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    let (device, driver) = Machine::under_test().panic_devices.first().copied().unzip();
    let image = small().modules(driver.unwrap_or("loop"));
    let image = with_module(image, driver.unwrap_or("loop"), spinning()).build();
    let console = Vm::new(&image)
        .options(["--smp", &(1 + spare).to_string()])
        .devices(device.into_iter().flat_map(|device| ["-device", device]))
        .append(&format!("{preempt} guest_init.deadline=8 guest_init.modules=nosuch"))
        .run();
    let console = console.has("guest-init: failed: plan nosuch: ENOENT: ").in_time();
    match device {
        Some(_) => console.has("guest-init: failed: deadline of 8 s: ETIMEDOUT: passed while"),
        None => console.has("exitcode=0x00003200"),
    };
}

#[test]
fn a_channel_that_the_vm_does_not_have_is_a_warning() {
    for (address, reason) in [
        (
            "vsock:2:9000",
            "EAFNOSUPPORT: this VM has no vsock device, or neither the kernel nor the image has its driver",
        ),
        ("virtio-port:notify", "ENOENT: no virtio-serial port of this VM has this name"),
    ] {
        let warning = format!("guest-init: notify {address}: {reason}: the host is not notified");
        let key = format!("guest_init.notify={address}");
        boot(small(), &key).agent_ran().has(&warning);
        boot(small(), &format!("{key} {FAILING}")).failed(Code::AgentMissing, LINE).has(&warning);
    }
}

/// QEMU ends with status 1 if a panic is reported.
const EXIT_FAILURE: [&str; 2] = ["-action", "panic=exit-failure"];

#[test]
fn a_failure_before_the_first_load_is_an_exit_status() {
    let (image, device, _) = with_pvpanic();
    Vm::new(&image)
        .devices(device)
        .devices(EXIT_FAILURE)
        .append("guest_init.modules=nosuch")
        .status(i32::from(Machine::under_test().reports_panics()))
        .run()
        .failed(Code::UnknownModule, "plan nosuch: ENOENT: no module, alias or built-in of");
}

#[test]
fn an_agent_that_ends_is_an_exit_status_if_the_list_loads_the_driver() {
    let machine = Machine::under_test();
    let (image, device, list) = with_pvpanic();
    for (list, is_reported) in
        [(list.as_str(), machine.reports_panics()), ("", machine.reports_panics_without_device())]
    {
        let words = format!("{list} -- --exit 50");
        let vm = Vm::new(&image).devices(device.clone()).devices(EXIT_FAILURE).append(&words);
        vm.status(i32::from(is_reported)).run().has("exitcode=0x00003200").has_not("guest-init: failed");
    }
}

#[test]
fn an_agent_that_powers_off_is_a_shutdown_event_alone() {
    let (image, device, list) = with_pvpanic();
    let (console, events) = with_events(Vm::new(&image).devices(device).devices(EXIT_FAILURE).append(&list));
    console.agent_ran();
    let end = Machine::under_test().end_of_panic();
    assert!(!events.contains("GUEST_PANICKED") && !events.contains(end) && events.contains("SHUTDOWN"), "{events}");
}
