//! The drivers that guest-init itself needs to reach a share, a disk, a virtio console, the host's channel or pvpanic.
//! The VM's devices and file systems name them by aliases. They are planned and loaded as the modules of the lists are.

extern crate alloc;

use alloc::rc::Rc;
use alloc::vec::Vec;

use log::Level;

use crate::failure::Failure;
use crate::guest::modules::devices::{Requested, Round, unclaimed, unclaimed_on};
use crate::guest::modules::loader::LoadOptions;
use crate::guest::modules::trees::ModuleTrees;
use crate::guest::system::files::read_path;
use crate::guest::watch::deadline::set_activity;
use crate::request::devices::VIRTIO_MMIO;
use crate::request::kernel::KernelWords;
use crate::resolve::lookup::lookup;
use crate::resolve::tree::Sources;
use crate::resolve::tree::config::SoftdepLines;
use crate::resolve::tree::glob::glob;

/// The longest /proc/filesystems, in bytes. A longer one counts as absent.
const LONGEST: usize = 1 << 14;

/// A pattern for the modaliases of devices.
pub type Pattern = &'static [u8];

/// The transports of virtio devices: PCI, and memory that ACPI or a device tree announces (virtio_mmio). The channels
/// of s390x need no module: virtio_ccw is part of each kernel for its VMs (S390_GUEST in arch/s390/Kconfig).
const TRANSPORTS: &[Pattern] = &[b"pci:v00001AF4*", b"acpi:LNRO0005:*", b"of:N*Cvirtio,mmio*"];

/// Virtio consoles.
pub const CONSOLES: &[Pattern] = &[b"virtio:d00000003v*"];
/// Vsocks over virtio.
pub const VSOCKS: &[Pattern] = &[b"virtio:d00000013v*"];
/// 9p over virtio.
pub const NINE_P: &[Pattern] = &[b"virtio:d00000009v*"];

/// The parts of a kernel whose drivers lead to block devices, as paths below `kernel/drivers/` in a module tree: first
/// disks of every kind, then the buses that disks are behind.
const TO_DISKS: [&[u8]; 18] = [
    b"block/",
    b"nvme/",
    b"ata/",
    b"scsi/",
    b"message/fusion/",
    b"mmc/",
    b"memstick/",
    b"ufs/",
    b"nvdimm/",
    b"usb/storage/",
    b"s390/block/",
    b"s390/scsi/",
    b"virtio/virtio_pci.",
    b"virtio/virtio_mmio.",
    b"usb/host/",
    b"acpi/nfit/",
    b"hv/hv_vmbus.",
    b"pci/controller/",
];

/// Devices that report a panic to the host: QEMU's and Cloud Hypervisor's on PCI, QEMU's on ISA or in a device tree.
pub const PVPANIC: &[Pattern] = &[b"pci:v00001B36d00000011*", b"acpi:QEMU0001:*", b"of:N*Cqemu,pvpanic*"];

/// The drivers of module trees.
pub struct Drivers<'a> {
    /// `None`: no tree exists, and all drivers must be built into the kernel.
    trees: Option<Rc<ModuleTrees>>,
    kernel: KernelWords<'a>,
    keep_modules: bool,
    /// The purpose of the next drivers, as the log names it.
    pub purpose: &'static str,
    /// The names that were loaded so far, failed, or lead to no disk. No name is tried twice.
    requested: Requested,
}

impl<'a> Drivers<'a> {
    /// The drivers of trees. `None`: no tree exists, which is no failure.
    pub fn new(trees: Option<Rc<ModuleTrees>>, kernel: KernelWords<'a>, keep_modules: bool) -> Self {
        Self { trees, kernel, keep_modules, purpose: "the root", requested: Requested::default() }
    }

    /// Loads the module of a file system, if the kernel does not have the file system. Returns whether the kernel has
    /// it then.
    ///
    /// Failures: those of stage load, and of stage plan but
    /// [`Code::UnknownModule`](crate::failure::Code::UnknownModule).
    pub fn load_file_system(&mut self, fs_type: &[u8]) -> Result<bool, Failure> {
        if !has_file_system(fs_type) {
            // Any line of modules.softdep may name the checksum that this file system has.
            self.load(Vec::from([[b"fs-", fs_type].concat()]), false, SoftdepLines::All)?;
        }
        Ok(has_file_system(fs_type))
    }

    /// Loads the modules of these names and aliases, if the tree has them and they are not built in. A module that
    /// fails is logged and passed over.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn load_named(&mut self, names: &[&[u8]]) -> Result<(), Failure> {
        self.load(names.iter().map(|name| name.to_vec()).collect(), true, SoftdepLines::All)
    }

    /// Loads drivers for the devices that have no driver, and whose modalias matches one of `patterns`. A driver that
    /// fails is logged and passed over, because another device may be the one that guest-init needs.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn load_for_devices(&mut self, patterns: &[Pattern]) -> Result<(), Failure> {
        self.load(unclaimed_like(&[patterns]), true, SoftdepLines::First)
    }

    /// Loads the transports of virtio devices, and the drivers for those virtio devices whose modalias matches one of
    /// `patterns`. A driver that fails is logged and passed over.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn load_behind_transports(&mut self, patterns: &[Pattern]) -> Result<(), Failure> {
        // A transport may be loaded already. If it is not, the device behind it exists after the first round.
        let mut aliases = unclaimed_like(&[TRANSPORTS, patterns]);
        aliases.extend(self.announced());
        self.load(aliases, true, SoftdepLines::First)?;
        if patterns.is_empty() { Ok(()) } else { self.load_for_devices(patterns) }
    }

    /// Loads drivers for the devices of every bus that have no driver, if the driver leads to a block device. A driver
    /// that fails is logged and passed over. Returns whether there was a driver to load.
    ///
    /// Failures: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex), and
    /// [`Code::PlanTooLarge`](crate::failure::Code::PlanTooLarge) for an alias of more than 64 modules.
    pub fn load_for_disks(&mut self) -> Result<bool, Failure> {
        let Some(trees) = self.trees.clone() else { return Ok(false) };
        let mut aliases = unclaimed();
        aliases.extend(self.announced());
        // The wait for a disk calls this every few milliseconds, and most calls find no new device.
        aliases.retain(|alias| !self.requested.has(alias));
        if aliases.is_empty() {
            return Ok(false);
        }
        let config = trees.config(self.kernel.modules);
        let sources = trees.sources(&config);
        let mut wanted = Vec::new();
        for alias in aliases {
            match leads_to_a_disk(&sources, &alias)? {
                true => wanted.push(alias),
                false => _ = self.requested.add(alias),
            }
        }
        let is_progress = !wanted.is_empty();
        self.load(wanted, true, SoftdepLines::All).map(|()| is_progress)
    }

    /// The drivers that the kernel command line asks for: devices that are parameters of virtio_mmio exist only after
    /// it is loaded.
    fn announced(&self) -> Option<Vec<u8>> {
        self.kernel.announces_virtio_mmio.then(|| VIRTIO_MMIO.to_vec())
    }

    /// Loads the modules of `names` that the tree has.
    ///
    /// Failures: those of [`Round::load`].
    fn load(&mut self, names: Vec<Vec<u8>>, is_optional: bool, softdeps: SoftdepLines) -> Result<(), Failure> {
        let names = self.requested.take_new(names);
        let Some(trees) = self.trees.as_ref().filter(|_| !names.is_empty()) else { return Ok(()) };
        let options = LoadOptions {
            threads: 1,
            strict: false,
            looks_into_all: false,
            keep_modules: self.keep_modules,
            words: self.kernel.modules,
            purpose: self.purpose,
        };
        Round { options, is_optional, softdeps, level: Level::Debug }.load(trees, &names)?;
        set_activity(format_args!("on the way to {}", self.purpose));
        Ok(())
    }
}

/// Whether a device has no driver, and its modalias matches one of `patterns`.
pub fn has_unclaimed_device(patterns: &[Pattern]) -> bool {
    !unclaimed_like(&[patterns]).is_empty()
}

/// The modaliases of the devices that have no driver, if one of `patterns` matches. Only the buses of the patterns in
/// this file are looked at.
fn unclaimed_like(patterns: &[&[Pattern]]) -> Vec<Vec<u8>> {
    let mut aliases = unclaimed_on(&["pci", "platform", "virtio"]);
    aliases.retain(|alias| patterns.iter().copied().flatten().any(|pattern| glob(pattern, alias)));
    aliases
}

/// Whether the kernel has a file system, built in or loaded (filesystems(5)).
fn has_file_system(fs_type: &[u8]) -> bool {
    let text = read_path(c"/proc/filesystems", LONGEST).unwrap_or_default();
    text.split(|&b| b == b'\n').any(|line| line.rsplit(|&b| b == b'\t').next() == Some(fs_type))
}

/// Whether one of the modules that an alias means is a driver that leads to a block device. A module from elsewhere
/// than the kernel's own part of the tree, such as `updates/`, counts by the modules that it depends on.
fn leads_to_a_disk(sources: &Sources<'_>, alias: &[u8]) -> Result<bool, Failure> {
    const DRIVERS: &[u8] = b"kernel/drivers/";
    let is_one =
        |path: &[u8]| path.strip_prefix(DRIVERS).is_some_and(|path| TO_DISKS.iter().any(|part| path.starts_with(part)));
    for module in &lookup(sources, alias)? {
        let line = sources.line_of(module)?;
        let path = line.path().map_or(&b""[..], |file| file.path);
        if is_one(path) || !path.starts_with(b"kernel/") && line.dependencies().any(|file| is_one(file.path)) {
            return Ok(true);
        }
    }
    Ok(false)
}
