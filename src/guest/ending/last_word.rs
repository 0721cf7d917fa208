//! How PID 1 ends where it can't go on: heard by the host, and with a panic that ends the VM.

use core::ffi::c_int;

use crate::failure::Failure;
use crate::guest::boot::command_line;
use crate::guest::boot::console;
use crate::guest::boot::sysctl;
use crate::guest::modules::tree::{CONFIG, MODULES, ModuleTree, running_release};
use crate::guest::places::drivers::{CONSOLES, Drivers};
use crate::guest::watch::deadline;
use crate::guest::watch::logger;
use crate::request::DEFAULT_DEADLINE;

/// Says why, and returns the status to exit with.
pub fn report_failure(failure: &Failure) -> c_int {
    let line = command_line::read().unwrap_or_default();
    sysctl::let_panic_end(&line);
    if console::virtio_is_named(&line) {
        bring_virtio_console(&line);
    }
    console::wait_for_virtio();
    logger::last_word(failure);
    c_int::from(failure.code as u8)
}

/// Loads the driver of a console that the command line names and that nothing has loaded yet: the list that did not come
/// out may have had it. Where it can't be had, the kernel log has the last word all the same.
fn bring_virtio_console(line: &[u8]) {
    // Whatever hangs in there: with guest_init.deadline=0, too.
    let _ = deadline::start(DEFAULT_DEADLINE);
    let Ok(mut drivers) = Drivers::of(ModuleTree::open(MODULES, &running_release(), &CONFIG), line, true) else {
        return;
    };
    // The first brings the transport, the second finds what is behind it.
    let _ = drivers.devices(CONSOLES).and_then(|()| drivers.devices(CONSOLES));
}
