//! The loader: opens the files of a plan, checks their parameters, and loads them, with one thread or several.
//!
//! Which step is done next is the [`schedule`](crate::guest::modules::schedule)'s. How one step is done is here, and in
//! [`actions`](crate::guest::modules::actions) if modprobe does it in the same way.

extern crate alloc;

mod parameters;

use alloc::vec::Vec;

use log::Level;
use rustix::io::fcntl_dupfd_cloexec;
use rustix_futex_sync::OnceLock;

use crate::failure::{Code, Failure};
use crate::guest::boot::console::stdin;
use crate::guest::modules::actions::{PASSED_OVER, insert, missing_module, run_install_command};
use crate::guest::modules::file::ModuleFile;
use crate::guest::modules::findings::Finding;
use crate::guest::modules::schedule::{PreparedStep, Schedule};
use crate::guest::modules::sysfs::{is_live, kernel_format, set_parameters};
use crate::guest::modules::trees::ModuleTrees;
use crate::guest::modules::unpack::Format;
use crate::guest::system::clock::now;
use crate::guest::system::initramfs::remove_file;
use crate::guest::system::thread::together;
use crate::guest::watch::deadline::{set_activity, set_thread_activity};
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::request::Request;
use crate::request::kernel::ModuleWords;
use crate::request::list::Entry;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::{Action, Options, Plan, Step};
use crate::resolve::tree::Trees;
use crate::resolve::tree::dep::ModulePath;
use crate::text::Microseconds;

/// At most this many files stay open until they are loaded (RLIMIT_NOFILE is 1,024). Later files are opened to be
/// checked, closed, and opened again.
const MOST_OPEN: usize = 512;
/// From this number of entries on, descriptors are reserved.
const MANY: usize = 16;
/// The stack of a thread that loads, in bytes. The largest frames are those of the decoders, and the buffer of a kernel
/// message.
const STACK: usize = 256 << 10;

/// The choices of how a plan is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// The number of threads that load.
    pub threads: usize,
    /// Whether a parameter that can't be applied is a failure.
    pub strict: bool,
    /// Whether compressed modules are looked into before they are loaded, to check their parameters. If not, the
    /// kernel's own message is looked for behind the load, because that costs nothing.
    pub looks_into_all: bool,
    /// Whether the files of loaded modules stay in an initramfs.
    pub keep_modules: bool,
    /// The words of the command line that may be the reason for a refusal.
    pub words: ModuleWords<'a>,
    /// The purpose of the modules, as the log names it.
    pub purpose: &'static str,
}

/// A plan whose files are open. So a missing file is found before the first module is loaded.
pub struct Loader<'p, 'a> {
    plan: &'p Plan<'a>,
    trees: &'p ModuleTrees,
    options: LoadOptions<'a>,
    steps: Vec<PreparedStep>,
    /// The bytes of decompressed modules that are kept until they are loaded.
    kept: usize,
    /// Read from sysfs at the first module whose file is compressed.
    kernel_format: OnceLock<Option<Format>>,
}

/// Has the kernel make the table of descriptors large enough for a long list, while this process has only one thread.
/// If there are several, the kernel waits some milliseconds each time it doubles the table (synchronize_rcu, called by
/// expand_fdtable in fs/file.c).
pub fn reserve_descriptors(request: &Request<'_>) {
    if request.entries.len() >= MANY || !request.files.is_empty() {
        let _ = fcntl_dupfd_cloexec(stdin(), MOST_OPEN as i32);
    }
}

/// Plans entries on module trees, for a VM whose devices have these modaliases. Calls `found` with each entry that
/// can't be planned. The failure of an unknown module names the other releases that have the module, or a file of it
/// without a line of modules.dep.
pub fn plan_entries<'e, 'a>(
    plan: &mut Plan<'a>,
    entries: &'e [Entry<'a>],
    modaliases: &'a [Vec<u8>],
    trees: &ModuleTrees,
    found: &mut dyn FnMut(Finding<'e, 'a>),
) {
    plan.add_all(entries, modaliases, Options::default(), &mut |entry, mut failure| {
        if failure.code == Code::UnknownModule {
            let Some(module) = entry.module() else { return found(Finding::NoDriver { failure }) };
            trees.add_places(module, &mut failure);
        }
        found(Finding::EntryNotPlanned {
            entry,
            consequence: Consequence::of_unplanned_entry(entry, &failure),
            failure,
        });
    });
}

impl<'p, 'a> Loader<'p, 'a> {
    /// Opens the files of a plan, and checks the parameters, except those of compressed modules if they are not looked
    /// into. Calls `found` with each mistake.
    ///
    /// Findings: [`Code::MissingFile`], [`Code::NotAModule`], [`Code::Unreadable`], [`Code::UnknownModule`],
    /// [`Code::InstallCommand`], [`Code::UnknownParameter`], [`Code::BadEntry`].
    pub fn open(
        plan: &'p Plan<'a>,
        trees: &'p ModuleTrees,
        options: LoadOptions<'a>,
        found: &mut dyn FnMut(Finding<'p, 'a>),
    ) -> Self {
        let steps = Vec::with_capacity(plan.steps().len());
        let mut loader = Self { plan, trees, options, steps, kept: 0, kernel_format: OnceLock::new() };
        if trees.count() > 1 && log::log_enabled!(Level::Debug) {
            loader.log_hidden_files();
        }
        for step in plan.steps() {
            let mut prepared = loader.prepare(step, found);
            prepared.file.take_if(|_| loader.steps.len() >= MOST_OPEN);
            loader.steps.push(prepared);
        }
        loader
    }

    /// Opens the file of a step, and checks the parameters. The step keeps its parameters even if they can't be
    /// checked, because the load may succeed.
    fn prepare(&mut self, step: &'p Step<'a>, found: &mut dyn FnMut(Finding<'p, 'a>)) -> PreparedStep {
        let mut parameters = Vec::new();
        match step.action {
            // An earlier step loads the module with the options of the configuration.
            Action::Adjust => parameters.extend_from_slice(step.entry_parameters),
            _ => self.plan.parameters(step).each_piece(&mut |piece| parameters.extend_from_slice(piece)),
        }
        let file = match step.action {
            Action::Load(_) if parameters.is_empty() && self.is_open_for_earlier_step(step) => Ok(None),
            Action::Load(path) => self.open_file(step, path),
            Action::Missing => Err(missing_module(step)),
            Action::Install(command) => run_install_command(step, command).map(|_| None),
            Action::Adjust | Action::BuiltIn | Action::Blacklisted => Ok(None),
        };
        let mut file = file.unwrap_or_else(|failure| {
            found(Finding::StepFails { step, failure });
            None
        });
        let parameters_checked = match &mut file {
            Some(file) if !parameters.is_empty() => self.check_parameters(step, &parameters, file, found),
            _ => {
                self.check_replaced_parameters(step, found);
                true
            }
        };
        PreparedStep { file, parameters, parameters_checked, is_loaded: false }
    }

    /// Logs the modules of the plan that several trees have.
    #[inline(never)]
    fn log_hidden_files(&self) {
        for step in self.plan.steps() {
            let Action::Load(file) = step.action else { continue };
            let first = self.trees.tree(file.tree).path();
            self.trees.each_other_with(file, &step.module, &mut |other| {
                log::debug!("{}: it is in {first} and in {}: the first counts", step.module, other.path());
            });
        }
    }

    /// Whether an earlier step is for the same module, so that the module may be loaded already.
    fn has_earlier_step(&self, step: &Step<'a>) -> bool {
        self.plan.earlier_steps(step).next().is_some()
    }

    /// Whether the file of a step is open for an earlier step. Then the module is most likely loaded when this step
    /// begins, so the file is not opened twice.
    fn is_open_for_earlier_step(&self, step: &Step<'a>) -> bool {
        let file_of = |number: usize| self.steps.get(number).and_then(|prepared| prepared.file.as_ref());
        self.plan.earlier_steps(step).any(|(number, other)| other.action == step.action && file_of(number).is_some())
    }

    /// The file of a step, if the file is open.
    pub fn file(&self, number: usize) -> Option<&ModuleFile> {
        self.steps.get(number)?.file.as_ref()
    }

    /// Loads the modules of the plan. Returns how many were loaded.
    ///
    /// Failures: those of stage load.
    pub fn load(mut self) -> Result<usize, Failure> {
        set_activity(format_args!("loading for {}", self.options.purpose));
        let steps = core::mem::take(&mut self.steps);
        let threads = self.options.threads.min(steps.len());
        let schedule = Schedule::new(self.plan, steps, threads)?;
        let started = together(threads, STACK, &|number| self.do_steps(&schedule, number));
        if started < threads {
            log::warn!("only {started} of {threads} threads could be started");
        }
        let loaded = schedule.result()?;
        log::info!("modules loaded: {loaded}, for {}", self.options.purpose);
        Ok(loaded)
    }

    /// Does steps until no more will begin. Each thread runs this function.
    fn do_steps(&self, schedule: &Schedule<'_, 'a>, thread: usize) {
        let mut messages = if thread == 0 { KernelMessages::shared() } else { KernelMessages::open() };
        while let Some((number, step, mut prepared)) = schedule.next() {
            set_thread_activity(thread, format_args!("loading {}", step.module));
            let start = log::log_enabled!(Level::Debug).then(now);
            let outcome = self.do_step(step, &mut prepared, &mut messages);
            if let Some(start) = start {
                // Logged before the steps that wait for this one can begin, so that their lines are behind this line.
                let took = Microseconds(now().saturating_sub(start));
                log::debug!("{}: done in {took} us by thread {thread}", step.module);
            }
            schedule.done(number, step, outcome);
            // Behind that, because the steps that wait for this one need not wait until the file's memory is free.
            if let Some(file) = prepared.file {
                self.remove_loaded(step, file);
            }
            set_thread_activity(thread, "");
        }
    }

    /// Does one step. Returns whether the step loaded a module. Leaves the file in `prepared` if it was loaded.
    fn do_step(
        &self,
        step: &Step<'a>,
        prepared: &mut PreparedStep,
        messages: &mut KernelMessages,
    ) -> Result<bool, Failure> {
        let PreparedStep { file, parameters, parameters_checked, is_loaded } = core::mem::take(prepared);
        let path = match step.action {
            Action::Load(path) => path,
            Action::BuiltIn | Action::Adjust => return self.adjust(step, &parameters).map(|()| false),
            Action::Install(command) => {
                if let Some(program) = run_install_command(step, command)? {
                    log::info!("{}: {PASSED_OVER}: `{program}`", step.module);
                }
                return Ok(false);
            }
            Action::Blacklisted => {
                log::info!("{}: not loaded: it is blacklisted, and was asked for by an alias", step.module);
                return Ok(false);
            }
            Action::Missing => return Err(missing_module(step)),
        };
        // A load would also find out that the module is loaded. But the kernel would read the whole file before, and
        // verify its signature.
        if is_loaded || self.has_earlier_step(step) && is_live(&step.module) {
            return self.adjust(step, &parameters).map(|()| false);
        }
        let Some(mut file) = file.map_or_else(|| self.open_file(step, path), |file| Ok(Some(file)))? else {
            return self.adjust(step, &parameters).map(|()| false);
        };
        // A module that is not compressed does not need the kernel's format.
        let format = if path.path.ends_with(b".ko") { None } else { self.kernel_format() };
        let inserted = insert(step, &mut file, &parameters, format, &self.options.words, messages);
        let checked = match parameters_checked {
            true => Ok(()),
            false => self.check_loaded_parameters(step, &parameters, &file, messages),
        };
        let was_loaded = inserted?;
        checked?;
        prepared.file = Some(file);
        match was_loaded {
            true => Ok(true),
            false => self.adjust(step, &parameters).map(|()| false),
        }
    }

    /// Removes the file of a module that is loaded, if the file is in an initramfs. The memory is free when the file is
    /// closed.
    fn remove_loaded(&self, step: &Step<'a>, file: ModuleFile) {
        if let Action::Load(path) = step.action
            && !self.options.keep_modules
            && self.trees.tree(path.tree).is_in_initramfs()
        {
            remove_file(self.trees.directory_of(path), path.path);
        }
        drop(file);
    }

    /// The one format that the kernel decompresses itself. `None`: there is none.
    fn kernel_format(&self) -> Option<Format> {
        *self.kernel_format.get_or_init(kernel_format)
    }

    /// Opens the file of a step. `None`: the file does not exist, and the module is loaded already.
    fn open_file(&self, step: &Step<'a>, path: ModulePath<'a>) -> Result<Option<ModuleFile>, Failure> {
        match ModuleFile::open(self.trees.directory_of(path), path.path) {
            Err(failure) if failure.code == Code::MissingFile && is_live(&step.module) => Ok(None),
            file => file.map(Some),
        }
    }

    /// Gives a module that is loaded already the parameters that it would have been loaded with.
    fn adjust(&self, step: &'p Step<'a>, parameters: &[u8]) -> Result<(), Failure> {
        set_parameters(&step.module, parameters, &mut |failure| self.refuse_or_log(failure))
    }
}
