//! All devices get their drivers, also those that exist only behind other drivers.

use super::look::{AGENT, Look, able_to_look};
use super::{Hardware, image};
use crate::support::{Machine, Vm};

/// Boots with all devices of a machine and asserts that they have drivers, in the kernel's names.
fn all_are_bound(machine: &'static Machine, expected: &[&str]) -> Look {
    let (hardware, image) = (Hardware::of(machine), able_to_look(image()).build());
    let vm = hardware.in_vm(Vm::new(&image));
    let console = vm.append(&format!("guest_init.modules=@devices {AGENT}")).run().agent_ran();
    let look = Look::of(&console);
    let drivers = look.drivers();
    let without: Vec<_> = expected.iter().filter(|driver| !drivers.contains(*driver)).collect();
    assert!(without.is_empty(), "no device is bound to {without:?}: {look:#?}\n{console}");
    assert!(!look.has("dummy") && !look.has("loop"), "{:?}", look.modules);
    console.has("guest-init: for this VM's devices: ").has("virtio_net for virtio:d00000001v");
    look
}

const VIRTIO: [&str; 4] = ["virtio_net", "virtio_blk", "virtio_scsi", "sd"];

#[test]
fn every_device_is_bound_with_nothing_else_in_the_list() {
    let machine = Machine::under_test();
    let mut expected = VIRTIO.to_vec();
    // The disk of virtio-scsi, and the USB disk.
    let mut disks = 1;
    if machine.bus == "pci" {
        expected.extend(["virtio-pci", "e1000e", "nvme", "snd_hda_intel"]);
        expected.extend(machine.codec.then_some("snd_hda_codec_generic"));
        expected.extend(["xhci_hcd", "usbhid", "hid-generic", "usb-storage"]);
        disks += 1;
    }
    let look = all_are_bound(machine, &expected);
    let bound = look.on_buses().filter(|(_, device)| device.driver.as_deref() == Some("sd"));
    assert_eq!(bound.count(), disks, "{look:#?}");
}

#[test]
fn memory_mapped_devices_are_bound() {
    all_are_bound(Machine::under_test().memory_mapped(), &VIRTIO);
}
