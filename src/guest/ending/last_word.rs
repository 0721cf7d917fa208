//! The last word of PID 1 after a failure. Then PID 1 exits, and the kernel panics the VM.

use core::ffi::c_int;

use log::LevelFilter;

use crate::failure::{Failure, Report};
use crate::guest::boot::{command_line, console, sysctl};
use crate::guest::handoff::host::Host;
use crate::guest::places::Places;
use crate::guest::places::disk::corruption;
use crate::guest::places::drivers::{CONSOLES, Drivers, PVPANIC, has_unclaimed_device};
use crate::guest::watch::deadline;
use crate::guest::watch::logger::{self, Ending};
use crate::request::{DEFAULT_DEADLINE, Request};

/// Logs the failure as the last word, on every console that the VM can have. Returns the status to exit with.
///
/// If a read failed because a block differs from its hash, the last word and the status are those of that failure.
///
/// `request` is `None` if the failure came before the command line was read. The command line is then read here, and
/// its mistakes are ignored.
pub fn report_failure(failure: &Failure, request: Option<&Request<'_>>) -> c_int {
    let behind = request.and_then(|request| corruption::behind(failure, request));
    let failure = behind.as_ref().unwrap_or(failure);
    match request {
        Some(request) => report(failure, request),
        None => {
            let mut ignore = |_: &Failure| {};
            let line = command_line::read().unwrap_or_default();
            report(failure, &command_line::parse(line, &mut Report::new(&mut ignore)));
        }
    }
    c_int::from(failure.code as u8)
}

/// Prepares the kernel for the end of the VM, and logs the last word.
fn report(failure: &Failure, request: &Request<'_>) {
    sysctl::restart_after_panic(&request.kernel);
    let mut places = Places::new(request);
    if console::lacks_virtio(&request.kernel) {
        load_drivers(&mut places, |drivers| drivers.load_behind_transports(CONSOLES));
    }
    console::wait_for_virtio(&request.kernel);
    logger::log_last_word(failure, Ending::Exit);
    // The last word comes first, because a driver may hang.
    if request.notify.is_some() && deadline::start(DEFAULT_DEADLINE).is_ok() {
        Host::open(request, &mut places).notify_failure(failure);
    }
    if has_unclaimed_device(PVPANIC) {
        logger::set_level(LevelFilter::Off);
        load_drivers(&mut places, |drivers| drivers.load_for_devices(PVPANIC));
    }
}

/// Loads the drivers of devices by which the host learns of the failure, because the list that failed may have had
/// them. If that fails, the last word is in the kernel log all the same.
fn load_drivers(places: &mut Places<'_>, load: fn(&mut Drivers<'_>) -> Result<(), Failure>) {
    // A driver may hang while it is loaded, so nothing is loaded without a deadline, not even with
    // guest_init.deadline=0.
    if deadline::start(DEFAULT_DEADLINE).is_err() {
        return;
    }
    let Ok(drivers) = places.drivers() else { return };
    drivers.purpose = "the console";
    let _ = load(drivers);
}
