//! PID 1 of a VM: mounts, reads what is asked for, plans it, loads it, and becomes the agent, or ends the VM.

#![no_main]
#![cfg_attr(feature = "bare", no_std)]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use core::convert::Infallible;
use core::ffi::{c_char, c_int};

use guest_init::failure::{Failure, Report};
use guest_init::guest::boot::role::{Role, require_bare};
use guest_init::guest::boot::{command_line, console, mounts, sysctl};
use guest_init::guest::ending::{crash, last_word};
use guest_init::guest::handoff::{agent, lists, load_stage, root};
use guest_init::guest::modprobe;
use guest_init::guest::modules::loader;
use guest_init::guest::places::Places;
use guest_init::guest::system::initramfs;
use guest_init::guest::system::invocation::Strings;
use guest_init::guest::watch::{deadline, logger};
use guest_init::request::Request;

/// The entry of the program. `bare::start` calls it, or a C library's start in a build that is not bare. Rust's own start
/// would abort if descriptors 0 to 2 are closed and there is no /dev/null.
#[expect(unsafe_code, reason = "the start finds it by its name and hands over raw pointers")]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, arguments: *const *const c_char, environment: *const *const c_char) -> c_int {
    // SAFETY: both callers hand over what the kernel left on the stack.
    let (arguments, environment) = unsafe { (Strings::new(arguments), Strings::new(environment)) };
    match Role::of_this_process() {
        Role::Init => {
            let mut request = None;
            let Err(failure) = init(environment, &mut request);
            last_word::report_failure(&failure, request.as_deref())
        }
        Role::ContainerInit => modprobe::refuse_container(),
        Role::Program => modprobe::answer(arguments, environment),
    }
}

/// Where a panic ends, in a program without std.
#[cfg(feature = "bare")]
#[panic_handler]
fn on_panic(panic: &core::panic::PanicInfo<'_>) -> ! {
    crash::on_panic(panic)
}

/// The mission. `asked` keeps the request for the last word on a failure.
fn init(environment: Strings, asked: &mut Option<Box<Request<'static>>>) -> Result<Infallible, Failure> {
    logger::start();
    crash::catch_faults();
    require_bare()?;
    mounts::mount_all()?;
    console::ensure_open()?;
    let line = command_line::read()?;
    let mut tell = logger::log_failure;
    let mut report = Report::new(&mut tell);
    let request = asked.insert(command_line::parse(line, &mut report));
    log::set_max_level(request.log);
    sysctl::restart_after_panic(&request.kernel);
    loader::reserve_descriptors(request);
    deadline::start(request.deadline)?;
    report.verdict()?;
    let mut places = Places::new(request);
    lists::read_into(request, &mut places, &mut report)?;
    load_stage::load_modules(request, &mut places, &mut report)?;
    root::switch(request, &mut places)?;
    places.bind_shared_modules(&request.module_dir)?;
    sysctl::lock_modules(request.lock_modules)?;
    initramfs::remove_self(request.keep_modules);
    agent::become_agent(request, environment)
}
