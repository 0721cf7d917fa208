//! The plan: which files are loaded, in which order, and with which parameters. The whole plan is made before the first
//! module is loaded.
//!
//! `walk` finds the steps for one module as libkmod does (MODPROBE.md 5). A plan for a list differs from modprobe in
//! that a later entry does not load again what an earlier entry loads (MODPROBE.md 12.10).

pub mod calls;
pub mod consequence;
mod entries;
pub mod steps_by_name;
pub mod waits;
mod walk;

use core::fmt;
use core::iter::successors;

use crate::failure::{Code, Failure};
use crate::request::name::same;
use crate::resolve::parameters::Parameters;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::steps_by_name::{Link, StepsByName};
use crate::resolve::plan::walk::Walk;
use crate::resolve::tree::Sources;
use crate::resolve::tree::config::{SoftdepLines, is_blacklisted};
use crate::resolve::tree::dep::ModulePath;
use crate::resolve::tree::module::Module;
use crate::text::Shown;

/// The number of steps that a plan may have.
pub const MOST_STEPS: usize = 2048;
/// The number of modules that entries may name. An entry counts once for each module that its name means.
const MOST_WANTED: u16 = 1024;

/// A step of a plan: what is done for one module.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The module.
    pub module: Module<'a>,
    /// The action for the module.
    pub action: Action<'a>,
    /// The parameters of the entry, if this is the entry's own module. Empty for its dependencies.
    pub entry_parameters: &'a [u8],
    /// The consequence of a failure of the step.
    pub consequence: Consequence,
    /// Whether this is the entry's own module.
    pub asked_for: bool,
    /// The number of the entry that first needed the step, counted from 0 in the order in which entries were added.
    pub entry: u16,
    /// The number of the wanted module that the step belongs to, counted from 0.
    pub wanted: u16,
    /// The call of an install command that the step belongs to, if it does.
    call: CallLink,
    /// For an install command: the number of the module that its first call wants. Those of its further calls follow.
    first_called: u16,
    /// The step before this one in its chain of [`StepsByName`].
    before: Link,
}

/// The action of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Load this file.
    Load(ModulePath<'a>),
    /// Set the entry's parameters in sysfs, because an earlier step loads the module without them.
    Adjust,
    /// Set the parameters in sysfs, because the module is built in.
    BuiltIn,
    /// Follow this install command, which replaces the load. The steps of its calls of modprobe come after this one.
    Install(&'a [u8]),
    /// Do nothing. The module is blacklisted and was found by an alias.
    Blacklisted,
    /// Fail. An alias of the configuration means a module that does not exist.
    Missing,
}

/// A module that an entry's name means, or the name in a call of an install command.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    module: Module<'a>,
    /// The parameters of its entry.
    parameters: &'a [u8],
    /// Whether its failure is passed over: its entry has a `?`, or a further module of the same alias decides.
    is_optional: bool,
    /// Its number. `None`: the next one.
    number: Option<u16>,
    call: CallLink,
}

/// The link from a step to the call of an install command that it belongs to.
#[derive(Clone, Copy, Debug, Default)]
struct CallLink {
    /// The step of the command. The end of the chain: the step belongs to no call.
    command: Link,
    /// The number of the call in the command.
    number: u8,
}

/// The options of a request that change its plan: those of modprobe, and the rule for soft dependencies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `-i`: the install command and the soft dependencies of the wanted module are passed over (MODPROBE.md 5.5).
    pub ignore_install: bool,
    /// `-b`: the blacklist counts for names as well as for aliases (MODPROBE.md 5.2).
    pub use_blacklist: bool,
    /// The lines that soft dependencies are taken from.
    pub softdeps: SoftdepLines,
}

/// A plan. It displays as one line a step, as `modprobe --show-depends` prints steps.
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
/// let mut plan = Plan::new(Sources { release: "6.1.0-56-amd64", trees: &indexes, config: &[] });
/// let mut result = Ok(());
/// list::read(b"e1000e EEE=1", "a list", &mut |entry| match entry {
///     Ok(entry) => plan.add_all(&[entry], &[b""; 0], Options::default(), &mut |_, failure| result = Err(failure)),
///     Err(failure) => result = Err(failure),
/// });
/// result?;
/// assert_eq!(plan.to_string(), "insmod kernel/ptp.ko \ninsmod kernel/e1000e.ko EEE=1\n");
/// # Ok::<(), Failure>(())
/// ```
// The fields are in this order so that a short plan touches the fewest pages of memory.
#[repr(C)]
pub struct Plan<'a> {
    sources: Sources<'a>,
    /// Whether a module has a step each time that it comes up. Otherwise it has one.
    keeps_repeats: bool,
    /// The number of modules that are wanted so far.
    wanted: u16,
    /// The number of entries that were added so far, including those that could not be planned.
    entries: u16,
    by_name: StepsByName,
    steps: heapless::Vec<Step<'a>, MOST_STEPS>,
}

impl<'a> Plan<'a> {
    /// Creates a plan without steps.
    // A plan is large. Inlined, it is made in its place and not moved there.
    #[inline(always)]
    pub const fn new(sources: Sources<'a>) -> Self {
        Self {
            sources,
            keeps_repeats: false,
            wanted: 0,
            entries: 0,
            by_name: StepsByName::EMPTY,
            steps: heapless::Vec::new(),
        }
    }

    /// Plans one module as modprobe does, and forgets what was planned before. A module that comes up several times has
    /// several steps, as in modprobe: an earlier one may fail without ending the request (MODPROBE.md 5.7).
    ///
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn only(&mut self, module: Module<'a>, parameters: &'a [u8], options: Options) -> Result<(), Failure> {
        self.truncate(0, 0);
        self.keeps_repeats = true;
        let wanted = Wanted { module, parameters, is_optional: false, number: None, call: CallLink::default() };
        self.want(wanted, options)
    }

    /// Removes the last steps, so that `steps` remain.
    fn truncate(&mut self, steps: usize, wanted: u16) {
        while self.steps.len() > steps
            && let Some(step) = self.steps.pop()
        {
            self.by_name.begin(step.module.name, step.before);
        }
        self.wanted = wanted;
    }

    /// Adds the steps for every module that a name means. All but the last are optional, because only the last decides
    /// (MODPROBE.md 4.4).
    fn want_all(&mut self, others: &[Module<'a>], last: Wanted<'a>, options: Options) -> Result<(), Failure> {
        for module in others {
            self.want(Wanted { module: *module, is_optional: true, number: None, ..last }, options)?;
        }
        self.want(last, options)
    }

    /// Takes numbers for wanted modules. Returns the first of them.
    fn number(&mut self, count: u8, module: &Module<'a>) -> Result<u16, Failure> {
        let first = self.wanted;
        if first + u16::from(count) > MOST_WANTED {
            return Err(too_large(Shown(module.name), "more than 1,024 modules asked for"));
        }
        self.wanted += u16::from(count);
        Ok(first)
    }

    /// The tree and the configuration that the plan is made for.
    pub const fn sources(&self) -> &Sources<'a> {
        &self.sources
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step<'a>] {
        &self.steps
    }

    /// The steps for a module, the last first, with their numbers.
    pub fn steps_for<'p>(&'p self, name: &'p [u8]) -> impl Iterator<Item = (usize, &'p Step<'a>)> {
        self.chain(self.by_name.of(name), name)
    }

    /// The steps for the same module before this one, the last first, with their numbers.
    pub fn earlier_steps<'p>(&'p self, step: &'p Step<'a>) -> impl Iterator<Item = (usize, &'p Step<'a>)> {
        self.chain(step.before, step.module.name)
    }

    /// The steps for a module in a chain, from `from` back to the first.
    fn chain<'p>(&'p self, from: Link, name: &'p [u8]) -> impl Iterator<Item = (usize, &'p Step<'a>)> {
        let at = |link: Link| {
            let number = link.number()?;
            Some((number, self.steps.get(number)?))
        };
        successors(at(from), move |(_, step)| at(step.before)).filter(move |(_, step)| same(step.module.name, name))
    }

    /// A step as `modprobe --show-depends` prints it: the action, the file or the name, and the parameters.
    pub fn show<'p>(&'p self, step: &'p Step<'a>) -> impl fmt::Display + use<'p, 'a> {
        StepLine(self, step)
    }

    /// The parameters of a step: those of the configuration and the kernel command line, then those of the entry.
    pub const fn parameters<'p>(&'p self, step: &'p Step<'a>) -> Parameters<'p, 'a> {
        Parameters { plan: self, step }
    }

    /// Adds the steps for one wanted module.
    fn want(&mut self, wanted: Wanted<'a>, options: Options) -> Result<(), Failure> {
        let Wanted { module, .. } = wanted;
        let line = self.sources.line_of(&module)?;
        let number = wanted.number.map_or_else(|| self.number(1, &module), Ok)?;
        let blacklist_counts = module.alias().is_some() || options.use_blacklist;
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
    /// [`Action::Adjust`] remains, for the entry's own parameters. A blacklisted step settles nothing: a module that
    /// depends on the blacklisted one still loads it. An install command does not settle the load in one of its calls.
    fn push(&mut self, step: Step<'a>) -> Result<(), Failure> {
        let name = step.module.name;
        let last = self.steps_for(name).next().map(|(number, _)| number);
        let settled = self.steps_for(name).find(|(_, earlier)| {
            let is_sure = earlier.consequence == Consequence::EndsTheVm && earlier.action != Action::Blacklisted;
            let is_call = matches!((earlier.action, step.action), (Action::Install(_), Action::Load(_)));
            !self.keeps_repeats && !is_call && (earlier.wanted == step.wanted || is_sure)
        });
        let action = match settled {
            Some(_) if step.entry_parameters.is_empty() => return Ok(()),
            // The last step for the module sets the same parameters.
            Some((number, earlier)) if step.entry_parameters == earlier.entry_parameters && Some(number) == last => {
                return Ok(());
            }
            // The install command replaced the module, so there is nothing to set parameters of.
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

/// Displays a step as `modprobe --show-depends` prints it.
struct StepLine<'p, 'a>(&'p Plan<'a>, &'p Step<'a>);

impl fmt::Display for StepLine<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(plan, step) = self;
        let parameters = plan.parameters(step);
        match step.action {
            Action::Load(file) => write!(f, "insmod {} {parameters}", Shown(file.path)),
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
