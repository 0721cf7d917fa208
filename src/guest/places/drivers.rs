//! The drivers that guest-init itself needs to reach a share, a root, a virtio console or pvpanic. The VM's devices and
//! file systems name them by aliases. They are planned and loaded as the modules of the lists are.

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

use rustix::fs::{AtFlags, Dir, statat};

use crate::failure::{Code, Failure, Report};
use crate::guest::modules::loader::{LoadOptions, Loader};
use crate::guest::modules::tree::ModuleTree;
use crate::guest::system::files::{Directory, read, read_path};
use crate::guest::watch::logger;
use crate::request::kernel::KernelWords;
use crate::request::list::Entry;
use crate::request::name::Name;
use crate::resolve::plan::{Options, Plan};
use crate::resolve::tree::glob::glob;
use crate::text::Shown;

/// The longest modalias, and the longest /proc/filesystems, in bytes. A longer one counts as absent.
const LONGEST: usize = 1 << 14;

/// A pattern for the modaliases of devices.
pub type Pattern = &'static [u8];

/// The transports of virtio devices: PCI, and memory that ACPI or a device tree announces (virtio_mmio).
pub const TRANSPORTS: &[Pattern] = &[b"pci:v00001AF4*", b"acpi:LNRO0005:*", b"of:N*Cvirtio,mmio*"];

/// Virtio consoles, and the transports that they are behind.
pub const CONSOLES: &[Pattern] = &[b"pci:v00001AF4*", b"acpi:LNRO0005:*", b"of:N*Cvirtio,mmio*", b"virtio:d00000003v*"];

/// Disks: the transports of virtio, PCI's class of mass storage, virtio-blk, virtio-scsi, and the disks of SCSI.
pub const DISKS: &[Pattern] = &[
    b"pci:v00001AF4*",
    b"acpi:LNRO0005:*",
    b"of:N*Cvirtio,mmio*",
    b"pci:*bc01sc*",
    b"virtio:d00000002v*",
    b"virtio:d00000008v*",
    b"scsi:t-0x00*",
];

/// Devices that report a panic to the host: QEMU's and Cloud Hypervisor's on PCI, and QEMU's on ISA or in a device tree.
pub const PVPANIC: &[Pattern] = &[b"pci:v00001B36d00000011*", b"acpi:QEMU0001:*", b"of:N*Cqemu,pvpanic*"];

/// The drivers of a module tree.
pub struct Drivers<'a> {
    /// `None`: the tree does not exist, and all drivers must be built into the kernel.
    tree: Option<Rc<ModuleTree>>,
    kernel: KernelWords<'a>,
    keep_modules: bool,
    /// The names that were loaded so far, or failed. No name is tried twice.
    requested: Vec<Vec<u8>>,
}

impl<'a> Drivers<'a> {
    /// The drivers of a tree. A tree that does not exist is no failure.
    ///
    /// Failure: [`Code::CorruptIndex`].
    pub fn new(
        tree: Result<Rc<ModuleTree>, Failure>,
        kernel: KernelWords<'a>,
        keep_modules: bool,
    ) -> Result<Self, Failure> {
        let tree = match tree {
            Ok(tree) => Some(tree),
            Err(failure) if failure.code == Code::NoModuleTree => {
                log::debug!("{failure}: no drivers are loaded from it");
                None
            }
            Err(failure) => return Err(failure),
        };
        Ok(Self { tree, kernel, keep_modules, requested: Vec::new() })
    }

    /// Loads the module of a file system, if the kernel does not have the file system. Returns whether the kernel has
    /// it then.
    ///
    /// Failures: those of stage load, and of stage plan but [`Code::UnknownModule`].
    pub fn load_file_system(&mut self, fs_type: &[u8]) -> Result<bool, Failure> {
        if !has_file_system(fs_type) {
            self.load(Vec::from([[b"fs-", fs_type].concat()]), false)?;
        }
        Ok(has_file_system(fs_type))
    }

    /// Loads drivers for the devices that have no driver, and whose modalias matches one of `patterns`. A driver that
    /// fails is logged and passed over, because another device may be the one that guest-init needs.
    ///
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn load_for_devices(&mut self, patterns: &[Pattern]) -> Result<(), Failure> {
        let mut aliases = Vec::new();
        // Devices that are parameters of virtio_mmio exist only after it is loaded.
        if self.kernel.announces_virtio_mmio {
            aliases.push(b"virtio_mmio".to_vec());
        }
        for bus in ["pci", "platform", "virtio", "scsi"] {
            each_unclaimed_device(bus, &mut |alias| aliases.push(alias));
        }
        aliases.retain(|alias| alias == b"virtio_mmio" || patterns.iter().any(|pattern| glob(pattern, alias)));
        self.load(aliases, true)
    }

    /// Loads the modules of `aliases` that the tree has.
    ///
    /// Failures: those of stage load, and of stage plan but [`Code::UnknownModule`].
    fn load(&mut self, aliases: Vec<Vec<u8>>, optional: bool) -> Result<(), Failure> {
        let mut names = Vec::new();
        for alias in aliases {
            if !self.requested.contains(&alias)
                && let Err(position) = names.binary_search(&alias)
            {
                names.insert(position, alias);
            }
        }
        let Some(tree) = self.tree.as_ref().filter(|_| !names.is_empty()) else { return Ok(()) };
        self.requested.extend(names.iter().cloned());
        let config = tree.config(self.kernel.modules);
        let mut plan = Box::write(Box::new_uninit(), Plan::new(tree.sources(&config)));
        for name in &names {
            let Ok(name) = Name::new(name) else { continue };
            match plan.add(&Entry { name, parameters: b"", optional }, Options::default()) {
                Err(failure) if failure.code == Code::UnknownModule => log::debug!("no driver for {name}"),
                result => result?,
            }
        }
        if plan.steps().is_empty() {
            return Ok(());
        }
        let mut log = logger::log_failure;
        let mut report = Report::new(&mut log);
        let options =
            LoadOptions { threads: 1, strict: false, keep_modules: self.keep_modules, words: self.kernel.modules };
        let loader = Loader::open(&plan, tree, options, &mut |finding| finding.report_or_log(&mut report));
        report.verdict()?;
        loader.load()
    }
}

/// Whether a device on the buses `pci` and `platform` has no driver, and its modalias matches one of `patterns`.
pub fn has_unclaimed_device(patterns: &[Pattern]) -> bool {
    let mut found = false;
    for bus in ["pci", "platform"] {
        each_unclaimed_device(bus, &mut |alias| found |= patterns.iter().any(|pattern| glob(pattern, &alias)));
    }
    found
}

/// Whether the kernel has a file system, built in or loaded (filesystems(5)).
fn has_file_system(fs_type: &[u8]) -> bool {
    let text = read_path(c"/proc/filesystems", LONGEST).unwrap_or_default();
    text.split(|&b| b == b'\n').any(|line| line.rsplit(|&b| b == b'\t').next() == Some(fs_type))
}

/// Calls `found` with the modalias of each device of a bus that no driver is bound to.
fn each_unclaimed_device(bus: &str, found: &mut dyn FnMut(Vec<u8>)) {
    let Ok(devices) = Directory::open(format!("/sys/bus/{bus}/devices")) else { return };
    let Ok(entries) = Dir::read_from(&devices) else { return };
    for entry in entries.flatten() {
        let name = Shown(entry.file_name().to_bytes());
        if statat(&devices, format!("{name}/driver"), AtFlags::empty()).is_ok() {
            continue;
        }
        let alias = devices.regular(format!("{name}/modalias")).and_then(|file| read(&file, LONGEST));
        alias.into_iter().for_each(|alias| found(alias.trim_ascii_end().to_vec()));
    }
}
