//! One name of a call: the modules that it means, and what is done for each.

extern crate alloc;

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use rustix::fs::stat;
use rustix::io::Errno;

use crate::failure::Failure;
use crate::guest::modprobe::absolute;
use crate::guest::modprobe::output::Output;
use crate::guest::modprobe::problem::Problem;
use crate::guest::modules::actions::{insert, missing_module, run_install_command};
use crate::guest::modules::file::ModuleFile;
use crate::guest::modules::sysfs::{is_live, kernel_format};
use crate::guest::modules::trees::ModuleTrees;
use crate::guest::system::invocation::Strings;
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::request::kernel::ModuleWords;
use crate::request::modprobe::call::{Call, ERROR, FATAL, WARNING};
use crate::resolve::lookup::lookup;
use crate::resolve::plan::calls::PassedOver;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::{Action, Options, Plan, Step};
use crate::resolve::tree::Sources;
use crate::resolve::tree::dep::ModulePath;
use crate::resolve::tree::module::Module;

/// Reports a problem as modprobe does (MODPROBE.md 9.3). If a module can't be loaded, a line of guest-init's own
/// follows, with the reason.
pub(super) fn report(output: &Output, call: &Call<'_>, problem: &Problem<'_>) {
    // With -a, an unknown name is a warning to modprobe.
    let priority = match problem {
        Problem::NotFound { .. } | Problem::NoFile { .. } if call.all => WARNING,
        Problem::NotFound { .. } | Problem::NoFile { .. } => FATAL,
        _ => ERROR,
    };
    output.report(priority, |push| problem.each_piece(push));
    if let Problem::NotInserted(_, failure) = problem {
        output.report(ERROR, |push| push(failure.to_string().as_bytes()));
    }
}

/// A call whose tree is open.
pub(super) struct Modprobe<'m, 'a> {
    pub(super) call: &'m Call<'m>,
    pub(super) output: &'m Output,
    pub(super) trees: &'a ModuleTrees,
    pub(super) sources: Sources<'a>,
    pub(super) words: ModuleWords<'m>,
    /// The path of the first tree.
    pub(super) directory: &'m [u8],
    /// The plan for the module that is being loaded.
    pub(super) plan: Box<Plan<'a>>,
    /// Opened at the first load.
    pub(super) messages: Option<KernelMessages>,
    pub(super) environment: Strings,
}

impl<'a> Modprobe<'_, 'a> {
    /// Loads the modules that a name means. A problem with any but the last is reported, and has no effect on the exit
    /// status (MODPROBE.md 4.4).
    pub(super) fn load_name<'p>(&mut self, name: &'a [u8], parameters: &'a [u8]) -> Result<(), Problem<'p>>
    where
        'a: 'p,
        Self: 'p,
    {
        if name.starts_with(b"/") || name.starts_with(b"./") {
            return self.load_module(&self.in_file(name)?, parameters);
        }
        let found = lookup(&self.sources, name).map_err(Problem::NotLookedUp)?;
        let Some((last, others)) = found.split_last() else {
            return Err(Problem::NotFound { name, directory: self.directory });
        };
        for module in others {
            if let Err(problem) = self.load_module(module, parameters) {
                report(self.output, self.call, &problem);
            }
        }
        self.load_module(last, parameters)
    }

    /// The module in a file (MODPROBE.md 4.6).
    fn in_file<'p>(&self, path: &'a [u8]) -> Result<Module<'a>, Problem<'p>>
    where
        'a: 'p,
    {
        let failed = |error| Problem::NoFile { name: path, error };
        let absolute = absolute(path, self.environment);
        stat(absolute.as_slice()).map_err(failed)?;
        match path.ends_with(b"/") {
            true => Err(failed(Errno::NOENT)),
            // The path lives as long as the process, as the arguments do.
            false => Ok(Module::of_file(absolute.leak())),
        }
    }

    /// Loads a module, or with `-R` prints its name.
    fn load_module<'p>(&mut self, module: &Module<'a>, parameters: &'a [u8]) -> Result<(), Problem<'p>>
    where
        'a: 'p,
    {
        if self.call.resolve {
            self.output.print(&[&name_of(module)[..], b"\n"].concat());
            return Ok(());
        }
        match self.insert(module, parameters) {
            Ok(false) if self.call.first_time => Err(Problem::AlreadyLoaded(*module)),
            Ok(_) => Ok(()),
            Err(failure) => Err(Problem::NotInserted(*module, failure)),
        }
    }

    /// Inserts a module and its dependencies. `false`: the module was loaded already.
    fn insert(&mut self, module: &Module<'a>, parameters: &'a [u8]) -> Result<bool, Failure> {
        if self.is_loaded(module)? {
            return Ok(false);
        }
        let Call { ignore_install, use_blacklist, .. } = *self.call;
        self.plan.only(*module, parameters, Options { ignore_install, use_blacklist, ..Options::default() })?;
        let mut passed_over = PassedOver::default();
        for number in 0..self.plan.steps().len() {
            let Some(&step) = self.plan.steps().get(number) else { break };
            // A dry run does not run install commands.
            if self.call.dry_run && step.is_called() || !self.plan.is_reached(&step, &passed_over) {
                continue;
            }
            match self.do_step(&step) {
                // Another process loaded the module meanwhile.
                Ok(false) if self.call.first_time && step.module.is(module) => return Ok(false),
                Err(failure) if self.plan.fail(&step, &mut passed_over) == Consequence::EndsTheVm => {
                    return Err(failure);
                }
                _ => {}
            }
        }
        Ok(true)
    }

    /// Does a step of the plan. `false`: nothing was done, because the module is loaded.
    fn do_step(&mut self, step: &Step<'a>) -> Result<bool, Failure> {
        if self.is_loaded(&step.module)? {
            return Ok(false);
        }
        if self.call.shows() {
            self.print_step(step);
        }
        match step.action {
            _ if self.call.dry_run => Ok(true),
            Action::Load(path) => {
                let mut file = ModuleFile::open(self.trees.directory_of(path), path.path)?;
                // A module that is not compressed does not need the kernel's format.
                let format = if path.path.ends_with(b".ko") { None } else { kernel_format() };
                let options = self.parameters(step);
                let messages = self.messages.get_or_insert_with(KernelMessages::shared);
                insert(step, &mut file, &options, format, &self.words, messages)
            }
            Action::Install(command) => run_install_command(step, command).map(|_| true),
            Action::Missing => Err(missing_module(step)),
            Action::Blacklisted | Action::BuiltIn | Action::Adjust => Ok(true),
        }
    }

    /// Whether the kernel has a module, loaded or built in. With `--show-depends`, no module counts as loaded.
    fn is_loaded(&self, module: &Module<'_>) -> Result<bool, Failure> {
        if self.call.ignore_loaded {
            return Ok(false);
        }
        Ok(is_live(module) || self.sources.has_built_in(module)?)
    }

    /// The parameters of a step as one text.
    fn parameters(&self, step: &Step<'a>) -> Vec<u8> {
        let mut text = Vec::new();
        self.plan.parameters(step).each_piece(&mut |piece| text.extend_from_slice(piece));
        text
    }

    /// Prints a step as modprobe does. A blank follows options of the configuration even if no parameters follow
    /// (MODPROBE.md 9.5).
    fn print_step(&self, step: &Step<'a>) {
        let options = self.parameters(step);
        let end = if !options.is_empty() && step.entry_parameters.is_empty() { &b" \n"[..] } else { b"\n" };
        let path = |file: ModulePath<'a>| match (file.path, file.tree) {
            (path @ [b'/', ..], _) => path.to_vec(),
            (path, 0) => [self.directory, b"/", path].concat(),
            (path, tree) => [self.trees.tree(tree).path().to_string().as_bytes(), b"/", path].concat(),
        };
        let line = match step.action {
            Action::Load(file) => [b"insmod ", &path(file)[..], b" ", &options, end].concat(),
            Action::Install(command) => [b"install ", command, b" ", &options, end].concat(),
            Action::BuiltIn => [b"builtin ", &name_of(&step.module)[..], b"\n"].concat(),
            Action::Blacklisted | Action::Missing | Action::Adjust => return,
        };
        self.output.print(&line);
    }
}

/// The bytes of a module's name, as modprobe prints it.
fn name_of(module: &Module<'_>) -> Vec<u8> {
    let mut name = Vec::new();
    module.each_byte(&mut |byte| name.push(byte));
    name
}
