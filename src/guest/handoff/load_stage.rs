//! The modules that this VM was asked for: all planned, all opened, then loaded.

extern crate alloc;

use alloc::boxed::Box;

use rustix::thread::sched_getaffinity;

use crate::failure::{Failure, Report};
use crate::guest::modules::ready::{LoadOptions, Ready};
use crate::guest::places::share::Shares;
use crate::guest::watch::deadline::note;
use crate::request::{Jobs, MOST_JOBS, Request};
use crate::resolve::plan::Plan;

/// Loads what the lists take. Nothing is loaded before all that is wrong with them is known, and then nothing is.
///
/// Failures: those of stage plan, of mounting a share, and of stage load.
pub fn load_modules<'a>(
    request: &Request<'a>,
    shares: &mut Shares<'a>,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    if request.entries.is_empty() {
        log::info!("no modules asked for");
        return Ok(());
    }
    note("planning");
    let tree = shares.tree(&request.module_dir)?;
    let config = tree.config(request.command_line);
    let mut plan = Box::write(Box::new_uninit(), Plan::new(tree.sources(&config)));
    plan.add_all(&request.entries, &mut |entry, failure| tree.refuse(entry, failure, report));
    let Request { strict, keep_modules, .. } = *request;
    let ready = Ready::open(&plan, &tree, LoadOptions { threads: threads(request.jobs), strict, keep_modules }, report);
    report.verdict()?;
    ready.load()
}

/// As many as were asked for, or as there are CPUs for PID 1.
fn threads(jobs: Jobs) -> usize {
    match jobs {
        Jobs::Number(number) => number,
        Jobs::Auto => sched_getaffinity(None).map_or(1, |cpus| cpus.count() as usize).min(MOST_JOBS),
    }
}
