//! Loading: a finished plan, one finit_module a step.

extern crate std;

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::thread::sleep;
use std::time::Duration;
use std::vec::Vec;

use nix::errno::Errno;
use rustix::io;
use rustix::system::finit_module;

use super::explain::{KernelLog, explain, unreadable};
use super::files::open_regular;
use super::{errno, tree};
use crate::failure::{Code, Failure, Failures};
use crate::resolve::plan::{Action, Plan, Step};
use crate::text::Shown;

/// How many files wait for their turn open; those behind them are opened twice.
const MOST_OPEN: usize = 512;
/// How often, and how long each time, a module is waited for that someone else is loading.
const BUSY_RETRIES: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Loads a plan. All files are opened before the first is loaded, so what is missing fails with nothing done; all that
/// is missing is reported.
///
/// Failures: [`Code::MissingFile`], [`Code::UnknownModule`], and all of stage load.
pub fn all(plan: &Plan<'_>, files: &tree::Files) -> Result<(), Failures> {
    for failure in plan.passed_over.iter().flat_map(Failures::iter) {
        log::warn!("{failure}: optional, passed over");
    }
    let mut opened = open_all(plan, files.directory())?;
    let mut kernel_log = KernelLog::open();
    let mut given_up = None;
    let mut loaded = 0;
    for (step, file) in plan.steps().iter().zip(&mut opened) {
        if given_up == Some(step.request) {
            continue;
        }
        log::debug!("{}", plan.show(step));
        match load(plan, step, file.take(), files, &mut kernel_log) {
            Ok(true) => loaded += 1,
            Ok(false) => {}
            Err(failure) if !step.required => log::info!("{failure}: a soft dependency, passed over"),
            Err(failure) if plan.is_optional(step) => {
                log::warn!("{failure}: optional, passed over");
                given_up = Some(step.request);
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    log::info!("{loaded} modules loaded");
    Ok(())
}

/// Opens every file of the plan, as many as may stay open.
fn open_all(plan: &Plan<'_>, directory: &OwnedFd) -> Result<Vec<Option<OwnedFd>>, Failures> {
    let mut failures = None;
    let mut open = Vec::with_capacity(plan.steps().len());
    for step in plan.steps() {
        let matters = step.required && !plan.is_optional(step);
        let file = match step.action {
            Action::Load(path) => match open_module(directory, path) {
                Ok(file) => Some(file),
                Err(failure) => {
                    if matters {
                        Failures::gather(&mut failures, failure);
                    }
                    None
                }
            },
            Action::Missing if matters => {
                let reason = "an alias of modprobe.d means it, and it does not exist";
                Failures::gather(&mut failures, Failure::new(Code::UnknownModule, step.module, reason));
                None
            }
            _ => None,
        };
        open.push(file.filter(|_| open.len() < MOST_OPEN));
    }
    failures.map_or(Ok(open), Err)
}

fn open_module(directory: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Failure> {
    open_regular(directory, OsStr::from_bytes(path)).map_err(|error| unreadable(path, errno(error)))
}

/// Does one step; whether a module was loaded that was not there before.
fn load(
    plan: &Plan<'_>,
    step: &Step<'_>,
    file: Option<OwnedFd>,
    files: &tree::Files,
    kernel_log: &mut KernelLog,
) -> Result<bool, Failure> {
    let path = match step.action {
        Action::Load(path) => path,
        Action::Missing => {
            return Err(Failure::new(Code::UnknownModule, step.module, "an alias of modprobe.d means it"));
        }
        Action::Install(command) => return install(step, command),
        Action::BuiltIn | Action::Blacklisted => return Ok(false),
    };
    let file = file.map_or_else(|| open_module(files.directory(), path), Ok)?;
    let mut text = Vec::new();
    plan.parameters(step).each_piece(&mut |piece| text.extend_from_slice(piece));
    let parameters = CString::new(text)
        .map_err(|_| Failure::new(Code::BadParameter, step.module, "its parameters hold a NUL byte"))?;
    kernel_log.skip_to_end();
    match finit(&file, &parameters) {
        Ok(()) => Ok(true),
        // Someone was faster, or the file is loaded under another name.
        Err(io::Errno::EXIST) => Ok(false),
        Err(error) => Err(explain(step, &file, &parameters, errno(error), kernel_log)),
    }
}

/// finit_module with what passes by itself retried: a signal, and a module half loaded by someone else.
fn finit(file: &OwnedFd, parameters: &CString) -> io::Result<()> {
    let mut result = io::retry_on_intr(|| finit_module(file, parameters, 0));
    for _ in 0..BUSY_RETRIES {
        if result != Err(io::Errno::BUSY) {
            break;
        }
        sleep(BUSY_PAUSE);
        result = io::retry_on_intr(|| finit_module(file, parameters, 0));
    }
    result
}

/// There is no shell: `/bin/true` and `/bin/false`, wherever they are said to lie, mean "skip" and "refuse".
fn install(step: &Step<'_>, command: &[u8]) -> Result<bool, Failure> {
    let program = command.trim_ascii();
    match program.rsplit(|&b| b == b'/').next().unwrap_or_default() {
        b"true" | b":" => Ok(false),
        b"false" => Err(Failure::from_errno(
            Code::InstallCommand,
            step.module,
            Errno::EPERM,
            "modprobe.d has `install /bin/false` for it",
        )),
        _ => {
            let reason =
                format_args!("modprobe.d has `install {}` for it, and there is no shell to run that", Shown(program));
            Err(Failure::new(Code::InstallCommand, step.module, reason))
        }
    }
}
