//! guest-image check: the devices that `@devices` in a list asks for.

use std::io::Write;
use std::process::Stdio;

use super::place::{MAGIC, Outcome, Place};
use super::prints;
use crate::support::module::module;

const BUS: &str = "insmod kernel/bus.ko";
const NET: &str = "insmod kernel/net.ko";
const SOFT: &str =
    "note: kernel/soft.ko: a soft dependency, passed over: modules.dep lists the file, and it is not there";
const LOADS_TWO: &str = "1.0: the VM would load 2 modules and start its agent";
const LOADS_NONE: &str = "1.0: the VM would load 0 modules and start its agent";

/// A place with the firmware of `net`, and with the modaliases of a VM: two devices, of which `net` is for one.
fn with_devices() -> Place {
    let place = Place::new();
    place.file("root/lib/firmware/net/a.bin", "");
    place.file("root/lib/firmware/net/b-7.bin", "");
    place.file("devices", "pci:v10d01\r\n\nusb:v1p2\npci:v10d01\n");
    place
}

#[test]
fn the_drivers_of_the_modaliases_are_planned_where_the_entry_stands() {
    let place = with_devices();
    let unfit = "note: @devices: no module is for 1 of 2 modaliases";
    prints(&place, &["--modalias", "devices", "@devices; bus"], 0, &[BUS, NET, unfit, SOFT, LOADS_TWO]);
    let steps = &place.json(&["--modalias", "devices", "@devices=pci; inside"])["steps"];
    let entries: Vec<_> = steps.as_array().unwrap().iter().map(|step| step["entry"].as_str().unwrap()).collect();
    assert_eq!(entries, ["@devices=pci", "@devices=pci", "@devices=pci", "inside"]);
    assert_eq!((&steps[2]["module"], &steps[2]["optional"]), (&"net".into(), &true.into()));
}

#[test]
fn only_the_named_buses_count_and_each_device_counts_once() {
    let place = with_devices();
    prints(&place, &["--modalias", "devices", "@devices=virtio,acpi"], 0, &[LOADS_NONE]);
    let both = ["--modalias", "devices", "@devices=pci; @devices=pci,platform"];
    prints(&place, &both, 0, &[BUS, NET, SOFT, LOADS_TWO]);
}

#[test]
fn a_driver_that_fails_or_is_blacklisted_is_passed_over() {
    let place = with_devices();
    place.tree("modules.alias", "alias pci:v1* broken\n");
    let outcome = place.check(&["--modalias", "devices", "@devices=pci"]);
    let warning = "warning: broken: optional, passed over: ";
    assert!(outcome.status == 0 && outcome.out.starts_with(warning), "{outcome:?}");
    place.file("root/etc/modprobe.d/a.conf", "blacklist broken\n");
    let line = "blacklisted broken";
    let warning = "warning: broken: not loaded: it is blacklisted, and was asked for by an alias";
    prints(&place, &["--modalias", "devices", "@devices=pci"], 0, &[line, warning, LOADS_NONE]);
}

#[test]
fn a_device_on_the_command_line_asks_for_its_driver() {
    let place = with_devices();
    place.tree("modules.dep", "kernel/virtio_mmio.ko:\n");
    place.tree("kernel/virtio_mmio.ko", module(&[MAGIC, "parmtype=device:string"], b""));
    let loads = ["insmod kernel/virtio_mmio.ko", "1.0: the VM would load 1 module and start its agent"];
    let word = "virtio_mmio.device=512@0xd0000000:5";
    let driver = format!("{} device=512@0xd0000000:5", loads[0]);
    place.file("devices", "virtio:d00000001v00001AF4\n");
    let unfit = "note: @devices: no module is for 1 of 2 modaliases";
    let arguments = ["--modalias", "devices", "--cmdline", word, "@devices"];
    prints(&place, &arguments, 0, &[&driver, unfit, loads[1]]);
    prints(&place, &["--modalias", "devices", "--cmdline", word, "@devices=pci"], 0, &[LOADS_NONE]);
    // In a VM that has such a device, sysfs shows it so.
    place.file("devices", "platform:virtio-mmio\n");
    prints(&place, &["--modalias", "devices", "@devices"], 0, &[loads[0], unfit, loads[1]]);
}

#[test]
fn devices_that_are_not_known_and_modaliases_that_are_not_asked_for_are_reported() {
    let place = with_devices();
    let note = "note: @devices: this VM's devices are not known: give their modaliases with --modalias FILE, as `cat \
                /sys/bus/*/devices/*/modalias` prints them in such a VM";
    prints(&place, &["@devices"], 0, &[note, LOADS_NONE]);
    let warning = "warning: --modalias has no effect: no list has the entry @devices";
    let loads_one = "1.0: the VM would load 1 module and start its agent";
    prints(&place, &["--modalias", "devices", "--deny-warnings", "bus"], 1, &[BUS, warning, loads_one]);
}

#[test]
fn a_line_that_is_no_modalias_is_named() {
    let place = with_devices();
    let fails = |arguments: &[&str], line: &str| {
        let outcome = place.check(arguments);
        assert_eq!((outcome.status, &outcome.err[..]), (2, line), "{outcome:?}");
    };
    place.file("devices", "pci:v1\n/sys/devices/x\n");
    let line = "line 2: `/sys/devices/x`: a modalias begins with a bus and `:`\n";
    fails(&["--modalias", "devices", "@devices"], &format!("guest-image: --modalias devices: {line}"));
    let missing = "guest-image: --modalias nowhere: No such file or directory (os error 2)\n";
    fails(&["--modalias", "nowhere", "@devices"], missing);
}

#[test]
fn modaliases_are_read_from_standard_input() {
    let place = with_devices();
    let mut command = place.command(&["check", "--root", "root", "--modalias", "-", "@devices"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"pci:v1").unwrap();
    let outcome = Outcome::of(child.wait_with_output().unwrap());
    assert_eq!((outcome.status, outcome.out.lines().next()), (0, Some(BUS)), "{outcome:?}");
}
