//! PID 1 of a VM: mounts, reads what is asked for, plans it, loads it, and becomes the agent, or ends the VM.

#![no_main]
#![cfg_attr(feature = "bare", no_std)]
#![deny(unsafe_code)]

use core::convert::Infallible;
use core::ffi::{c_char, c_int};

use guest_init::failure::{Failure, Report};
use guest_init::guest::boot::{command_line, console, mounts, sysctl};
use guest_init::guest::ending::{crash, last_word};
use guest_init::guest::handoff::{agent, lists, load_stage, root};
use guest_init::guest::modprobe;
use guest_init::guest::modules::ready;
use guest_init::guest::places::share::Shares;
use guest_init::guest::system::initramfs;
use guest_init::guest::system::invocation::{Strings, is_init};
use guest_init::guest::watch::{deadline, logger};

/// Where the program comes to from [`guest_init::bare`], or in tests from a C library's start. Rust's own aborts where
/// descriptors 0 to 2 are closed and there is no /dev/null.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, arguments: *const *const c_char, environment: *const *const c_char) -> c_int {
    // SAFETY: this is what both hand over.
    let (arguments, environment) = unsafe { (Strings::new(arguments), Strings::new(environment)) };
    if !is_init() {
        return modprobe::answer(arguments, environment);
    }
    let Err(failure) = init(environment);
    last_word::report_failure(&failure)
}

/// Where a panic ends, in a program without std.
#[cfg(feature = "bare")]
#[panic_handler]
fn on_panic(panic: &core::panic::PanicInfo<'_>) -> ! {
    crash::on_panic(panic)
}

/// The mission.
fn init(environment: Strings) -> Result<Infallible, Failure> {
    logger::start();
    crash::catch_faults();
    mounts::mount_all()?;
    console::ensure_open()?;
    let line = command_line::read()?;
    let mut tell = logger::tell;
    let mut report = Report::new(&mut tell);
    let mut request = command_line::parse(&line, &mut report);
    log::set_max_level(request.log);
    sysctl::let_panic_end(&line);
    ready::make_room(&request);
    deadline::start(request.deadline)?;
    report.verdict()?;
    let mut shares = Shares::new(&request);
    lists::add(&mut request, &mut shares, &mut report)?;
    load_stage::load_modules(&request, &mut shares, &mut report)?;
    root::switch(&request, &mut shares)?;
    shares.leave_modules(&request.module_dir)?;
    sysctl::lock_modules(request.lock_modules)?;
    initramfs::remove_self(request.keep_modules);
    agent::become_agent(&request, environment)
}
