//! A look at a VM from inside: its modules, and the devices that have a modalias, with their drivers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::scene::busybox;
use crate::support::{Console, Image};

/// The agent that looks.
pub const AGENT: &str = "guest_init.agent=/looking";
const SCRIPT: &str = "#!/bin/busybox sh
exec /sbin/agent --quiet --exec /bin/busybox sh /look ';'
";

/// Prints the loaded modules, and what the uevents of all devices say about drivers and modaliases.
const LOOK: &str = "/bin/busybox sed 's/ .*//; s/^/module /' /proc/modules
/bin/busybox grep -sE '^(DRIVER|MODALIAS)=' /sys/bus/*/devices/*/uevent /sys/class/*/*/uevent
";

/// The image with the agent that looks.
pub fn able_to_look(image: Image) -> Image {
    let image = image.add(Path::new(&busybox()), "/bin/busybox");
    image.file("/looking", SCRIPT, 0o755).file("/look", LOOK, 0o644)
}

/// A device with a modalias.
#[derive(Debug, Default)]
pub struct Device {
    pub driver: Option<String>,
    pub modalias: String,
}

/// What the script has printed.
#[derive(Debug)]
pub struct Look {
    pub modules: BTreeSet<String>,
    /// The names that the kernel itself has requested, where its modprobe records them.
    pub requests: BTreeSet<String>,
    /// The devices by their paths below /sys/bus or /sys/class.
    devices: BTreeMap<String, Device>,
}

impl Look {
    /// What the script has printed to a console's report.
    pub fn of(console: &Console) -> Self {
        let mut look = Self { modules: BTreeSet::new(), requests: BTreeSet::new(), devices: BTreeMap::new() };
        for line in console.report() {
            let line = line.strip_prefix("agent: /bin/busybox: ").unwrap_or(line);
            if let Some(module) = line.strip_prefix("module ") {
                look.modules.insert(module.into());
            } else if let Some(name) = line.strip_prefix("request ") {
                look.requests.insert(name.into());
            } else if let Some((path, driver)) = line.split_once("/uevent:DRIVER=") {
                look.devices.entry(path.into()).or_default().driver = Some(driver.into());
            } else if let Some((path, modalias)) = line.split_once("/uevent:MODALIAS=") {
                look.devices.entry(path.into()).or_default().modalias = modalias.into();
            }
        }
        look.devices.retain(|_, device| !device.modalias.is_empty());
        assert!(look.on_buses().count() > 2, "too few devices:\n{console}");
        look
    }

    /// The devices on buses, which can have drivers.
    pub fn on_buses(&self) -> impl Iterator<Item = (&str, &Device)> {
        self.below("/sys/bus/")
    }

    /// The devices of classes, which can't.
    pub fn of_classes(&self) -> impl Iterator<Item = (&str, &Device)> {
        self.below("/sys/class/")
    }

    /// The drivers that are bound to devices.
    pub fn drivers(&self) -> BTreeSet<&str> {
        self.on_buses().filter_map(|(_, device)| device.driver.as_deref()).collect()
    }

    /// Whether a module is loaded.
    pub fn has(&self, module: &str) -> bool {
        self.modules.contains(module)
    }

    fn below(&self, folder: &'static str) -> impl Iterator<Item = (&str, &Device)> {
        let found = self.devices.iter().filter(move |(path, _)| path.starts_with(folder));
        found.map(|(path, device)| (&**path, device))
    }
}
