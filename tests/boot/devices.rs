//! The entry `@devices`: the drivers that the VM's devices ask for, with nothing else in the list.

mod bound;
mod look;
mod passed_over;
mod udev;

use crate::support::disk::Disk;
use crate::support::{Image, Machine, Vm};

/// The devices of a machine: on PCI a card of Intel's, virtio devices, an NVMe disk, sound, and behind a USB controller
/// a tablet and a disk. Where virtio devices are memory-mapped, only these.
struct Hardware {
    machine: &'static Machine,
    disks: [Disk; 4],
}

impl Hardware {
    fn of(machine: &'static Machine) -> Self {
        Self { machine, disks: [(); 4].map(|()| Disk::blank(1 << 20)) }
    }

    /// The VM with the devices.
    fn in_vm(&self, vm: Vm) -> Vm {
        let [virtio, scsi, nvme, usb] = self.disks.each_ref().map(Disk::path);
        let controller = format!("virtio-scsi-{},id=scsi", self.machine.bus);
        let vm = vm.options(["--machine", self.machine.name, "--nic", "virtio-net", "--disk", virtio]);
        let vm = vm.devices(["-drive", &drive("scsi0", scsi), "-device", &controller]);
        let vm = vm.devices(["-device", "scsi-hd,bus=scsi.0,drive=scsi0"]);
        if self.machine.bus != "pci" {
            return vm;
        }
        let vm = vm.options(["--nic", "e1000e"]);
        let vm = vm.devices(["-drive", &drive("nvme0", nvme), "-device", "nvme,drive=nvme0,serial=nvme0"]);
        let vm = vm.devices(["-device", "qemu-xhci", "-device", "usb-tablet"]);
        let vm = vm.devices(["-drive", &drive("usb0", usb), "-device", "usb-storage,drive=usb0"]);
        let vm = vm.devices(["-audiodev", "none,id=silent", "-device", "ich9-intel-hda"]);
        vm.devices(["-device", "hda-duplex,audiodev=silent"])
    }
}

/// QEMU's back end of a disk.
fn drive(name: &str, file: &str) -> String {
    format!("file={file},format=raw,if=none,id={name}")
}

/// The modules that drive [`Hardware`], and some that no device asks for.
const MODULES: &str = "?virtio_pci; ?virtio_mmio; virtio_net; virtio_blk; virtio_scsi; sd_mod; e1000e; nvme; xhci_pci; \
                       usbhid; hid_generic; usb_storage; uas; ?snd_hda_intel; ?snd_hda_codec_generic; dummy; loop";

/// An image with [`MODULES`].
fn image() -> Image {
    Image::new().modules(MODULES)
}
