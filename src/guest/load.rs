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
use super::klog::tell_passed_over;
use super::{errno, tree};
use crate::failure::{Code, Failure, Report};
use crate::resolve::lookup::Module;
use crate::resolve::plan::{Action, Plan, Step};
use crate::text::Shown;

/// How many files wait for their turn open; those behind them are opened twice.
const MOST_OPEN: usize = 512;
/// How often, and how long each time, a module is waited for that someone else is loading.
const BUSY_RETRIES: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// A plan whose files are open: what is missing is known before the first of them is loaded.
pub struct Ready<'p, 'a> {
    plan: &'p Plan<'a>,
    tree: &'p tree::Files,
    /// The file of each step, as many as may stay open.
    files: Vec<Option<OwnedFd>>,
}

impl<'p, 'a> Ready<'p, 'a> {
    /// Opens the files of a plan; all that are missing go to `report`.
    ///
    /// Failures: [`Code::MissingFile`], [`Code::NotAModule`], [`Code::Unreadable`], [`Code::UnknownModule`].
    pub fn open(plan: &'p Plan<'a>, tree: &'p tree::Files, report: &mut Report<'_>) -> Self {
        let mut files = Vec::with_capacity(plan.steps().len());
        for step in plan.steps() {
            let file = match step.action {
                Action::Load(path) => open_module(tree.directory(), path).map(Some),
                Action::Missing => Err(dangling(step)),
                Action::Install(command) => install(step, command).map(|_| None),
                Action::BuiltIn | Action::Blacklisted => Ok(None),
            };
            let file = file.unwrap_or_else(|failure| {
                if step.required && !plan.is_optional(step) {
                    report.add(failure);
                }
                None
            });
            files.push(file.filter(|_| files.len() < MOST_OPEN));
        }
        Self { plan, tree, files }
    }

    /// Loads it. A failure of what only soft dependencies ask for is passed over; one of an optional entry ends that.
    ///
    /// Failures: all of stage load, [`Code::InstallCommand`].
    pub fn load(mut self) -> Result<(), Failure> {
        let mut kernel_log = KernelLog::open();
        let mut given_up = None;
        let mut loaded = 0;
        for (step, file) in self.plan.steps().iter().zip(core::mem::take(&mut self.files)) {
            if given_up == Some(step.request) {
                continue;
            }
            log::debug!("{}", self.plan.show(step));
            match self.step(step, file, &mut kernel_log) {
                Ok(was_loaded) => loaded += usize::from(was_loaded),
                Err(failure) if !step.required => log::info!("{failure}: a soft dependency, passed over"),
                Err(failure) if self.plan.is_optional(step) => {
                    tell_passed_over(&failure);
                    given_up = Some(step.request);
                }
                Err(failure) => return Err(failure),
            }
        }
        log::info!("modules loaded: {loaded}");
        Ok(())
    }

    /// Does one step; whether a module was loaded that was not there before.
    fn step(&self, step: &Step<'a>, file: Option<OwnedFd>, kernel_log: &mut KernelLog) -> Result<bool, Failure> {
        let path = match step.action {
            Action::Load(path) => path,
            Action::Missing => return Err(dangling(step)),
            Action::Install(command) => return install(step, command),
            Action::BuiltIn | Action::Blacklisted => return Ok(false),
        };
        let file = file.map_or_else(|| open_module(self.tree.directory(), path), Ok)?;
        let mut text = Vec::new();
        self.plan.parameters(step).each_piece(&mut |piece| text.extend_from_slice(piece));
        let parameters = CString::new(text)
            .map_err(|_| Failure::new(Code::BadParameter, step.module, "its parameters hold a NUL byte"))?;
        kernel_log.skip_to_end();
        match finit(&step.module, &file, &parameters) {
            Ok(()) => Ok(true),
            // Someone was faster, or the file is loaded under another name.
            Err(io::Errno::EXIST) => Ok(false),
            Err(error) => Err(explain(step, &file, &parameters, errno(error), kernel_log)),
        }
    }
}

fn open_module(directory: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Failure> {
    open_regular(directory, OsStr::from_bytes(path)).map_err(|error| unreadable(path, errno(error)))
}

/// An alias that means a module which does not exist.
fn dangling(step: &Step<'_>) -> Failure {
    Failure::new(Code::UnknownModule, step.module, "an alias of modprobe.d means it, and it does not exist")
}

/// finit_module with what passes by itself retried: a signal, and EBUSY while another loader has the module half loaded.
fn finit(module: &Module<'_>, file: &OwnedFd, parameters: &CString) -> io::Result<()> {
    for _ in 0..BUSY_RETRIES {
        match io::retry_on_intr(|| finit_module(file, parameters, 0)) {
            Err(io::Errno::BUSY) if is_known(module) => sleep(BUSY_PAUSE),
            result => return result,
        }
    }
    Err(io::Errno::BUSY)
}

/// Whether the kernel has a module of this name, in whatever state.
fn is_known(module: &Module<'_>) -> bool {
    rustix::fs::stat(std::format!("/sys/module/{module}/initstate")).is_ok()
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
