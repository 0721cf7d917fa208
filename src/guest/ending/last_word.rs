//! How PID 1 ends after a failure: the host reads the reason, and a panic ends the VM.

use core::ffi::c_int;

use crate::failure::{Failure, Report};
use crate::guest::boot::{command_line, console, sysctl};
use crate::guest::places::Places;
use crate::guest::places::drivers::CONSOLES;
use crate::guest::watch::deadline;
use crate::guest::watch::logger::{self, Ending};
use crate::request::{DEFAULT_DEADLINE, Request};

/// Logs the failure where every host sees it, and returns the status to exit with.
///
/// `request` is absent if the failure came before the command line was read. It is read for the last word then.
pub fn report_failure(failure: &Failure, request: Option<&Request<'_>>) -> c_int {
    match request {
        Some(request) => log_failure(failure, request),
        None => {
            let mut ignore = |_: &Failure| {};
            let line = command_line::read().unwrap_or_default();
            log_failure(failure, &command_line::parse(line, &mut Report::new(&mut ignore)));
        }
    }
    c_int::from(failure.code as u8)
}

fn log_failure(failure: &Failure, request: &Request<'_>) {
    sysctl::let_panic_end(&request.kernel);
    if request.kernel.has_virtio_console {
        load_virtio_console(request);
    }
    console::wait_for_virtio(&request.kernel);
    logger::last_word(failure, Ending::Exit);
}

/// Loads the driver of a virtio console that nothing has loaded yet: the list that failed may have had it. If it can't be
/// had, the kernel log has the last word all the same.
fn load_virtio_console(request: &Request<'_>) {
    // A driver's start may hang, also with guest_init.deadline=0. Without a watch nothing is loaded.
    if deadline::start(DEFAULT_DEADLINE).is_err() {
        return;
    }
    let mut places = Places::new(request);
    let Ok(drivers) = places.drivers() else { return };
    // The first round loads the transport, the second finds the console behind it.
    let _ = drivers.devices(CONSOLES).and_then(|()| drivers.devices(CONSOLES));
}
