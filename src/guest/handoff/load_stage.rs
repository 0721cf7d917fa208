//! The load stage: the modules of the lists are planned, their files are opened, and then they are loaded. Drivers for
//! devices that others bring follow (`devices`).

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use rustix::thread::sched_getaffinity;

use crate::failure::{Failure, Report};
use crate::guest::handoff::devices::WantedDevices;
use crate::guest::modules::loader::{LoadOptions, Loader, plan_entries};
use crate::guest::places::Places;
use crate::guest::system::clock::now;
use crate::guest::watch::deadline::set_activity;
use crate::request::location::Place;
use crate::request::{Jobs, MOST_JOBS, Request};
use crate::resolve::plan::Plan;

/// The work of the load stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loaded {
    /// The number of modules that were loaded.
    pub modules: usize,
    /// The time that planning and loading took. Zero if the host gets no notification of it.
    pub time: Duration,
}

/// Loads the modules of the lists, and the drivers for this VM's devices if the lists ask for them. All mistakes in the
/// lists are found before the first module is loaded. If a mistake ends the VM, no module is loaded.
///
/// Failures: those of stage plan, of mounting a share, and of stage load.
pub fn load_modules<'a>(
    request: &Request<'a>,
    places: &mut Places<'a>,
    report: &mut Report<'_>,
) -> Result<Loaded, Failure> {
    if request.entries.is_empty() {
        log::info!("no modules asked for");
        return Ok(Loaded::default());
    }
    let start = request.notify.map(|_| now());
    set_activity("planning");
    let trees = places.trees(request.module_dirs())?;
    if !request.named_module_dirs.is_empty() {
        places.offer_firmware(&request.named_module_dirs);
    }
    if request.module_dirs().iter().any(|location| location.place != Place::Image) {
        // The tree's share or disk may have been mounted, and its drivers loaded.
        set_activity("planning");
    }
    let mut devices = WantedDevices::of(request);
    let modaliases = devices.as_mut().map_or(Vec::new(), WantedDevices::next_round);
    let config = trees.config(request.kernel.modules);
    let mut plan = Box::write(Box::new_uninit(), Plan::new(trees.sources(&config)));
    plan_entries(&mut plan, &request.entries, &modaliases, &trees, &mut |finding| finding.report_or_log(report));
    let options = LoadOptions {
        threads: threads(request.jobs),
        strict: request.strict,
        looks_into_all: request.strict,
        keep_modules: request.keep_modules,
        words: request.kernel.modules,
        purpose: "the list",
    };
    let loader = Loader::open(&plan, &trees, options, &mut |finding| finding.report_or_log(report));
    report.verdict()?;
    let mut modules = loader.load()?;
    if let Some(devices) = &mut devices {
        modules = devices.load_rest(&plan, &trees, options, modules)?;
    }
    set_activity("on the way to the agent");
    Ok(Loaded { modules, time: start.map_or(Duration::ZERO, |start| now().saturating_sub(start)) })
}

/// The number of threads: the one that was asked for, or the number of CPUs that PID 1 may use.
fn threads(jobs: Jobs) -> usize {
    match jobs {
        Jobs::Number(number) => number,
        Jobs::Auto => sched_getaffinity(None).map_or(1, |cpus| cpus.count() as usize).min(MOST_JOBS),
    }
}
