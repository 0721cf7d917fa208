//! PID 1 of a VM: mounts, reads what is asked for, plans it, loads it, and becomes the agent, or ends the VM.

#![no_main]
#![cfg_attr(feature = "bare", no_std)]
#![deny(unsafe_code)]

use core::convert::Infallible;
use core::ffi::{c_char, c_int};

use guest_init::failure::{Failure, Report};
use guest_init::guest::invocation::{Strings, is_init};
use guest_init::guest::share::Shares;
use guest_init::guest::{agent, command_line, console, crash, deadline, end, klog};
use guest_init::guest::{lists, load, memory, modprobe, modules, mount, root, sysctl};

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
    end::with(&failure)
}

/// The mission.
fn init(environment: Strings) -> Result<Infallible, Failure> {
    klog::start();
    crash::watch();
    mount::all()?;
    console::ensure()?;
    let line = command_line::read()?;
    let mut tell = klog::tell;
    let mut report = Report::new(&mut tell);
    let mut request = command_line::parse(&line, &mut report);
    log::set_max_level(request.log);
    sysctl::let_panic_end(&line);
    load::make_room(&request);
    deadline::watch(request.deadline)?;
    report.verdict()?;
    let mut shares = Shares::new(&request);
    lists::add(&mut request, &mut shares, &mut report)?;
    modules::load(&request, &mut shares, &mut report)?;
    root::switch(&request, &mut shares)?;
    shares.leave_modules(&request.module_dir)?;
    sysctl::lock_modules(request.lock_modules)?;
    memory::give_back_self(request.keep_modules);
    agent::become_agent(&request, environment)
}
