//! The devices that `@devices` in a list asks for: those that exist when PID 1 looks, and those that their drivers
//! bring. Nothing waits for hardware that may come, except while USB is known to be at work
//! ([`crate::guest::modules::usb`]). All other buses are enumerated before the load of their driver ends.

extern crate alloc;

use alloc::vec::Vec;

use log::Level;

use crate::failure::Failure;
use crate::guest::modules::devices::{Requested, Round, log_drivers, unclaimed};
use crate::guest::modules::loader::LoadOptions;
use crate::guest::modules::trees::ModuleTrees;
use crate::guest::modules::usb::UsbDevices;
use crate::guest::watch::deadline::set_activity;
use crate::request::Request;
use crate::request::devices::{Devices, VIRTIO_MMIO};
use crate::request::list::Entry;
use crate::resolve::plan::Plan;
use crate::resolve::tree::config::SoftdepLines;

/// The purpose of the drivers, as the log names it.
const PURPOSE: &str = "this VM's devices";

/// The devices that the lists of a request ask for.
pub struct WantedDevices<'r, 'a> {
    request: &'r Request<'a>,
    requested: Requested,
}

impl<'r, 'a> WantedDevices<'r, 'a> {
    /// The devices of a request. `None`: its lists have no `@devices`.
    pub fn of(request: &'r Request<'a>) -> Option<Self> {
        let asks = request.entries.iter().any(|entry| entry.devices().is_some());
        asks.then(|| Self { request, requested: Requested::default() })
    }

    /// The names to request next: those of devices without a driver that were not requested before.
    #[inline(never)]
    pub fn next_round(&mut self) -> Vec<Vec<u8>> {
        let mut names = unclaimed();
        // Devices on the kernel command line exist only after this driver is loaded.
        names.extend(self.request.kernel.announces_virtio_mmio.then(|| VIRTIO_MMIO.to_vec()));
        names.retain(|name| self.ask(|devices| devices.ask_for(name)));
        self.requested.take_new(names)
    }

    /// Logs which drivers the plan of the lists loaded, and loads the drivers for the devices that the plan brought.
    /// `loaded` is the number of modules that the plan loaded. Returns how many were loaded in all.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    #[inline(never)]
    pub fn load_rest(
        &mut self,
        plan: &Plan<'_>,
        trees: &ModuleTrees,
        options: LoadOptions<'_>,
        loaded: usize,
    ) -> Result<usize, Failure> {
        let entry = |number: u16| self.request.entries.get(usize::from(number));
        log_drivers(Level::Info, PURPOSE, plan, &|step| {
            entry(step.entry).is_some_and(|entry| entry.devices().is_some())
        });
        let options = LoadOptions { purpose: PURPOSE, ..options };
        let round = Round { options, is_optional: true, softdeps: SoftdepLines::First, level: Level::Info };
        let with_disks = self.ask(|devices| devices.ask_for_bus(b"scsi"));
        let waits = self.ask(|devices| devices.ask_for_bus(b"usb"));
        let (mut usb, mut may_be_more, mut loaded) = (UsbDevices::unseen(), true, loaded);
        loop {
            set_activity("looking for devices that drivers brought");
            let names = self.next_round();
            if !names.is_empty() {
                loaded += round.load(trees, &names)?;
                usb.note_progress();
                may_be_more = true;
            } else if may_be_more && waits && loaded > 0 {
                // If there is none, one more look finds a device that came since the last one.
                may_be_more = usb.wait_for_new(with_disks);
            } else {
                return Ok(loaded);
            }
        }
    }

    /// Whether one of the entries for devices fulfils a condition.
    fn ask(&self, condition: impl Fn(&Devices<'a>) -> bool) -> bool {
        self.request.entries.iter().filter_map(Entry::devices).any(condition)
    }
}
