//! The drivers that guest-init itself needs to reach a share, a disk, a virtio console, the host's channel or pvpanic.
//! The VM's devices and file systems name them by aliases. They are planned and loaded as the modules of the lists are.

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::failure::{Code, Failure, Report};
use crate::guest::modules::loader::{LoadOptions, Loader};
use crate::guest::modules::trees::ModuleTrees;
use crate::guest::system::files::{Directory, read, read_path};
use crate::guest::watch::deadline::set_activity;
use crate::guest::watch::logger;
use crate::request::kernel::KernelWords;
use crate::request::list::Entry;
use crate::request::name::Name;
use crate::resolve::lookup::lookup;
use crate::resolve::plan::{Options, Plan};
use crate::resolve::tree::Sources;
use crate::resolve::tree::config::SoftdepLines;
use crate::resolve::tree::glob::glob;

/// The longest uevent of a device, and the longest /proc/filesystems, in bytes. A longer one counts as absent.
const LONGEST: usize = 1 << 14;

/// The module whose parameters announce devices.
const VIRTIO_MMIO: &[u8] = b"virtio_mmio";

/// A pattern for the modaliases of devices.
pub type Pattern = &'static [u8];

/// The transports of virtio devices: PCI, and memory that ACPI or a device tree announces (virtio_mmio).
pub const TRANSPORTS: &[Pattern] = &[b"pci:v00001AF4*", b"acpi:LNRO0005:*", b"of:N*Cvirtio,mmio*"];

/// Virtio consoles, and the transports that they are behind.
pub const CONSOLES: &[Pattern] = &[b"pci:v00001AF4*", b"acpi:LNRO0005:*", b"of:N*Cvirtio,mmio*", b"virtio:d00000003v*"];

/// Vsocks over virtio, and the transports that they are behind.
pub const VSOCKS: &[Pattern] = &[b"pci:v00001AF4*", b"acpi:LNRO0005:*", b"of:N*Cvirtio,mmio*", b"virtio:d00000013v*"];

/// 9p over virtio, and the transports that it is behind.
pub const NINE_P: &[Pattern] = &[b"pci:v00001AF4*", b"acpi:LNRO0005:*", b"of:N*Cvirtio,mmio*", b"virtio:d00000009v*"];

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
    requested: Vec<Vec<u8>>,
}

impl<'a> Drivers<'a> {
    /// The drivers of trees. `None`: no tree exists, which is no failure.
    pub const fn new(trees: Option<Rc<ModuleTrees>>, kernel: KernelWords<'a>, keep_modules: bool) -> Self {
        Self { trees, kernel, keep_modules, purpose: "the root", requested: Vec::new() }
    }

    /// Loads the module of a file system, if the kernel does not have the file system. Returns whether the kernel has
    /// it then.
    ///
    /// Failures: those of stage load, and of stage plan but [`Code::UnknownModule`].
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
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn load_named(&mut self, names: &[&[u8]]) -> Result<(), Failure> {
        self.load(names.iter().map(|name| name.to_vec()).collect(), true, SoftdepLines::All)
    }

    /// Loads drivers for the devices that have no driver, and whose modalias matches one of `patterns`. A driver that
    /// fails is logged and passed over, because another device may be the one that guest-init needs.
    ///
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn load_for_devices(&mut self, patterns: &[Pattern]) -> Result<(), Failure> {
        let mut aliases = self.announced();
        for bus in ["pci", "platform", "virtio"] {
            unclaimed_devices(bus, &mut aliases);
        }
        aliases.retain(|alias| alias == VIRTIO_MMIO || patterns.iter().any(|pattern| glob(pattern, alias)));
        self.load(aliases, true, SoftdepLines::First)
    }

    /// As [`Self::load_for_devices`], for devices that are behind a transport, which must be among the patterns.
    ///
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn load_behind_transports(&mut self, patterns: &[Pattern]) -> Result<(), Failure> {
        // The first call loads a transport. Then the device behind it exists, and the second call loads its driver.
        self.load_for_devices(patterns)?;
        self.load_for_devices(patterns)
    }

    /// Loads drivers for the devices of every bus that have no driver, if the driver leads to a block device. A driver
    /// that fails is logged and passed over. Returns whether there was a driver to load.
    ///
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn load_for_disks(&mut self) -> Result<bool, Failure> {
        let Some(trees) = self.trees.clone() else { return Ok(false) };
        let mut aliases = self.announced();
        for bus in &Directory::open("/sys/bus").and_then(|buses| buses.names()).unwrap_or_default() {
            unclaimed_devices(bus, &mut aliases);
        }
        // The wait for a disk calls this every few milliseconds, and most calls find no new device.
        aliases.retain(|alias| !self.requested.contains(alias));
        if aliases.is_empty() {
            return Ok(false);
        }
        let config = trees.config(self.kernel.modules);
        let sources = trees.sources(&config);
        let mut wanted = Vec::new();
        for alias in aliases {
            match leads_to_a_disk(&sources, &alias)? {
                true => wanted.push(alias),
                false => self.requested.push(alias),
            }
        }
        let is_progress = !wanted.is_empty();
        self.load(wanted, true, SoftdepLines::All).map(|()| is_progress)
    }

    /// The drivers that the kernel command line asks for: devices that are parameters of virtio_mmio exist only after
    /// it is loaded.
    fn announced(&self) -> Vec<Vec<u8>> {
        self.kernel.announces_virtio_mmio.then(|| VIRTIO_MMIO.to_vec()).into_iter().collect()
    }

    /// Loads the modules of `aliases` that the tree has.
    ///
    /// Failures: those of stage load, and of stage plan but [`Code::UnknownModule`].
    fn load(&mut self, aliases: Vec<Vec<u8>>, optional: bool, softdeps: SoftdepLines) -> Result<(), Failure> {
        let mut names = Vec::new();
        for alias in aliases {
            if !self.requested.contains(&alias)
                && let Err(position) = names.binary_search(&alias)
            {
                names.insert(position, alias);
            }
        }
        let Some(trees) = self.trees.as_ref().filter(|_| !names.is_empty()) else { return Ok(()) };
        self.requested.extend(names.iter().cloned());
        let config = trees.config(self.kernel.modules);
        let mut plan = Box::write(Box::new_uninit(), Plan::new(trees.sources(&config)));
        for name in &names {
            let Ok(name) = Name::new(name) else { continue };
            match plan.add(&Entry { name, parameters: b"", optional }, Options { softdeps, ..Options::default() }) {
                Err(failure) if failure.code == Code::UnknownModule => log::debug!("no driver for {name}"),
                result => result?,
            }
        }
        if plan.steps().is_empty() {
            return Ok(());
        }
        let mut log = logger::log_failure;
        let mut report = Report::new(&mut log);
        let options = LoadOptions {
            threads: 1,
            strict: false,
            looks_into_all: false,
            keep_modules: self.keep_modules,
            words: self.kernel.modules,
            purpose: self.purpose,
        };
        let loader = Loader::open(&plan, trees, options, &mut |finding| finding.report_or_log(&mut report));
        report.verdict()?;
        loader.load()?;
        set_activity(format_args!("on the way to {}", self.purpose));
        Ok(())
    }
}

/// Whether a device on the buses `pci` and `platform` has no driver, and its modalias matches one of `patterns`.
pub fn has_unclaimed_device(patterns: &[Pattern]) -> bool {
    let mut aliases = Vec::new();
    for bus in ["pci", "platform"] {
        unclaimed_devices(bus, &mut aliases);
    }
    aliases.iter().any(|alias| patterns.iter().any(|pattern| glob(pattern, alias)))
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

/// Adds the modaliases of the devices of a bus that no driver is bound to. They are read from `uevent`, because a card
/// on the bus of MMC has no file `modalias`.
fn unclaimed_devices(bus: &str, aliases: &mut Vec<Vec<u8>>) {
    let Ok(devices) = Directory::open(format!("/sys/bus/{bus}/devices")) else { return };
    for name in &devices.names().unwrap_or_default() {
        let uevent = devices.regular(format!("{name}/uevent")).and_then(|file| read(&file, LONGEST));
        let uevent = uevent.unwrap_or_default();
        let mut lines = uevent.split(|&b| b == b'\n');
        if lines.clone().any(|line| line.starts_with(b"DRIVER=")) {
            continue;
        }
        aliases.extend(lines.find_map(|line| line.strip_prefix(b"MODALIAS=")).map(<[u8]>::to_vec));
    }
}
