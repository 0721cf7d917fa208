//! The walk from a wanted module through its dependencies and soft dependencies, which adds steps in the order of
//! libkmod (MODPROBE.md 5).

use crate::failure::{Code, Failure};
use crate::resolve::command::{Calls, Command};
use crate::resolve::lookup::lookup;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::steps_by_name::Link;
use crate::resolve::plan::{Action, CallLink, Options, Plan, Step, Wanted, too_large};
use crate::resolve::tree::config::{self, Side};
use crate::resolve::tree::dep::{Line, ModulePath};
use crate::resolve::tree::module::{FoundBy, Module};
use crate::text::Shown;

/// The number of modules that a wanted module may lead to by soft dependencies, of soft dependencies, and so on.
const MOST_VISITED: usize = 128;
/// The number of install commands of which each runs the next.
const MOST_COMMANDS: usize = 8;

/// A walk: the wanted module, and the modules that were walked so far.
pub(super) struct Walk<'p, 'a> {
    plan: &'p mut Plan<'a>,
    wanted: Wanted<'a>,
    /// The wanted module's line of modules.dep.
    line: Line<'a>,
    number: u16,
    options: Options,
    visited: heapless::Vec<Module<'a>, MOST_VISITED>,
}

impl<'p, 'a> Walk<'p, 'a> {
    /// Creates a walk that has not begun.
    #[inline(always)]
    pub(super) const fn new(
        plan: &'p mut Plan<'a>,
        wanted: Wanted<'a>,
        line: Line<'a>,
        number: u16,
        options: Options,
    ) -> Self {
        Self { plan, wanted, line, number, options, visited: heapless::Vec::new() }
    }

    /// Adds all modules on a module's line of modules.dep, and then the module. Each module is walked once, so loops of
    /// soft dependencies end (MODPROBE.md 5.4).
    pub(super) fn with_dependencies(&mut self, module: &Module<'a>, line: Line<'a>) -> Result<(), Failure> {
        if self.visited.iter().any(|seen| seen.is(module)) {
            return Ok(());
        }
        let is_first = self.visited.is_empty();
        let ignore_install = self.options.ignore_install && is_first;
        let subject = Shown(self.wanted.module.name);
        self.visited.push(*module).map_err(|_| too_large(subject, "more than 128 soft dependencies"))?;
        for file in line.dependencies() {
            self.between_soft_dependencies(&Module::in_file(file.path), Some(file), is_first)?;
        }
        let file = match module.found_by {
            FoundBy::File(path) => Some(ModulePath { tree: 0, path }),
            _ => line.path(),
        };
        match ignore_install {
            true => self.step(module, self.action(module, file)?, is_first),
            false => self.between_soft_dependencies(module, file, is_first),
        }
    }

    /// Adds a module between its soft dependencies (MODPROBE.md 5.3). `is_listed`: the module is the wanted one, or is
    /// on the wanted one's line.
    fn between_soft_dependencies(
        &mut self,
        module: &Module<'a>,
        file: Option<ModulePath<'a>>,
        is_listed: bool,
    ) -> Result<(), Failure> {
        let softdeps = config::softdeps(self.plan.sources.config, module.name, self.options.softdeps);
        self.soft_dependencies(softdeps.clone(), Side::Before)?;
        self.step(module, self.action(module, file)?, is_listed)?;
        self.soft_dependencies(softdeps, Side::After)
    }

    /// Adds the soft dependencies of one side.
    fn soft_dependencies(
        &mut self,
        softdeps: impl Iterator<Item = (Side, &'a [u8])>,
        side: Side,
    ) -> Result<(), Failure> {
        softdeps.filter(|(of, _)| *of == side).try_for_each(|(_, name)| self.soft_dependency(name))
    }

    /// Adds each module that a soft dependency's name means. Out of line, because few modules have soft dependencies,
    /// and the others do without the pages of stack that this takes.
    #[inline(never)]
    fn soft_dependency(&mut self, name: &'a [u8]) -> Result<(), Failure> {
        for module in &lookup(&self.plan.sources, name)? {
            let line = self.plan.sources.line_of(module)?;
            self.with_dependencies(module, line)?;
        }
        Ok(())
    }

    /// The action for a module. Its install command replaces the load, except
    ///
    /// 1. with `-i` for the wanted module, even if a soft dependency leads back to it (MODPROBE.md 5.5);
    /// 2. for a module that has a soft dependency that exists (MODPROBE.md 5.6).
    fn action(&self, module: &Module<'a>, file: Option<ModulePath<'a>>) -> Result<Action<'a>, Failure> {
        let config = self.plan.sources.config;
        let ignores_install = self.options.ignore_install && module.is(&self.wanted.module);
        Ok(match (config::install(config, module), file) {
            (Some(command), _) if !ignores_install && !self.has_softdeps(module)? => Action::Install(command),
            (_, Some(file)) => Action::Load(file),
            (_, None) if self.plan.sources.has_built_in(module)? => Action::BuiltIn,
            (_, None) => Action::Missing,
        })
    }

    /// Whether a soft dependency of a module exists. Out of line, because few modules have an install command.
    #[inline(never)]
    fn has_softdeps(&self, module: &Module<'a>) -> Result<bool, Failure> {
        let mut softdeps = config::softdeps(self.plan.sources.config, module.name, self.options.softdeps);
        softdeps.try_fold(false, |any, (_, name)| Ok(any || !lookup(&self.plan.sources, name)?.is_empty()))
    }

    /// Adds the step for a module (MODPROBE.md 5.7), and the steps of the calls of its install command.
    pub(super) fn step(&mut self, module: &Module<'a>, action: Action<'a>, is_listed: bool) -> Result<(), Failure> {
        let asked_for = module.is(&self.wanted.module);
        // A module that is a soft dependency may be on the wanted module's line as well.
        let is_required = is_listed || self.line.dependencies().any(|file| Module::in_file(file.path).is(module));
        let entry_parameters = if asked_for { self.wanted.parameters } else { b"" };
        let number = self.plan.steps.len();
        self.plan.push(Step {
            module: *module,
            action,
            entry_parameters,
            consequence: Consequence::of_step(is_required, self.wanted.is_optional),
            asked_for,
            entry: self.plan.entries,
            wanted: self.number,
            call: self.wanted.call,
            first_called: 0,
            before: Link::default(),
        })?;
        match action {
            Action::Install(command) => self.calls(module, command, number, entry_parameters),
            _ => Ok(()),
        }
    }

    /// Adds the steps of the calls of an install command (MODPROBE.md 12.7). `number` is that of the command's step, if
    /// a step was added for it. Out of line, because few modules have an install command.
    #[inline(never)]
    fn calls(
        &mut self,
        module: &Module<'a>,
        command: &'a [u8],
        number: usize,
        parameters: &'a [u8],
    ) -> Result<(), Failure> {
        let Command::Calls(calls) = Command::read(command) else { return Ok(()) };
        self.check_depth(module)?;
        let is_new = matches!(self.plan.steps.get(number), Some(Step { action: Action::Install(_), .. }));
        let number = match is_new {
            true => {
                let first = self.plan.number(calls.count, module)?;
                self.plan.steps.get_mut(number).into_iter().for_each(|step| step.first_called = first);
                number
            }
            // An earlier step settles the command. Parameters that it passes on are still to be set.
            false if self.plan.steps.len() == number && !parameters.is_empty() => {
                let mut earlier = self.plan.steps_for(module.name);
                let command = earlier.find(|(_, step)| matches!(step.action, Action::Install(_)));
                command.map_or(number, |(number, _)| number)
            }
            false => return Ok(()),
        };
        for at in 0..calls.count {
            self.call(&calls, CallLink { command: Link::to(number), number: at }, parameters)?;
        }
        Ok(())
    }

    /// Adds the steps of a call. Each call is a request of its own, as the modprobe that a shell would start. Only a
    /// call without which the command fails can end the VM.
    fn call(&mut self, calls: &Calls<'a>, link: CallLink, parameters: &'a [u8]) -> Result<(), Failure> {
        let command = link.command.number().and_then(|number| self.plan.steps.get(number));
        let Some((command, call)) = command.zip(calls.get(link.number)) else { return Ok(()) };
        let is_vital = command.consequence == Consequence::EndsTheVm && calls.fails(1 << link.number);
        let number = Some(command.first_called + u16::from(link.number));
        let parameters = if call.takes_parameters() { parameters } else { b"" };
        let found = lookup(&self.plan.sources, call.name)?;
        let unknown = [Module::named(call.name)];
        let Some((last, others)) = if found.is_empty() { &unknown[..] } else { &found }.split_last() else {
            return Ok(());
        };
        let last = Wanted { module: *last, parameters, is_optional: !is_vital, number, call: link };
        let Options { softdeps, .. } = self.options;
        let options = Options { ignore_install: call.ignore_install, use_blacklist: call.use_blacklist, softdeps };
        self.plan.want_all(others, last, options)
    }

    /// Refuses an install command that runs itself, or a chain of commands that is too long.
    ///
    /// Failure: [`Code::InstallCommand`].
    fn check_depth(&self, module: &Module<'a>) -> Result<(), Failure> {
        let mut link = self.wanted.call.command;
        for _ in 0..MOST_COMMANDS {
            let Some(step) = link.number().and_then(|number| self.plan.steps.get(number)) else { return Ok(()) };
            if step.module.is(module) {
                break;
            }
            link = step.call.command;
        }
        Err(Failure::new(
            Code::InstallCommand,
            module,
            "its install command runs modprobe without end: use modprobe -i",
        ))
    }
}
