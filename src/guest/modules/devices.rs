//! The devices of this VM that have no driver, and the load of the drivers that they ask for by their modaliases.
//!
//! A driver may bring further devices, as a bus brings those on it. So drivers are loaded in rounds: each round
//! requests the names that no earlier round did.

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt::Write;

use log::Level;

use crate::failure::{Code, Failure, Report};
use crate::guest::modules::loader::{LoadOptions, Loader};
use crate::guest::modules::sysfs::is_live;
use crate::guest::modules::trees::ModuleTrees;
use crate::guest::system::files::{Directory, read};
use crate::guest::watch::logger::{self, log_passed_over};
use crate::resolve::plan::{Action, Options, Plan, Step};
use crate::resolve::tree::config::SoftdepLines;
use crate::text::{Shown, Text};

/// The longest uevent of a device, in bytes. A device with a longer one counts as absent.
const LONGEST: usize = 1 << 14;
/// The length in bytes from which on the text of a record is continued in a next record.
const FULL: usize = 600;
/// The room for one driver and its modalias in a record, in bytes.
const ROOM: usize = 140;

/// The names that were requested so far, in order. No name is requested twice.
#[derive(Debug, Default)]
pub struct Requested(Vec<Vec<u8>>);

impl Requested {
    /// Whether a name was requested.
    pub fn has(&self, name: &Vec<u8>) -> bool {
        self.0.binary_search(name).is_ok()
    }

    /// Adds a name. Returns whether it is new.
    pub fn add(&mut self, name: Vec<u8>) -> bool {
        let position = self.0.binary_search(&name);
        if let Err(position) = position {
            self.0.insert(position, name);
        }
        position.is_err()
    }

    /// Takes those of `names` that were not requested before. Returns them in order, each once.
    pub fn take_new(&mut self, names: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut new = Self::default();
        for name in names {
            if self.add(name.clone()) {
                new.add(name);
            }
        }
        new.0
    }
}

/// The modaliases of the devices on all buses that no driver is bound to. A modalias may come several times.
pub fn unclaimed() -> Vec<Vec<u8>> {
    let buses = Directory::open("/sys/bus").and_then(|buses| buses.names()).unwrap_or_default();
    let buses: Vec<_> = buses.iter().map(|bus| &**bus).collect();
    unclaimed_on(&buses)
}

/// The modaliases of the devices on some buses that no driver is bound to. They are read from `uevent`, because a card
/// on the bus of MMC has no file `modalias`.
pub fn unclaimed_on(buses: &[&str]) -> Vec<Vec<u8>> {
    let mut modaliases = Vec::new();
    for bus in buses {
        let Ok(devices) = Directory::open(format!("/sys/bus/{bus}/devices")) else { continue };
        for name in &devices.names().unwrap_or_default() {
            let uevent = devices.regular(format!("{name}/uevent")).and_then(|file| read(&file, LONGEST));
            let uevent = uevent.unwrap_or_default();
            let mut lines = uevent.split(|&b| b == b'\n');
            if !lines.clone().any(|line| line.starts_with(b"DRIVER=")) {
                modaliases.extend(lines.find_map(|line| line.strip_prefix(b"MODALIAS=")).map(<[u8]>::to_vec));
            }
        }
    }
    modaliases
}

/// The choices of a round.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// How the plan is loaded.
    pub options: LoadOptions<'a>,
    /// Whether a module that fails is logged and passed over.
    pub is_optional: bool,
    /// The lines that soft dependencies are taken from.
    pub softdeps: SoftdepLines,
    /// The level of the record of what was loaded for which device.
    pub level: Level,
}

impl Round<'_> {
    /// Loads the modules of these names and aliases that the trees have. Returns how many were loaded.
    ///
    /// Failures: [`Code::CorruptIndex`]. If the modules are not optional, those of stages load and plan, but not
    /// [`Code::UnknownModule`].
    pub fn load(&self, trees: &ModuleTrees, names: &[Vec<u8>]) -> Result<usize, Failure> {
        let config = trees.config(self.options.words);
        let mut plan = Box::write(Box::new_uninit(), Plan::new(trees.sources(&config)));
        for name in names {
            let options = Options { softdeps: self.softdeps, ..Options::default() };
            match plan.add_name(name, b"", self.is_optional, options) {
                Ok(true) => {}
                Ok(false) => log::debug!("no driver for {}", Shown(name)),
                Err(failure) if self.is_optional && failure.code != Code::CorruptIndex => log_passed_over(&failure),
                Err(failure) => return Err(failure),
            }
        }
        if plan.steps().is_empty() {
            return Ok(0);
        }
        let mut log = logger::log_failure;
        let mut report = Report::new(&mut log);
        let loader = Loader::open(&plan, trees, self.options, &mut |finding| finding.report_or_log(&mut report));
        report.verdict()?;
        let loaded = loader.load()?;
        log_drivers(self.level, self.options.purpose, &plan, &|_| true);
        Ok(loaded)
    }
}

/// Logs which modules were loaded for which devices, behind a load: `for PURPOSE: virtio_net for virtio:d00000001…`.
/// Only those count that are in the kernel then.
pub fn log_drivers(level: Level, purpose: &str, plan: &Plan<'_>, is_for_devices: &dyn Fn(&Step<'_>) -> bool) {
    if !log::log_enabled!(level) {
        return;
    }
    let mut text = Text::<{ FULL + ROOM }>::new();
    let is_driver = |step: &&Step<'_>| step.asked_for && matches!(step.action, Action::Load(_)) && is_for_devices(step);
    for step in plan.steps().iter().filter(is_driver) {
        if plan.earlier_steps(step).any(|(_, earlier)| is_driver(&earlier)) || !is_live(&step.module) {
            continue;
        }
        if text.as_str().len() > FULL {
            log::log!(level, "for {purpose}: {text}");
            text = Text::new();
        }
        let separator = if text.as_str().is_empty() { "" } else { ", " };
        let driver = match step.module.alias() {
            Some(alias) => Text::<{ ROOM - 2 }>::of(format_args!("{} for {}", step.module, Shown(alias))),
            None => Text::of(step.module),
        };
        let _ = write!(text, "{separator}{}", driver.as_str());
    }
    if !text.as_str().is_empty() {
        log::log!(level, "for {purpose}: {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_requested_twice() {
        let names = |text: &str| text.split(' ').map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
        let mut requested = Requested::default();
        assert_eq!(requested.take_new(names("pci:b pci:a pci:b")), names("pci:a pci:b"));
        assert_eq!(requested.take_new(names("usb:c pci:a")), names("usb:c"));
        assert!(requested.has(&b"usb:c".to_vec()) && !requested.has(&b"usb".to_vec()));
    }
}
