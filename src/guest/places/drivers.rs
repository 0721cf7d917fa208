//! Drivers that guest-init needs for itself, to reach a share or a root: what this VM's devices and a file system ask
//! for by their aliases, loaded through the same planner as what the lists ask for.

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

use rustix::fs::{AtFlags, Dir, statat};

use crate::failure::{Code, Failure, Report};
use crate::guest::modules::ready::{LoadOptions, Ready};
use crate::guest::modules::tree::ModuleTree;
use crate::guest::system::files::{Directory, read, read_path};
use crate::guest::watch::logger;
use crate::request::kernel::KernelWords;
use crate::request::list::Entry;
use crate::request::name::Name;
use crate::resolve::plan::{Options, Plan};
use crate::resolve::tree::glob::glob;
use crate::text::Shown;

/// The longest modalias and the longest list of file systems that are read, in bytes.
const LONGEST: usize = 1 << 14;

/// What a device may be, as a pattern of modaliases.
pub type Pattern = &'static [u8];

/// What carries virtio devices: PCI, and memory as ACPI or a device tree announces it.
pub const TRANSPORTS: &[Pattern] = &[b"pci:v00001AF4*", b"acpi:LNRO0005:*", b"of:N*Cvirtio,mmio*"];

/// What a virtio console is behind, and the console.
pub const CONSOLES: &[Pattern] = &[b"pci:v00001AF4*", b"acpi:LNRO0005:*", b"of:N*Cvirtio,mmio*", b"virtio:d00000003v*"];

/// What disks are behind: those, and PCI's class of mass storage, virtio-blk, virtio-scsi, and SCSI's disks.
pub const DISKS: &[Pattern] = &[
    b"pci:v00001AF4*",
    b"acpi:LNRO0005:*",
    b"of:N*Cvirtio,mmio*",
    b"pci:*bc01sc*",
    b"virtio:d00000002v*",
    b"virtio:d00000008v*",
    b"scsi:t-0x00*",
];

/// A module tree, and what was asked of it so far.
pub struct Drivers<'a> {
    tree: Option<Rc<ModuleTree>>,
    kernel: KernelWords<'a>,
    keep_modules: bool,
    asked: Vec<Vec<u8>>,
}

impl<'a> Drivers<'a> {
    /// Drivers of this tree. A tree that is not there has none: then all must be built into the kernel.
    ///
    /// Failure: [`Code::CorruptIndex`].
    pub fn of(
        tree: Result<Rc<ModuleTree>, Failure>,
        kernel: KernelWords<'a>,
        keep_modules: bool,
    ) -> Result<Self, Failure> {
        let tree = match tree {
            Ok(tree) => Some(tree),
            Err(failure) if failure.code == Code::NoModuleTree => {
                log::debug!("{failure}: no drivers from there");
                None
            }
            Err(failure) => return Err(failure),
        };
        Ok(Self { tree, kernel, keep_modules, asked: Vec::new() })
    }

    /// Loads a file system that the kernel does not have; whether it has it then.
    ///
    /// Failures: those of stage load, and of stage plan but [`Code::UnknownModule`].
    pub fn file_system(&mut self, kind: &[u8]) -> Result<bool, Failure> {
        if !has_file_system(kind) {
            self.load(Vec::from([[b"fs-", kind].concat()]), false)?;
        }
        Ok(has_file_system(kind))
    }

    /// Loads drivers for the devices that have none and whose modalias matches one of `patterns`. A driver that fails is
    /// logged and passed over: another device may be the one that is needed.
    ///
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn devices(&mut self, patterns: &[Pattern]) -> Result<(), Failure> {
        let mut aliases = Vec::new();
        // Devices that are announced as parameters are not there before the driver is.
        if self.kernel.announces_virtio_mmio {
            aliases.push(b"virtio_mmio".to_vec());
        }
        for bus in ["pci", "platform", "virtio", "scsi"] {
            without_driver(bus, &mut |alias| aliases.push(alias));
        }
        aliases.retain(|alias| alias == b"virtio_mmio" || patterns.iter().any(|pattern| glob(pattern, alias)));
        self.load(aliases, true)
    }

    /// Loads what the tree has of `names`, each once.
    fn load(&mut self, aliases: Vec<Vec<u8>>, optional: bool) -> Result<(), Failure> {
        let mut names = Vec::new();
        for alias in aliases {
            if !self.asked.contains(&alias)
                && let Err(place) = names.binary_search(&alias)
            {
                names.insert(place, alias);
            }
        }
        let Some(tree) = self.tree.as_ref().filter(|_| !names.is_empty()) else { return Ok(()) };
        self.asked.extend(names.iter().cloned());
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
        let mut tell = logger::tell;
        let mut report = Report::new(&mut tell);
        let options =
            LoadOptions { threads: 1, strict: false, keep_modules: self.keep_modules, words: self.kernel.modules };
        let ready = Ready::open(&plan, tree, options, &mut |finding| finding.heed(&mut report));
        report.verdict()?;
        ready.load()
    }
}

/// Whether the kernel knows a file system by now.
pub fn has_file_system(kind: &[u8]) -> bool {
    let text = read_path(c"/proc/filesystems", LONGEST).unwrap_or_default();
    text.split(|&b| b == b'\n').any(|line| line.rsplit(|&b| b == b'\t').next() == Some(kind))
}

/// The modaliases of the devices of a bus that no driver has taken.
fn without_driver(bus: &str, found: &mut dyn FnMut(Vec<u8>)) {
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
