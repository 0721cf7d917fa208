//! The last word of PID 1 after a failure. Then PID 1 exits, and the kernel panics the VM.

use core::ffi::c_int;

use crate::failure::{Failure, Report};
use crate::guest::boot::{command_line, console, sysctl};
use crate::guest::places::Places;
use crate::guest::places::drivers::CONSOLES;
use crate::guest::watch::deadline;
use crate::guest::watch::logger::{self, Ending};
use crate::request::{DEFAULT_DEADLINE, Request};

/// Logs the failure as the last word, on every console that the VM can have. Returns the status to exit with.
///
/// `request` is `None` if the failure came before the command line was read. The command line is then read here, and
/// its mistakes are ignored.
pub fn report_failure(failure: &Failure, request: Option<&Request<'_>>) -> c_int {
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
    if request.kernel.has_virtio_console {
        load_virtio_console(request);
    }
    console::wait_for_virtio(&request.kernel);
    logger::log_last_word(failure, Ending::Exit);
}

/// Loads the driver of a virtio console, because the list that failed may have had it. If that fails, the last word is
/// in the kernel log, but not on that console.
fn load_virtio_console(request: &Request<'_>) {
    // A driver may hang while it is loaded, so nothing is loaded without a deadline, not even with
    // guest_init.deadline=0.
    if deadline::start(DEFAULT_DEADLINE).is_err() {
        return;
    }
    let mut places = Places::new(request);
    let Ok(drivers) = places.drivers() else { return };
    // The first call loads the transport. Then the console is a device, and the second call loads its driver.
    let _ = drivers.load_for_devices(CONSOLES).and_then(|()| drivers.load_for_devices(CONSOLES));
}
