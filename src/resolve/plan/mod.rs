//! The plan: which files are loaded, in which order, with which parameters. It stands whole before the first load.
//!
//! The algorithm is libkmod's (`kmod_module_probe_insert_module`, MODPROBE.md 5): dependencies as modules.dep lists them,
//! read from right to left; soft dependencies round each module, with dependencies of their own; each module once.

pub mod consequence;
pub mod steps_by_name;
pub mod waits;
mod walk;

use core::fmt;
use core::iter::successors;

use crate::failure::{Code, Failure};
use crate::request::list::Entry;
use crate::request::name::same;
use crate::resolve::lookup::{Module, lookup};
use crate::resolve::nearest;
use crate::resolve::parameters::Parameters;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::steps_by_name::{Link, StepsByName};
use crate::resolve::plan::walk::Walk;
use crate::resolve::tree::Sources;
use crate::resolve::tree::config::is_blacklisted;
use crate::text::Shown;

/// Most steps of a plan.
pub const MOST_STEPS: usize = 2048;
/// Most modules that entries may name: an entry counts once for each module that its name means.
const MOST_WANTED: u16 = 1024;

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The module.
    pub module: Module<'a>,
    /// What to do for it.
    pub action: Action<'a>,
    /// The parameters of its entry, if this is the entry's own module.
    pub entry_parameters: &'a [u8],
    /// What its failure means.
    pub consequence: Consequence,
    /// Whether it is the entry's own module.
    pub asked_for: bool,
    /// The number of the wanted module that it belongs to, counted from 0.
    pub wanted: u16,
    /// The step before it in its chain.
    before: Link,
}

/// What is done for a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// finit_module of this file, a path below the tree or one that begins with `/`.
    Load(&'a [u8]),
    /// Nothing but to set the entry's parameters: an earlier step loads it without them.
    Adjust,
    /// Nothing but to set parameters: the kernel has it built in.
    BuiltIn,
    /// An `install` command stands in place of the load.
    Install(&'a [u8]),
    /// Nothing: the module was found by an alias and is blacklisted.
    Blacklisted,
    /// A configuration's alias means a module that does not exist.
    Missing,
}

/// A module that an entry's name means.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    module: Module<'a>,
    /// The parameters of its entry.
    parameters: &'a [u8],
    /// Whether its failure is passed over: its entry has a `?`, or a further module of the same alias decides.
    is_optional: bool,
}

/// How names are taken, as modprobe's flags of the same names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `-i`: the request's own install command and soft dependencies are passed over.
    pub ignore_install: bool,
    /// `-b`: the blacklist counts for names as it does for aliases.
    pub use_blacklist: bool,
}

/// All that is to be done. It displays as one line a step, as `modprobe --show-depends` prints them.
///
/// ```
/// use guest_init::failure::Failure;
/// use guest_init::request::list;
/// use guest_init::resolve::tree::Sources;
/// use guest_init::resolve::tree::index::{Index, IndexKind};
/// use guest_init::resolve::plan::{Options, Plan};
///
/// let mut indexes = IndexKind::ALL.map(Index::absent);
/// indexes[0] = Index::text(IndexKind::Dep, b"kernel/e1000e.ko: kernel/ptp.ko\nkernel/ptp.ko:\n");
/// let mut plan = Plan::new(Sources { release: "6.1.0-56-amd64", indexes: &indexes, config: &[] });
/// let mut result = Ok(());
/// list::read(b"e1000e EEE=1", "a list", &mut |entry| {
///     result = entry.and_then(|entry| plan.add(&entry, Options::default()));
/// });
/// result?;
/// assert_eq!(plan.to_string(), "insmod kernel/ptp.ko \ninsmod kernel/e1000e.ko EEE=1\n");
/// # Ok::<(), Failure>(())
/// ```
// In this order a short plan touches the fewest pages.
#[repr(C)]
pub struct Plan<'a> {
    sources: Sources<'a>,
    /// Whether a module has a step each time it comes up, or once.
    keeps_repeats: bool,
    /// How many modules are wanted.
    wanted: u16,
    by_name: StepsByName,
    steps: heapless::Vec<Step<'a>, MOST_STEPS>,
}

impl<'a> Plan<'a> {
    /// Nothing to do yet, on this tree.
    // It is too large to be made in one place and moved to another.
    #[inline(always)]
    pub const fn new(sources: Sources<'a>) -> Self {
        Self { sources, keeps_repeats: false, wanted: 0, by_name: StepsByName::EMPTY, steps: heapless::Vec::new() }
    }

    /// Plans one module as modprobe does, without what was planned before: each turn of a module is a step, since by
    /// then it may be loaded, or may have failed as a soft dependency.
    ///
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn only(&mut self, module: Module<'a>, parameters: &'a [u8], options: Options) -> Result<(), Failure> {
        self.truncate(0, 0);
        self.keeps_repeats = true;
        self.want(Wanted { module, parameters, is_optional: false }, options)
    }

    /// Adds what `entries` take. Each that can't be had goes to `refused`, with the reason.
    ///
    /// Failures: [`Code::UnknownModule`], [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn add_all(&mut self, entries: &[Entry<'a>], refused: &mut dyn FnMut(&Entry<'a>, Failure)) {
        for entry in entries {
            if let Err(failure) = self.add(entry, Options::default()) {
                refused(entry, failure);
            }
        }
    }

    /// Adds what one entry takes, or on failure nothing.
    pub fn add(&mut self, entry: &Entry<'a>, options: Options) -> Result<(), Failure> {
        let (steps, wanted) = (self.steps.len(), self.wanted);
        let result = self.add_found(entry, options);
        if result.is_err() {
            self.truncate(steps, wanted);
        }
        result
    }

    /// Takes back the last steps, so that so many remain.
    fn truncate(&mut self, steps: usize, wanted: u16) {
        while self.steps.len() > steps
            && let Some(step) = self.steps.pop()
        {
            self.by_name.begin(step.module.name, step.before);
        }
        self.wanted = wanted;
    }

    fn add_found(&mut self, entry: &Entry<'a>, options: Options) -> Result<(), Failure> {
        let found = lookup(&self.sources, entry.name.as_bytes())?;
        let Some((last, others)) = found.split_last() else {
            return Err(nearest::unknown_module(&self.sources, entry.name));
        };
        for module in others {
            self.want(Wanted { module: *module, parameters: entry.parameters, is_optional: true }, options)?;
        }
        self.want(Wanted { module: *last, parameters: entry.parameters, is_optional: entry.optional }, options)
    }

    /// The tree that it is for.
    pub const fn sources(&self) -> &Sources<'a> {
        &self.sources
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step<'a>] {
        &self.steps
    }

    /// The steps for a module, the last first, with their numbers.
    pub fn steps_for<'p>(&'p self, name: &'p [u8]) -> impl Iterator<Item = (usize, &'p Step<'a>)> {
        self.turns(self.by_name.of(name), name)
    }

    /// The steps for the same module before this one, the last first, with their numbers.
    pub fn earlier_steps<'p>(&'p self, step: &'p Step<'a>) -> impl Iterator<Item = (usize, &'p Step<'a>)> {
        self.turns(step.before, step.module.name)
    }

    fn turns<'p>(&'p self, from: Link, name: &'p [u8]) -> impl Iterator<Item = (usize, &'p Step<'a>)> {
        let at = |link: Link| {
            let number = link.number()?;
            Some((number, self.steps.get(number)?))
        };
        successors(at(from), move |(_, step)| at(step.before)).filter(move |(_, step)| same(step.module.name, name))
    }

    /// A step as modprobe's `--show-depends` prints it: what is done, the file or the name, the parameters.
    pub fn show<'p>(&'p self, step: &'p Step<'a>) -> impl fmt::Display + use<'p, 'a> {
        Shape(self, step)
    }

    /// The parameters of a step: its options from the configuration and the command line, then its entry's.
    pub fn parameters(&self, step: &Step<'a>) -> Parameters<'a> {
        Parameters { config: self.sources.config, module: step.module, entry_parameters: step.entry_parameters }
    }

    fn want(&mut self, wanted: Wanted<'a>, options: Options) -> Result<(), Failure> {
        let Wanted { module, .. } = wanted;
        let line = self.sources.line_of(&module)?;
        let number = self.wanted;
        if number == MOST_WANTED {
            return Err(too_large(Shown(module.name), "more than 1,024 modules asked for"));
        }
        self.wanted += 1;
        let blacklist_counts = module.alias.is_some() || options.use_blacklist;
        let is_out = blacklist_counts && is_blacklisted(self.sources.config, module.name);
        let mut walk = Walk::new(self, wanted, line, number, options);
        match is_out {
            true => walk.step(&module, Action::Blacklisted, true),
            false => walk.with_dependencies(&module, line),
        }
    }

    /// Adds a step unless an earlier step settles its module.
    ///
    /// An earlier step settles it if both belong to one wanted module, or if its failure would end the VM. Then only an
    /// [`Action::Adjust`] remains, for the entry's own parameters. A blacklisted step settles nothing: a module that depends
    /// on the blacklisted one still loads it.
    fn push(&mut self, step: Step<'a>) -> Result<(), Failure> {
        let name = step.module.name;
        let last = self.steps_for(name).next().map(|(number, _)| number);
        let settled = self.steps_for(name).find(|(_, earlier)| {
            let is_sure = earlier.consequence == Consequence::EndsTheVm && earlier.action != Action::Blacklisted;
            !self.keeps_repeats && (earlier.wanted == step.wanted || is_sure)
        });
        let action = match settled {
            Some(_) if step.entry_parameters.is_empty() => return Ok(()),
            // Nothing changed them since.
            Some((number, earlier)) if step.entry_parameters == earlier.entry_parameters && Some(number) == last => {
                return Ok(());
            }
            // Its command stands in place of the module.
            Some((_, earlier)) if matches!(earlier.action, Action::Install(_)) => return Ok(()),
            Some(_) => Action::Adjust,
            None => step.action,
        };
        let step = Step { action, before: self.by_name.of(name), ..step };
        let link = Link::to(self.steps.len());
        self.steps.push(step).map_err(|_| too_large(Shown(name), "more than 2,048 steps"))?;
        self.by_name.begin(name, link);
        Ok(())
    }
}

fn too_large(subject: impl fmt::Display, reason: &str) -> Failure {
    Failure::new(Code::PlanTooLarge, subject, reason)
}

/// A step as modprobe's `--show-depends` prints it.
struct Shape<'p, 'a>(&'p Plan<'a>, &'p Step<'a>);

impl fmt::Display for Shape<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(plan, step) = self;
        let parameters = plan.parameters(step);
        match step.action {
            Action::Load(path) => write!(f, "insmod {} {parameters}", Shown(path)),
            Action::Install(command) => write!(f, "install {} {parameters}", Shown(command)),
            Action::Adjust => write!(f, "adjust {} {}", step.module, Shown(step.entry_parameters)),
            Action::BuiltIn => write!(f, "builtin {}", step.module),
            Action::Blacklisted => write!(f, "blacklisted {}", step.module),
            Action::Missing => write!(f, "missing {}", step.module),
        }
    }
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{}", self.show(step)))
    }
}
