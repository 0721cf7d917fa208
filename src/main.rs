//! PID 1 of a VM: mounts, reads what is asked for, plans it, loads it, and becomes the agent, or ends the VM.

#![no_main]
#![deny(unsafe_code)]

use core::convert::Infallible;
use core::ffi::{c_char, c_int};

use guest_init::failure::{Failure, Report};
use guest_init::guest::invocation::{self, Strings, is_init};
use guest_init::guest::share::Shares;
use guest_init::guest::{agent, command_line, console, crash, deadline, klog, lists, load, mount, root, sysctl};
use guest_init::request::Request;
use guest_init::resolve::plan::Plan;

/// The C start-up's main. Rust's own aborts where descriptors 0 to 2 are closed and there is no /dev/null.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, arguments: *const *const c_char, environment: *const *const c_char) -> c_int {
    // SAFETY: this is what the C start-up hands over.
    let (arguments, environment) = unsafe { (Strings::new(arguments), Strings::new(environment)) };
    if !is_init() {
        return invocation::answer(arguments, environment);
    }
    let Err(failure) = init(environment);
    klog::last_word(&failure);
    c_int::from(failure.code as u8)
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
    let mut request = Request::parse(&line, &mut report);
    report.verdict()?;
    log::set_max_level(request.log);
    sysctl::let_panic_end(request.command_line);
    deadline::watch(request.deadline)?;
    let mut shares = Shares::new(&request);
    lists::add(&mut request, &mut shares, &mut report)?;
    load_modules(&request, &mut shares, &mut report)?;
    root::switch(&request, &mut shares)?;
    shares.leave_modules(&request.module_dir)?;
    if request.lock_modules {
        sysctl::lock_modules()?;
    }
    agent::become_agent(&request, environment)
}

/// Plans all that is asked for and opens it, then loads it.
fn load_modules<'a>(request: &Request<'a>, shares: &mut Shares<'a>, report: &mut Report<'_>) -> Result<(), Failure> {
    if request.entries.is_empty() {
        log::info!("no modules asked for");
        return Ok(());
    }
    deadline::note("planning");
    let tree = shares.tree(&request.module_dir)?;
    let config = tree.config(request.command_line);
    let mut plan = Box::write(Box::new_uninit(), Plan::new(tree.tree(&config)));
    plan.add_all(&request.entries, &mut |entry, failure| tree.refuse(entry, failure, report));
    let ready = load::Ready::open(&plan, &tree, request.strict, report);
    report.verdict()?;
    ready.load()
}
