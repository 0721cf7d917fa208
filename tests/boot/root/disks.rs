//! Roots on disks of every kind that QEMU has, whose drivers no list names.

use super::{MOUNT_POINTS, SWITCH, tree};
use crate::support::disk::Disk;
use crate::support::{Image, Vm};

/// The drivers of the disks, as far as this kernel has them as modules.
const DRIVERS: &str = "?virtio_pci; ?virtio_blk; ?virtio_scsi; ?sd_mod; ?ahci; ?nvme; ?xhci_pci; ?usb_storage; ?uas;
    ?sdhci_pci; ?mmc_block; ?virtio_pmem; ?nd_pmem; ?nfit; ext4";

/// Boots with a disk behind these devices, and expects it to be the root. `DISK` stands for its file.
fn boots_from(name: &str, devices: &[&str]) {
    let disk = Disk::ext4(tree(MOUNT_POINTS).path(), &[]);
    let devices: Vec<_> = devices.iter().map(|device| device.replace("DISK", disk.path())).collect();
    Vm::new(&Image::new().modules(DRIVERS).build())
        .devices(devices.iter().map(String::as_str))
        // On a busy machine the slowest of them take longer than guest-init waits by itself.
        .append(&format!("{SWITCH} root=/dev/{name} rootwait -- --cat /etc/name"))
        .run()
        .agent_ran()
        .has("agent: /etc/name: the root");
}

/// The disk behind a device that takes it as its drive.
fn with_drive(name: &str, devices: &[&str]) {
    boots_from(name, &[&["-drive", "file=DISK,format=raw,if=none,id=d"][..], devices].concat());
}

#[test]
fn virtio_scsi() {
    with_drive("sda", &["-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=d"]);
}

#[test]
fn ahci() {
    with_drive("sda", &["-device", "ich9-ahci,id=ahci", "-device", "ide-hd,drive=d,bus=ahci.0"]);
}

#[test]
fn nvme() {
    with_drive("nvme0n1", &["-device", "nvme,serial=1,drive=d"]);
}

#[test]
fn usb_storage() {
    with_drive("sda", &["-device", "qemu-xhci", "-device", "usb-storage,drive=d"]);
}

#[test]
fn usb_attached_scsi() {
    let devices = ["-device", "qemu-xhci", "-device", "usb-uas,id=uas", "-device", "scsi-hd,bus=uas.0,drive=d"];
    with_drive("sda", &devices);
}

#[test]
fn mmc() {
    with_drive("mmcblk0", &["-device", "sdhci-pci", "-device", "sd-card,drive=d"]);
}

/// QEMU has these for x86_64 only, or with firmware that this VM has not: `scripts/test` passes over them elsewhere.
mod persistent_memory {
    use super::boots_from;

    /// It takes the place of memory that could be added.
    const ROOM: [&str; 2] = ["-m", "slots=2,maxmem=2G"];
    const MEMORY: [&str; 2] = ["-object", "memory-backend-file,id=m,share=on,mem-path=DISK,size=32M"];

    #[test]
    fn virtio_pmem() {
        boots_from("pmem0", &[&ROOM[..], &MEMORY, &["-device", "virtio-pmem-pci,memdev=m"]].concat());
    }

    #[test]
    fn nvdimm() {
        let devices = ["-machine", "nvdimm=on", "-device", "nvdimm,memdev=m"];
        boots_from("pmem0", &[&ROOM[..], &MEMORY, &devices].concat());
    }
}
