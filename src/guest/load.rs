//! Loading: a finished plan, step by step.

extern crate std;

use core::cell::OnceCell;
use std::ffi::CString;
use std::vec::Vec;

use nix::errno::Errno;
use rustix::io;

use super::deadline::note;
use super::explain::explain;
use super::kernel_log::KernelLog;
use super::klog::{tell_ignored, tell_passed_over};
use super::module::{ModuleFile, kernel_format};
use super::unpack::Format;
use super::{errno, sysfs, tree};
use crate::failure::{Code, Failure, Report};
use crate::resolve::modinfo::ModInfo;
use crate::resolve::parameters;
use crate::resolve::plan::{Action, Plan, Step};
use crate::text::Shown;

/// How many files wait for their turn open; those behind them are opened twice.
const MOST_OPEN: usize = 512;

/// A plan whose files are open: what is missing is known before the first of them is loaded.
pub struct Ready<'p, 'a> {
    plan: &'p Plan<'a>,
    tree: &'p tree::Files,
    /// Whether a parameter that can't be applied is a failure.
    strict: bool,
    /// The file of each step, as many as may stay open.
    files: Vec<Option<ModuleFile>>,
    kernel_format: OnceCell<Option<Format>>,
}

impl<'p, 'a> Ready<'p, 'a> {
    /// Opens the files of a plan and looks their parameters up; all that are missing go to `report`.
    ///
    /// Failures: [`Code::MissingFile`], [`Code::NotAModule`], [`Code::Unreadable`], [`Code::UnknownModule`],
    /// [`Code::InstallCommand`], and if `strict`, [`Code::UnknownParameter`].
    pub fn open(plan: &'p Plan<'a>, tree: &'p tree::Files, strict: bool, report: &mut Report<'_>) -> Self {
        let files = Vec::with_capacity(plan.steps().len());
        let mut ready = Self { plan, tree, strict, files, kernel_format: OnceCell::new() };
        for step in plan.steps() {
            let file = ready.prepare(step, report).unwrap_or_else(|failure| {
                if step.required && !plan.is_optional(step) {
                    report.add(failure);
                }
                None
            });
            ready.files.push(file.filter(|_| ready.files.len() < MOST_OPEN));
        }
        ready
    }

    /// What can be known of a step before anything is loaded; its file, if it has one.
    fn prepare(&self, step: &Step<'a>, report: &mut Report<'_>) -> Result<Option<ModuleFile>, Failure> {
        match step.action {
            Action::Load(path) => {
                let file = ModuleFile::open(self.tree.directory(), path)?;
                self.check_parameters(step, &file, report)?;
                Ok(Some(file))
            }
            Action::Missing => Err(dangling(step)),
            Action::Install(command) => install(step, command).map(|()| None),
            Action::Adjust | Action::BuiltIn | Action::Blacklisted => Ok(None),
        }
    }

    /// The kernel passes over a parameter that a module does not have; no loader ever tells.
    fn check_parameters(&self, step: &Step<'a>, file: &ModuleFile, report: &mut Report<'_>) -> Result<(), Failure> {
        let text = self.parameters(step);
        if text.is_empty() {
            return Ok(());
        }
        let contents = file.contents(&step.module)?;
        let Some(info) = ModInfo::find(&contents) else { return Ok(()) };
        parameters::unknown(
            &step.module,
            &text,
            &info,
            &mut |failure| match self.strict && !self.plan.is_optional(step) {
                true => report.add(failure),
                false => tell_ignored(&failure),
            },
        );
        Ok(())
    }

    /// Loads it. A failure of what only soft dependencies ask for is passed over; one of an optional entry ends that.
    ///
    /// Failures: all of stage load.
    pub fn load(mut self) -> Result<(), Failure> {
        let mut kernel_log = KernelLog::open();
        let mut given_up = None;
        let mut loaded = 0;
        for (step, file) in self.plan.steps().iter().zip(core::mem::take(&mut self.files)) {
            if given_up == Some(step.request) {
                continue;
            }
            note(format_args!("loading {}", step.module));
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
    fn step(&self, step: &Step<'a>, file: Option<ModuleFile>, kernel_log: &mut KernelLog) -> Result<bool, Failure> {
        let path = match step.action {
            Action::Load(path) => path,
            Action::BuiltIn | Action::Adjust => return self.adjust(step).map(|()| false),
            Action::Install(command) => return install(step, command).map(|()| false),
            Action::Blacklisted => {
                log::info!("{}: not loaded: it is blacklisted, and was asked for by an alias", step.module);
                return Ok(false);
            }
            Action::Missing => return Err(dangling(step)),
        };
        let file = file.map_or_else(|| ModuleFile::open(self.tree.directory(), path), Ok)?;
        // Which format the kernel knows matters to no plain module.
        let format = if path.ends_with(b".ko") { None } else { *self.kernel_format.get_or_init(kernel_format) };
        match insert(step, &file, self.parameters(step), format, kernel_log)? {
            true => Ok(true),
            false => self.adjust(step).map(|()| false),
        }
    }

    /// Gives a module that is there already the parameters that it would have been loaded with.
    fn adjust(&self, step: &Step<'a>) -> Result<(), Failure> {
        let text = match step.action {
            // The options were applied when it was loaded.
            Action::Adjust => step.arguments.to_vec(),
            _ => self.parameters(step),
        };
        sysfs::adjust(&step.module, &text, &mut |failure| match self.strict {
            true => Err(failure),
            false => {
                tell_ignored(&failure);
                Ok(())
            }
        })
    }

    /// The parameters of a step in one piece.
    fn parameters(&self, step: &Step<'a>) -> Vec<u8> {
        let mut text = Vec::new();
        self.plan.parameters(step).each_piece(&mut |piece| text.extend_from_slice(piece));
        text
    }
}

/// Loads the file of a step with these parameters; false if its module is there already: someone was faster, or the file is
/// loaded under another name.
///
/// Failures: all of stage load.
pub(super) fn insert(
    step: &Step<'_>,
    file: &ModuleFile,
    parameters: Vec<u8>,
    format: Option<Format>,
    kernel_log: &mut KernelLog,
) -> Result<bool, Failure> {
    let text = CString::new(parameters)
        .map_err(|_| Failure::new(Code::BadParameter, step.module, "its parameters hold a NUL byte"))?;
    kernel_log.skip_to_end();
    match file.load(&step.module, &text, format, kernel_log)? {
        Ok(()) => Ok(true),
        Err(io::Errno::EXIST) => Ok(false),
        Err(error) => Err(explain(step, file, &text, errno(error), kernel_log)),
    }
}

/// An alias that means a module which does not exist.
pub(super) fn dangling(step: &Step<'_>) -> Failure {
    Failure::new(Code::UnknownModule, step.module, "an alias of modprobe.d means it, and it does not exist")
}

/// There is no shell: `/bin/true` and `/bin/false`, wherever they are said to lie, mean "skip" and "refuse".
pub(super) fn install(step: &Step<'_>, command: &[u8]) -> Result<(), Failure> {
    let program = Shown(command.trim_ascii());
    match program.0.rsplit(|&b| b == b'/').next().unwrap_or_default() {
        b"true" | b":" => Ok(()),
        b"false" => {
            let reason = format_args!("modprobe.d has `install {program}` for it");
            Err(Failure::from_errno(Code::InstallCommand, step.module, Errno::EPERM, reason))
        }
        _ => {
            let reason = format_args!("modprobe.d has `install {program}` for it, and there is no shell to run that");
            Err(Failure::new(Code::InstallCommand, step.module, reason))
        }
    }
}
