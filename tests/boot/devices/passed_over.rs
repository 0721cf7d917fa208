//! Devices that get no driver, and the others, which do.

use super::look::{AGENT, Look, able_to_look};
use super::{Hardware, image};
use crate::support::scene::{small, with_dep};
use crate::support::{Console, Image, Kernel, Machine, Vm};

/// Boots with all devices and so many CPUs.
fn boot(image: Image, cpus: &str, words: &str) -> (Look, Console) {
    let (hardware, image) = (Hardware::of(Machine::under_test()), able_to_look(image).build());
    let vm = hardware.in_vm(Vm::new(&image)).options(["--smp", cpus]);
    let console = vm.append(&format!("{words} {AGENT}")).run().agent_ran();
    (Look::of(&console), console)
}

#[test]
fn drivers_that_fail_leave_the_other_devices_theirs() {
    // A module whose start fails, one with a value that it refuses, and one whose file is missing.
    let unfit = Machine::under_test().arch.unfit;
    let config = format!("alias virtio:d00000002v* {unfit}\nalias virtio:d00000008v* overlay\n");
    let kernel = Kernel::under_test();
    let dep = std::fs::read(kernel.modules().join("modules.dep")).expect("the tree has a modules.dep");
    let image = with_dep(image().modules(unfit), dep).file("/etc/modprobe.d/drivers.conf", config, 0o644);
    let (look, console) = boot(image, "1", "guest_init.modules=@devices virtio_net.napi_tx=maybe");
    let console = console
        .has(&format!("guest-init: load {unfit}: "))
        .has("guest-init: load virtio_net: EINVAL: ")
        .has(&format!("guest-init: plan {}: ENOENT: ", kernel.module("overlay").1));
    let passed_over = console.log().filter(|line| line.ends_with(": optional, passed over")).count();
    assert_eq!(passed_over, 3, "{console}");
    let drivers = look.drivers();
    assert!(["virtio_net", "virtio_blk", "virtio_scsi"].iter().all(|name| !drivers.contains(name)), "{look:#?}");
    assert!(["e1000e", "nvme", "usb-storage", "sd"].iter().all(|name| drivers.contains(name)), "{look:#?}");
}

#[test]
fn the_blacklist_and_install_commands_count() {
    let config = "blacklist nvme\ninstall virtio-net /bin/true\n";
    let image = image().file("/etc/modprobe.d/drivers.conf", config, 0o644);
    let (look, console) = boot(image, "1", "guest_init.modules=@devices modprobe.blacklist=e1000e");
    assert!(["nvme", "virtio_net", "e1000e"].iter().all(|module| !look.has(module)), "{look:#?}\n{console}");
    assert!(["virtio_blk", "virtio_scsi", "sd"].iter().all(|name| look.drivers().contains(name)), "{look:#?}");
}

#[test]
fn named_buses_take_no_other_devices_and_keep_their_place_in_the_list() {
    let words = "guest_init.log=debug guest_init.jobs=auto guest_init.modules=\"dummy; @devices=pci,usb; loop\"";
    let (look, console) = boot(image(), "2", words);
    let drivers = look.drivers();
    assert!(["virtio-pci", "e1000e", "nvme", "usb-storage"].iter().all(|name| drivers.contains(name)), "{look:#?}");
    assert!(["virtio_net", "virtio_blk", "sd_mod", "hid_generic"].iter().all(|name| !look.has(name)), "{look:#?}");
    console.in_order(&["/dummy.ko", "/e1000e.ko", "/loop.ko", "/usb-storage.ko"]);
}

#[test]
fn where_no_device_asks_the_agent_starts_at_once() {
    // The card is on another bus. With --icount the VM's clock counts instructions.
    let image = small().modules("e1000e").build();
    let vm = Vm::new(&image).options(["--nic", "e1000e", "--icount"]);
    let words = "guest_init.log=debug guest_init.modules=\"@devices=virtio; @devices=vmbus,usb\" -- --quiet";
    let console = vm.append(words).run().agent_ran().has_not("guest-init: insmod ");
    let took = console.between("guest-init: activity: ", "guest-init: executing /sbin/agent");
    assert!(took < 0.1, "it took {took} s\n{console}");
}
