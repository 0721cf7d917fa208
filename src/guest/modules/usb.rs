//! USB, the bus whose devices the kernel enumerates in the background: those of a hub (hub_event in
//! drivers/usb/core/hub.c), and the disks of USB storage (delay_use in drivers/usb/storage/usb.c).

extern crate alloc;

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::guest::system::clock::{now, sleep};
use crate::guest::system::files::{Directory, read_path};

/// The time behind the last new device in which a hub may bring another. To debounce and reset a port takes some 150 ms
/// (hub_port_debounce and hub_port_reset in drivers/usb/core/hub.c).
const HUB_TIME: Duration = Duration::from_millis(500);
/// The time behind the last new device in which USB storage may bring a disk: twice the 1 s of delay_use.
const STORAGE_TIME: Duration = Duration::from_secs(2);
/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// The devices behind USB.
#[derive(Debug)]
pub struct UsbDevices {
    /// The largest number of them that was seen. A device that comes and goes is not new each time.
    most: usize,
    /// The time when the last new device was seen.
    last_new: Duration,
}

impl UsbDevices {
    /// The devices of a VM that was not looked at.
    pub fn unseen() -> Self {
        Self { most: 0, last_new: now() }
    }

    /// Notes that something else is new, such as a driver.
    pub fn note_progress(&mut self) {
        self.last_new = now();
    }

    /// Waits while hubs or USB storage are known to be at work, until there is a new device. Returns whether there is
    /// one. `with_disks`: the disks of USB storage are waited for.
    pub fn wait_for_new(&mut self, with_disks: bool) -> bool {
        loop {
            let (usb, scsi) = (names("/sys/bus/usb/devices"), names("/sys/bus/scsi/devices"));
            let count = usb.len() + scsi.len();
            if count > self.most {
                (self.most, self.last_new) = (count, now());
                return true;
            }
            let quiet = now().saturating_sub(self.last_new);
            let hubs_work = quiet < HUB_TIME && usb.iter().any(|name| is_active_hub(name));
            let disks_work = with_disks && quiet < STORAGE_TIME && is_storage_without_disk(&scsi);
            if !(hubs_work || disks_work) {
                return false;
            }
            sleep(PAUSE);
        }
    }
}

/// Whether a device is the root hub of a USB controller, and is not suspended. A root hub is active while devices are
/// enumerated on it or behind it, and while one of them is active.
fn is_active_hub(name: &str) -> bool {
    const LONGEST: usize = 64;
    let status = || CString::new(format!("/sys/bus/usb/devices/{name}/power/runtime_status")).ok();
    let is_suspended = |path: CString| read_path(&path, LONGEST).is_ok_and(|status| status == b"suspended\n");
    name.starts_with("usb") && !status().is_some_and(is_suspended)
}

/// Whether a USB storage device has a SCSI host that has no device yet. `scsi` are the names on the SCSI bus, on which
/// host 2 has the devices `2:…`.
fn is_storage_without_disk(scsi: &[String]) -> bool {
    ["usb-storage", "uas"].into_iter().any(|driver| {
        let driver = format!("/sys/bus/usb/drivers/{driver}");
        // The interfaces that the driver is bound to are links, such as `1-1:1.0`.
        let interfaces = names(&driver).into_iter().filter(|name| name.contains(':'));
        interfaces.flat_map(|interface| names(&format!("{driver}/{interface}"))).any(|name| {
            name.strip_prefix("host").is_some_and(|host| !scsi.iter().any(|name| name.starts_with(&format!("{host}:"))))
        })
    })
}

/// The names in a directory. There are none if it does not exist.
fn names(path: &str) -> Vec<String> {
    Directory::open(path).and_then(|directory| directory.names()).unwrap_or_default()
}
