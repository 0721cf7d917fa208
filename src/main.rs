//! guest-init: as PID 1 of a VM it mounts, reads the request, loads the modules and becomes the agent, or panics the
//! VM.

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
use guest_init::guest::handoff::host::Host;
use guest_init::guest::handoff::{agent, extensions, lists, load_stage, root};
use guest_init::guest::modprobe;
use guest_init::guest::modules::loader;
use guest_init::guest::places::Places;
use guest_init::guest::system::initramfs;
use guest_init::guest::system::invocation::Strings;
use guest_init::guest::watch::{deadline, logger};
use guest_init::request::Request;
use guest_init::version::Version;

/// scripts/build names the commit.
const VERSION: Version = Version::of_guest_init(option_env!("GUEST_INIT_COMMIT"));

/// The entry of the program. `bare::start` calls it, or the C library's start in a build that is not bare. There is no
/// Rust `main`, because std's start aborts if descriptors 0 to 2 are closed and there is no /dev/null.
#[expect(unsafe_code, reason = "the start finds it by its name and hands over raw pointers")]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, arguments: *const *const c_char, environment: *const *const c_char) -> c_int {
    // SAFETY: both callers pass the arrays that the kernel put on the stack.
    let (arguments, environment) = unsafe { (Strings::new(arguments), Strings::new(environment)) };
    match Role::of_this_process() {
        Role::Init => {
            let mut request = None;
            let Err(failure) = init(environment, &mut request);
            last_word::report_failure(&failure, request.as_deref())
        }
        Role::ContainerInit => modprobe::refuse_container(),
        Role::Program => modprobe::answer(arguments, environment, VERSION),
    }
}

/// The panic handler, which a program without std must have.
#[cfg(feature = "bare")]
#[panic_handler]
fn on_panic(panic: &core::panic::PanicInfo<'_>) -> ! {
    crash::on_panic(panic)
}

/// The mission. Ends in the agent's execve, or in the failure that ends the VM. `asked` keeps the request, because the
/// last word on a failure needs it.
fn init(environment: Strings, asked: &mut Option<Box<Request<'static>>>) -> Result<Infallible, Failure> {
    logger::start();
    crash::catch_faults();
    require_bare()?;
    mounts::mount_all()?;
    console::ensure_open()?;

    let line = command_line::read()?;
    let mut log = logger::log_failure;
    let mut report = Report::new(&mut log);
    let request = asked.insert(command_line::parse(line, &mut report));
    logger::set_level(request.log);
    log::debug!("version {VERSION}");
    command_line::warn_of_misplaced(request);
    sysctl::restart_after_panic(&request.kernel);
    sysctl::serve_module_requests(&request.kernel);
    loader::reserve_descriptors(request);
    deadline::start(request.deadline)?;
    report.verdict()?;

    let mut places = Places::new(request);
    let host = Host::open(request, &mut places);
    extensions::mount_all(request, &mut places)?;
    lists::read_into(request, &mut places, &mut report)?;
    let loaded = load_stage::load_modules(request, &mut places, &mut report)?;

    root::switch_root(request, &mut places)?;
    places.hand_over(request.module_dirs())?;
    sysctl::lock_modules(request.lock_modules)?;
    initramfs::remove_guest_init(request.keep_modules);
    host.notify_start(request.agent, &loaded);
    agent::become_agent(request, environment)
}
