//! Loading: a finished plan, step by step, by one thread or several.

extern crate alloc;

use alloc::vec::Vec;

use rustix::io::fcntl_dupfd_cloexec;
use rustix_futex_sync::OnceLock;

use crate::failure::{Code, Failure};
use crate::guest::boot::console::stdin;
use crate::guest::modules::actions::{insert, missing_module, run_install_command};
use crate::guest::modules::file::ModuleFile;
use crate::guest::modules::findings::Finding;
use crate::guest::modules::schedule::{PreparedStep, Schedule};
use crate::guest::modules::sysfs::{is_live, kernel_format, set_parameters};
use crate::guest::modules::tree::ModuleTree;
use crate::guest::modules::unpack::Format;
use crate::guest::system::initramfs::{is_initramfs, remove_file};
use crate::guest::system::thread::together;
use crate::guest::watch::deadline::set_thread_activity;
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::guest::watch::logger::log_ignored;
use crate::request::Request;
use crate::request::kernel::ModuleWords;
use crate::request::kernel::words::words;
use crate::request::list::Entry;
use crate::resolve::modinfo::ModInfo;
use crate::resolve::parameters;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::{Action, Plan, Step};
use crate::text::{Shown, Text};

/// How many files wait for their turn open; those behind them are opened twice.
const MOST_OPEN: usize = 512;
/// Entries from which on so many files are likely that room is made for them.
const MANY: usize = 16;

/// A thread's stack, in bytes: the decoders' frames and a kernel record's lie on it.
const STACK: usize = 256 << 10;

/// How a plan is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// How many threads load.
    pub threads: usize,
    /// Whether a parameter that can't be applied is a failure.
    pub strict: bool,
    /// Whether the files of loaded modules stay in an initramfs.
    pub keep_modules: bool,
    /// What the command line says about modules: why the kernel refused one.
    pub words: ModuleWords<'a>,
}

/// A plan whose files are open, so that a missing file is known before the first module is loaded.
pub struct Loader<'p, 'a> {
    plan: &'p Plan<'a>,
    tree: &'p ModuleTree,
    options: LoadOptions<'a>,
    steps: Vec<PreparedStep>,
    kernel_format: OnceLock<Option<Format>>,
}

/// Makes room for the descriptors of a long list while there is but one thread. With two, the kernel lets each of them wait
/// some milliseconds at every doubling of their table (expand_fdtable in fs/file.c).
pub fn reserve_descriptors(request: &Request<'_>) {
    if request.entries.len() >= MANY || !request.files.is_empty() {
        let _ = fcntl_dupfd_cloexec(stdin(), MOST_OPEN as i32);
    }
}

/// Plans entries on a module tree, and hands those that can't be planned to `found`, with the other releases that have them.
pub fn plan_entries<'e, 'a>(
    plan: &mut Plan<'a>,
    entries: &'e [Entry<'a>],
    tree: &ModuleTree,
    found: &mut dyn FnMut(Finding<'e, 'a>),
) {
    plan.add_all(entries, &mut |entry, mut failure| {
        if failure.code == Code::UnknownModule {
            tree.add_other_releases(entry, &mut failure);
        }
        found(Finding::EntryNotPlanned { entry, consequence: Consequence::of_unplanned_entry(entry, &failure), failure });
    });
}

impl<'p, 'a> Loader<'p, 'a> {
    /// Opens the files of a plan and looks their parameters up. Nothing is logged and nothing fails here: everything that is
    /// found goes to `found`.
    ///
    /// Findings: [`Code::MissingFile`], [`Code::NotAModule`], [`Code::Unreadable`], [`Code::UnknownModule`],
    /// [`Code::InstallCommand`], [`Code::UnknownParameter`].
    pub fn open(
        plan: &'p Plan<'a>,
        tree: &'p ModuleTree,
        options: LoadOptions<'a>,
        found: &mut dyn FnMut(Finding<'p, 'a>),
    ) -> Self {
        let keep_modules = options.keep_modules || !is_initramfs(tree.directory());
        let options = LoadOptions { keep_modules, ..options };
        let steps = Vec::with_capacity(plan.steps().len());
        let mut loader = Self { plan, tree, options, steps, kernel_format: OnceLock::new() };
        for step in plan.steps() {
            let mut prepared = loader.prepare(step, found);
            prepared.file.take_if(|_| loader.steps.len() >= MOST_OPEN);
            loader.steps.push(prepared);
        }
        loader
    }

    /// Opens the file of a step and looks its parameters up. The parameters are kept whatever is found: a look that fails is
    /// no failure of the load.
    fn prepare(&self, step: &'p Step<'a>, found: &mut dyn FnMut(Finding<'p, 'a>)) -> PreparedStep {
        let mut parameters = Vec::new();
        match step.action {
            // An earlier step loads the module with its options, so the entry's own parameters remain.
            Action::Adjust => parameters.extend_from_slice(step.entry_parameters),
            _ => self.plan.parameters(step).each_piece(&mut |piece| parameters.extend_from_slice(piece)),
        }
        let file = match step.action {
            Action::Load(_) if parameters.is_empty() && self.is_open_for_earlier_step(step) => Ok(None),
            Action::Load(path) => self.open_file(step, path),
            Action::Missing => Err(missing_module(step)),
            Action::Install(command) => run_install_command(step, command).map(|()| None),
            Action::Adjust | Action::BuiltIn | Action::Blacklisted => Ok(None),
        };
        let file = file.unwrap_or_else(|failure| {
            found(Finding::StepFails { step, failure });
            None
        });
        match &file {
            Some(file) if !parameters.is_empty() => self.check_parameters(step, &parameters, file, found),
            _ if matches!(step.action, Action::Install(_)) => self.check_replaced_parameters(step, found),
            _ => {}
        }
        PreparedStep { file, parameters, is_loaded: false }
    }

    /// Whether an earlier step is for the same module, which then may be there.
    fn has_earlier_step(&self, step: &Step<'a>) -> bool {
        self.plan.earlier_steps(step).next().is_some()
    }

    /// Whether the file is open for an earlier step. By the time of this one its module is most likely loaded.
    fn is_open_for_earlier_step(&self, step: &Step<'a>) -> bool {
        let file_of = |number: usize| self.steps.get(number).and_then(|prepared| prepared.file.as_ref());
        self.plan.earlier_steps(step).any(|(number, other)| other.action == step.action && file_of(number).is_some())
    }

    /// Finds the parameters that a module does not have. The kernel passes over them, and no loader reports them.
    fn check_parameters(
        &self,
        step: &'p Step<'a>,
        parameters: &[u8],
        file: &ModuleFile,
        found: &mut dyn FnMut(Finding<'p, 'a>),
    ) {
        match file.contents(&step.module) {
            Ok(contents) => {
                let Some(info) = ModInfo::find(&contents) else { return };
                parameters::unknown(&step.module, parameters, &info, &mut |failure| {
                    self.not_applied(step, failure, found);
                });
            }
            Err(failure) => found(Finding::ParametersUnknown { step, failure }),
        }
    }

    /// Finds the parameters of an entry whose module is never loaded, because an install command replaces it.
    fn check_replaced_parameters(&self, step: &'p Step<'a>, found: &mut dyn FnMut(Finding<'p, 'a>)) {
        for word in words(step.entry_parameters) {
            let subject = Text::<256>::of(format_args!("{} {}", step.module, Shown(word.raw)));
            let reason = "an install command of modprobe.d replaces the module";
            self.not_applied(step, Failure::new(Code::UnknownParameter, subject, reason), found);
        }
    }

    /// A parameter that will not be applied fails a step only if that is asked for, and only if the VM can't do without the
    /// step.
    fn not_applied(&self, step: &'p Step<'a>, failure: Failure, found: &mut dyn FnMut(Finding<'p, 'a>)) {
        match self.options.strict && step.consequence == Consequence::EndsTheVm {
            true => found(Finding::StepFails { step, failure }),
            false => found(Finding::ParameterIgnored { step, failure }),
        }
    }

    /// The module file of a step, if it stayed open.
    pub fn file(&self, number: usize) -> Option<&ModuleFile> {
        self.steps.get(number)?.file.as_ref()
    }

    /// Loads it.
    ///
    /// Failures: all of stage load.
    pub fn load(mut self) -> Result<(), Failure> {
        let steps = core::mem::take(&mut self.steps);
        let threads = self.options.threads.min(steps.len());
        let schedule = Schedule::new(self.plan, steps, threads)?;
        let started = together(threads, STACK, &|number| self.work(&schedule, number));
        // Fewer threads take longer. Nothing else changes.
        if started < threads {
            log::warn!("{started} threads in place of {threads}: no more could be started");
        }
        let loaded = schedule.result()?;
        set_thread_activity(0, "on the way to the agent");
        log::info!("modules loaded: {loaded}");
        Ok(())
    }

    /// What one thread does.
    fn work(&self, schedule: &Schedule<'_, 'a>, thread: usize) {
        let mut messages = if thread == 0 { KernelMessages::shared() } else { KernelMessages::open() };
        while let Some((number, step, prepared)) = schedule.next() {
            set_thread_activity(thread, format_args!("loading {}", step.module));
            schedule.done(number, step, self.step(step, prepared, &mut messages));
            set_thread_activity(thread, "");
        }
    }

    /// Does one step; whether a module was loaded that was not there before.
    fn step(&self, step: &Step<'a>, prepared: PreparedStep, messages: &mut KernelMessages) -> Result<bool, Failure> {
        let PreparedStep { file, parameters, is_loaded } = prepared;
        let path = match step.action {
            Action::Load(path) => path,
            Action::BuiltIn | Action::Adjust => return self.adjust(step, &parameters).map(|()| false),
            Action::Install(command) => return run_install_command(step, command).map(|()| false),
            Action::Blacklisted => {
                log::info!("{}: not loaded: it is blacklisted, and was asked for by an alias", step.module);
                return Ok(false);
            }
            Action::Missing => return Err(missing_module(step)),
        };
        // To find that out, the kernel would read the whole file, and verify its signature.
        if is_loaded || self.has_earlier_step(step) && is_live(&step.module) {
            return self.adjust(step, &parameters).map(|()| false);
        }
        let Some(file) = file.map_or_else(|| self.open_file(step, path), |file| Ok(Some(file)))? else {
            return self.adjust(step, &parameters).map(|()| false);
        };
        // Which format the kernel knows matters to no plain module.
        let format = if path.ends_with(b".ko") { None } else { *self.kernel_format.get_or_init(kernel_format) };
        let was_loaded = insert(step, &file, &parameters, format, &self.options.words, messages)?;
        if !self.options.keep_modules {
            remove_file(self.tree.directory(), path);
        }
        match was_loaded {
            true => Ok(true),
            false => self.adjust(step, &parameters).map(|()| false),
        }
    }

    /// The file of a step; none where it is not there because its module is loaded already.
    fn open_file(&self, step: &Step<'a>, path: &[u8]) -> Result<Option<ModuleFile>, Failure> {
        match ModuleFile::open(self.tree.directory(), path) {
            Err(failure) if failure.code == Code::MissingFile && is_live(&step.module) => Ok(None),
            file => file.map(Some),
        }
    }

    /// Gives a module that is there already the parameters that it would have been loaded with.
    fn adjust(&self, step: &'p Step<'a>, parameters: &[u8]) -> Result<(), Failure> {
        set_parameters(&step.module, parameters, &mut |failure| match self.options.strict {
            true => Err(failure),
            false => {
                log_ignored(&failure);
                Ok(())
            }
        })
    }
}
