//! The plan: which files are loaded, in which order, with which parameters. It stands whole before the first load.
//!
//! The algorithm is libkmod's (`kmod_module_probe_insert_module`, KMOD 2.3): dependencies as modules.dep lists them,
//! read from right to left; soft dependencies round each module, with dependencies of their own; each module once.

use core::fmt;
use core::iter::successors;

use crate::failure::{Code, Failure};
use crate::request::list::Entry;
use crate::request::name::same;
use crate::resolve::Tree;
use crate::resolve::chain::{Chains, Link};
use crate::resolve::config::{self, Side};
use crate::resolve::dep::Line;
use crate::resolve::lookup::{Module, lookup};
use crate::resolve::nearest;
use crate::resolve::parameters::Parameters;
use crate::text::Shown;

/// Most steps of a plan.
pub const MOST_STEPS: usize = 2048;
/// Most requests of a plan: entries, each counted as often as its name means a module.
pub const MOST_REQUESTS: usize = 1024;
/// Most soft dependencies, of soft dependencies, of one request.
const MOST_VISITED: usize = 128;

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The module.
    pub module: Module<'a>,
    /// What to do for it.
    pub action: Action<'a>,
    /// The parameters of its entry, for the entry's own module.
    pub arguments: &'a [u8],
    /// Whether its failure is one of the request's: false for what only soft dependencies ask for.
    pub required: bool,
    /// Whether it is the entry's own module.
    pub asked_for: bool,
    /// The number of the request that it belongs to, counted from 0.
    pub request: u16,
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

/// One module that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The parameters of its entry.
    pub parameters: &'a [u8],
    /// Whether its failure is logged and passed over: `?`, or a further module of the same alias decides.
    pub optional: bool,
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
/// use guest_init::resolve::Tree;
/// use guest_init::resolve::index::{Index, Kind};
/// use guest_init::resolve::plan::{Options, Plan};
///
/// let mut indexes = Kind::ALL.map(Index::absent);
/// indexes[0] = Index::text(Kind::Dep, b"kernel/e1000e.ko: kernel/ptp.ko\nkernel/ptp.ko:\n");
/// let mut plan = Plan::new(Tree { release: "6.1.0-56-amd64", indexes: &indexes, config: &[] });
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
    tree: Tree<'a>,
    /// Whether a module has a step for each of its turns.
    every_turn: bool,
    chains: Chains,
    requests: heapless::Vec<Request<'a>, MOST_REQUESTS>,
    steps: heapless::Vec<Step<'a>, MOST_STEPS>,
}

impl<'a> Plan<'a> {
    /// Nothing to do yet, on this tree.
    // It is too large to be made in one place and moved to another.
    #[inline(always)]
    pub const fn new(tree: Tree<'a>) -> Self {
        Self {
            tree,
            every_turn: false,
            chains: Chains::EMPTY,
            requests: heapless::Vec::new(),
            steps: heapless::Vec::new(),
        }
    }

    /// Plans one module as modprobe does, without what was planned before: each turn of a module is a step, since by
    /// then it may be loaded, or may have failed as a soft dependency.
    ///
    /// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`].
    pub fn only(&mut self, module: Module<'a>, parameters: &'a [u8], options: Options) -> Result<(), Failure> {
        self.truncate(0, 0);
        self.every_turn = true;
        self.request(module, Request { parameters, optional: false }, options)
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
        let (steps, requests) = (self.steps.len(), self.requests.len());
        let result = self.add_found(entry, options);
        if result.is_err() {
            self.truncate(steps, requests);
        }
        result
    }

    fn truncate(&mut self, steps: usize, requests: usize) {
        while self.steps.len() > steps
            && let Some(step) = self.steps.pop()
        {
            self.chains.begin(step.module.name, step.before);
        }
        self.requests.truncate(requests);
    }

    fn add_found(&mut self, entry: &Entry<'a>, options: Options) -> Result<(), Failure> {
        let found = lookup(&self.tree, entry.name.as_bytes())?;
        let Some((last, others)) = found.split_last() else {
            return Err(nearest::unknown_module(&self.tree, entry.name));
        };
        for module in others {
            self.request(*module, Request { parameters: entry.parameters, optional: true }, options)?;
        }
        self.request(*last, Request { parameters: entry.parameters, optional: entry.optional }, options)
    }

    /// The tree that it is for.
    pub const fn tree(&self) -> &Tree<'a> {
        &self.tree
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step<'a>] {
        &self.steps
    }

    /// The steps for a module, the last first, with their numbers.
    pub fn turns_of<'p>(&'p self, name: &'p [u8]) -> impl Iterator<Item = (usize, &'p Step<'a>)> {
        self.turns(self.chains.of(name), name)
    }

    /// The steps for the same module before this one, the last first, with their numbers.
    pub fn earlier<'p>(&'p self, step: &'p Step<'a>) -> impl Iterator<Item = (usize, &'p Step<'a>)> {
        self.turns(step.before, step.module.name)
    }

    fn turns<'p>(&'p self, from: Link, name: &'p [u8]) -> impl Iterator<Item = (usize, &'p Step<'a>)> {
        let at = |link: Link| {
            let number = link.number()?;
            Some((number, self.steps.get(number)?))
        };
        successors(at(from), move |(_, step)| at(step.before)).filter(move |(_, step)| same(step.module.name, name))
    }

    /// Whether a failure of the step, if it is required, ends no more than its own request.
    pub fn is_optional(&self, step: &Step<'a>) -> bool {
        self.requests.get(usize::from(step.request)).is_some_and(|request| request.optional)
    }

    /// A step as modprobe's `--show-depends` prints it: what is done, the file or the name, the parameters.
    pub fn show<'p>(&'p self, step: &'p Step<'a>) -> impl fmt::Display + use<'p, 'a> {
        Shape(self, step)
    }

    /// The parameters of a step: its options from the configuration and the command line, then its entry's.
    pub fn parameters(&self, step: &Step<'a>) -> Parameters<'a> {
        Parameters { config: self.tree.config, module: step.module, arguments: step.arguments }
    }

    fn request(&mut self, module: Module<'a>, request: Request<'a>, options: Options) -> Result<(), Failure> {
        let line = self.tree.line_of(&module)?;
        let number = u16::try_from(self.requests.len()).unwrap_or(u16::MAX);
        self.requests.push(request).map_err(|_| too_large(Shown(module.name), "more than 1,024 modules asked for"))?;
        let blacklist_counts = module.alias.is_some() || options.use_blacklist;
        let mut walk = Walk { plan: self, module, line, number, options, visited: heapless::Vec::new() };
        if blacklist_counts && config::is_blacklisted(walk.plan.tree.config, module.name) {
            return walk.step(&module, Action::Blacklisted, true);
        }
        walk.walk(&module, line)
    }

    /// Adds a step. Where the module's turn came before, in this request, or in an earlier one that would end in failure
    /// without it, at most parameters of its own remain. That a name was refused for the blacklist settles nothing for
    /// those who depend on it.
    fn push(&mut self, step: Step<'a>) -> Result<(), Failure> {
        let name = step.module.name;
        let last = self.turns_of(name).next().map(|(number, _)| number);
        let settled = self.turns_of(name).find(|(_, earlier)| {
            let firm = earlier.required && !self.is_optional(earlier) && earlier.action != Action::Blacklisted;
            !self.every_turn && (earlier.request == step.request || firm)
        });
        let action = match settled {
            Some(_) if step.arguments.is_empty() => return Ok(()),
            // Nothing changed them since.
            Some((number, earlier)) if step.arguments == earlier.arguments && Some(number) == last => return Ok(()),
            // Its command stands in place of the module.
            Some((_, earlier)) if matches!(earlier.action, Action::Install(_)) => return Ok(()),
            Some(_) => Action::Adjust,
            None => step.action,
        };
        let step = Step { action, before: self.chains.of(name), ..step };
        let link = Link::to(self.steps.len());
        self.steps.push(step).map_err(|_| too_large(Shown(name), "more than 2,048 steps"))?;
        self.chains.begin(name, link);
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
            Action::Adjust => write!(f, "adjust {} {}", step.module, Shown(step.arguments)),
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

/// One request on its way through the soft dependencies.
struct Walk<'p, 'a> {
    plan: &'p mut Plan<'a>,
    module: Module<'a>,
    line: Line<'a>,
    number: u16,
    options: Options,
    visited: heapless::Vec<Module<'a>, MOST_VISITED>,
}

impl<'a> Walk<'_, 'a> {
    /// A module with all that its line lists. Each module once a request, so loops of soft dependencies end.
    fn walk(&mut self, module: &Module<'a>, line: Line<'a>) -> Result<(), Failure> {
        if self.visited.iter().any(|seen| seen.is(module)) {
            return Ok(());
        }
        let is_first = self.visited.is_empty();
        let ignore_install = self.options.ignore_install && is_first;
        let subject = Shown(self.module.name);
        self.visited.push(*module).map_err(|_| too_large(subject, "more than 128 soft dependencies"))?;
        for path in line.dependencies() {
            self.fill(&Module::in_file(path), Some(path), is_first)?;
        }
        match ignore_install {
            true => self.step(module, self.action(module, line.path())?, is_first),
            false => self.fill(module, line.path(), is_first),
        }
    }

    /// A module between its soft dependencies. `is_listed`: it is the request's own, or on that one's line.
    fn fill(&mut self, module: &Module<'a>, path: Option<&'a [u8]>, is_listed: bool) -> Result<(), Failure> {
        let softdeps = config::softdeps(self.plan.tree.config, module.name);
        self.soft(softdeps.clone(), Side::Before)?;
        self.step(module, self.action(module, path)?, is_listed)?;
        self.soft(softdeps, Side::After)
    }

    fn soft(&mut self, softdeps: impl Iterator<Item = (Side, &'a [u8])>, side: Side) -> Result<(), Failure> {
        softdeps.filter(|(of, _)| *of == side).try_for_each(|(_, name)| self.each_of(name))
    }

    /// What one soft dependency means. Few modules have one, and only they touch the pages of stack that this takes.
    #[inline(never)]
    fn each_of(&mut self, name: &'a [u8]) -> Result<(), Failure> {
        for module in &lookup(&self.plan.tree, name)? {
            let line = self.plan.tree.line_of(module)?;
            self.walk(module, line)?;
        }
        Ok(())
    }

    /// What is done for a module. A command takes the place of the load, but not with `-i`, be it that a soft
    /// dependency comes back to the request's own module, and not with soft dependencies that exist (kmod issue 446).
    fn action(&self, module: &Module<'a>, path: Option<&'a [u8]>) -> Result<Action<'a>, Failure> {
        let config = self.plan.tree.config;
        let ignored = self.options.ignore_install && module.is(&self.module);
        // What has neither a file nor an alias was found by the very name of its command.
        let by_name = path.is_none() && module.alias.is_none();
        Ok(match (config::install(config, module.name, by_name), path) {
            (Some(command), _) if !ignored && !self.has_softdeps(module)? => Action::Install(command),
            (_, Some(path)) => Action::Load(path),
            (_, None) if self.plan.tree.has_built_in(module)? => Action::BuiltIn,
            (_, None) => Action::Missing,
        })
    }

    /// Few modules have a command: as above.
    #[inline(never)]
    fn has_softdeps(&self, module: &Module<'a>) -> Result<bool, Failure> {
        let mut softdeps = config::softdeps(self.plan.tree.config, module.name);
        softdeps.try_fold(false, |any, (_, name)| Ok(any || !lookup(&self.plan.tree, name)?.is_empty()))
    }

    fn step(&mut self, module: &Module<'a>, action: Action<'a>, is_listed: bool) -> Result<(), Failure> {
        let asked_for = module.is(&self.module);
        // A soft dependency may be on the line as well.
        let required = is_listed || self.line.dependencies().any(|path| Module::in_file(path).is(module));
        let arguments = match self.plan.requests.last() {
            Some(request) if asked_for => request.parameters,
            _ => b"",
        };
        self.plan.push(Step {
            module: *module,
            action,
            arguments,
            required,
            asked_for,
            request: self.number,
            before: Link::default(),
        })
    }
}
