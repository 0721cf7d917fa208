//! PID 1 of a VM: mounts, reads what is asked for, plans it, loads it, and becomes the agent, or ends the VM.

#![no_main]
#![deny(unsafe_code)]

use core::convert::Infallible;
use core::ffi::{c_char, c_int};

use guest_init::failure::{Failure, Report};
use guest_init::guest::invocation::{Environment, is_init};
use guest_init::guest::{agent, command_line, console, klog, load, mount, tree};
use guest_init::request::Request;
use guest_init::resolve::plan::Plan;

/// The C start-up's main. Rust's own aborts where descriptors 0 to 2 are closed and there is no /dev/null.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char, environment: *const *const c_char) -> c_int {
    if !is_init() {
        println!("{}", guest_init::ABOUT);
        return 0;
    }
    // SAFETY: this is what the C start-up hands over.
    let environment = unsafe { Environment::new(environment) };
    let Err(failure) = init(environment);
    klog::last_word(&failure);
    c_int::from(failure.code as u8)
}

/// The mission.
fn init(environment: Environment) -> Result<Infallible, Failure> {
    klog::start();
    mount::all()?;
    console::ensure()?;
    let line = command_line::read()?;
    let mut tell = klog::tell;
    let mut report = Report::new(&mut tell);
    let request = Request::parse(&line, &mut report);
    report.verdict()?;
    log::set_max_level(request.log);
    load_modules(&request, &mut report)?;
    agent::become_agent(&request, environment)
}

/// Plans all that is asked for and opens it, then loads it.
fn load_modules(request: &Request<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    if request.entries.is_empty() {
        log::info!("no modules asked for");
        return Ok(());
    }
    let tree = tree::Files::open(tree::MODULES, &tree::running_release(), &tree::CONFIG)?;
    let config = tree.config(request.command_line);
    let mut plan = Box::write(Box::new_uninit(), Plan::new(tree.tree(&config)));
    plan.add_all(&request.entries, &mut |entry, failure| tree.refuse(entry, failure, report));
    let ready = load::Ready::open(&plan, &tree, request.strict, report);
    report.verdict()?;
    ready.load()
}
