//! A plan over several module trees has the steps and parameters of libkmod's plan on the undivided tree.
//!
//! The order of modules that don't depend on one another follows from how depmod sorted a whole tree, so several trees
//! can't always have it. The order must be one in which each step is behind all that it has to wait for.

mod configuration;
mod divided;
mod pool;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::ops::AddAssign;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use guest_init::failure::Code;
use guest_init::guest::modules::config_files::ConfigPath;
use guest_init::guest::modules::tree::ModuleTree;
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::guest::system::files::{Directory, open_directory};
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list::ModuleEntry;
use guest_init::request::name::{Name, same};
use guest_init::resolve::lookup::lookup;
use guest_init::resolve::plan::waits::each_dependency;
use guest_init::resolve::plan::{self, Action, Options, Plan};
use guest_init::resolve::tree::Sources;
use guest_init::resolve::tree::config::{Side, SoftdepLines, softdeps};
use guest_init::resolve::tree::dep::module_of;
use guest_init::resolve::tree::module::Module;

use crate::cases::matching;
use crate::libkmod::{Oracle, Sandbox, Step, first_of_each, isolated, steps};
use crate::plans::{Configuration, report, seed};
use crate::support::random::Random;
use configuration::configuration;
use divided::{Divided, Undivided};
use pool::Pool;

/// The ways in which an undivided tree is divided: the percentage of modules that are in the last tree as well.
const COPIES: [usize; 5] = [0, 0, 0, 0, 15];
/// The parameters of entries that name a module.
const PARAMETERS: &[u8] = b"debug=1";

#[test]
fn two_trees_of_linux_6_1_are_planned_as_one() {
    some("6.1", 80, 2);
}

#[test]
fn three_trees_of_linux_6_1_are_planned_as_one() {
    some("6.1", 20, 3);
}

#[test]
fn two_trees_of_linux_6_12_are_planned_as_one() {
    some("6.12", 4, 2);
}

#[test]
fn two_trees_of_linux_7_2_are_planned_as_one() {
    some("7.2", 4, 2);
}

#[test]
fn the_whole_of_linux_6_1_in_two_trees_is_planned_as_one() {
    let mut random = Random::new(seed());
    isolated(|sandbox| {
        let pool = Pool::fetch("6.1");
        let tree = Undivided::whole(&pool, sandbox.directory(), &mut random);
        let lists: Vec<_> = tree.names.iter().map(|name| vec![name.clone().into_bytes()]).collect();
        let divided = tree.divide(2, 0, sandbox.directory(), &mut random);
        let mut count = Count::default();
        for order in [[0, 1], [1, 0]] {
            let compared = compare(sandbox, &tree, &divided, &order, &lists, &mut random);
            count += compared.unwrap_or_else(|difference| panic!("{difference}"));
        }
        report(format_args!("{count}, of all modules of Linux {} in two trees", pool.release));
        assert!(count.plans > 8_000);
    });
}

/// The number of plans that were compared.
#[derive(Default)]
struct Count {
    plans: usize,
    /// Those of which even the order of independent modules was libkmod's.
    in_the_same_order: usize,
    /// Those with modules of several trees.
    of_several_trees: usize,
    /// Those of unknown names.
    unknown: usize,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plans, in_the_same_order, of_several_trees, unknown } = self;
        write!(f, "{plans} plans ({of_several_trees} with modules of several trees, ")?;
        write!(f, "{in_the_same_order} also in libkmod's order, {unknown} of unknown names)")
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.plans += other.plans;
        self.in_the_same_order += other.in_the_same_order;
        self.of_several_trees += other.of_several_trees;
        self.unknown += other.unknown;
    }
}

/// Compares plans of random parts of a kernel's modules. Each part is divided in several ways, and each of these trees
/// is searched in this order and in the reverse one.
fn some(version: &str, parts: usize, trees: usize) {
    let seed = seed() + trees as u64;
    let orders = [(0..trees).collect::<Vec<_>>(), (0..trees).rev().collect()];
    let mut count = Count::default();
    isolated(|sandbox| {
        let pool = Pool::fetch(version);
        for number in 0..parts {
            let mut random = Random::new(seed ^ (number as u64) << 32);
            let tree = Undivided::some(&pool, sandbox.directory(), &mut random);
            for copies in COPIES {
                let divided = tree.divide(trees, copies, sandbox.directory(), &mut random);
                for order in &orders {
                    let lists = some_lists(&tree, &mut random);
                    count +=
                        compare(sandbox, &tree, &divided, order, &lists, &mut random).unwrap_or_else(|difference| {
                            panic!("seed {seed}, part {number}, {copies} % copies, order {order:?}: {difference}")
                        });
                }
            }
        }
        let ways = parts * COPIES.len() * orders.len();
        report(format_args!("{count}, of modules of Linux {} in {trees} trees, {ways} ways", pool.release));
    });
    assert!(count.of_several_trees * 4 > count.plans && count.unknown * 10 < count.plans);
}

/// Lists of names: of modules, of what their aliases and symbols match, of built-in modules, and of nothing.
fn some_lists(tree: &Undivided, random: &mut Random) -> Vec<Vec<Vec<u8>>> {
    let module = |random: &mut Random| tree.names[random.below(tree.names.len())].clone().into_bytes();
    let mut lists: Vec<_> = (0..10).map(|_| vec![module(random)]).collect();
    lists.push((0..6).map(|_| module(random)).collect());
    lists.push(vec![b"no_such_module".to_vec()]);
    lists
}

/// Compares the plan of each list over the trees of an order with libkmod's on the undivided tree.
fn compare(
    sandbox: &Sandbox,
    tree: &Undivided,
    divided: &Divided<'_>,
    order: &[usize],
    lists: &[Vec<Vec<u8>>],
    random: &mut Random,
) -> Result<Count, String> {
    let directory = divided.undivided(order);
    let case = configuration(&tree.names, random);
    let directories = Configuration::write(sandbox, &case);
    sandbox.set_command_line(&case.line);
    let mut oracle = Oracle::new(&directory, &directories.directories());
    let undivided = open(&[directory.parent().expect("a folder").into()], &tree.release, &directories);
    let folders: Vec<_> = order.iter().map(|&tree| divided.modules(tree)).collect();
    let trees = open(&folders, &tree.release, &directories);
    let [lines, trees_lines] = [&undivided, &trees].map(|trees| trees.config(ModuleWords::of(&case.line)));
    let (undivided, trees) = (undivided.sources(&lines), trees.sources(&trees_lines));

    let aliases = aliases_in(&directory, random);
    let by_name = lists.iter().map(|names| (&names[..], PARAMETERS));
    let by_alias = aliases.iter().map(|name| (std::slice::from_ref(name), &b""[..]));
    let mut count = Count::default();
    for (names, parameters) in by_name.chain(by_alias) {
        let entry = |name| ModuleEntry { name: Name::new(name).expect("a name"), parameters, optional: false };
        let entries: Vec<_> = names.iter().map(|name| entry(name)).collect();
        let plans = names.iter().map(|name| oracle.plan(name, parameters, Options::default()));
        let expected = plans.collect::<Option<Vec<_>>>().map(|plans| first_of_each(plans.concat()));
        let has = |place: usize, path: &[u8]| divided.has(order[place], path);
        count += compare_plans(&entries, expected, &undivided, &trees, &has).map_err(|difference| {
            let names: Vec<_> = names.iter().map(|name| name.escape_ascii().to_string()).collect();
            format!("{}: {difference}\n{case:?}", names.join("; "))
        })?;
    }
    Ok(count)
}

/// Opens trees as on a share. Their files are not mapped then: the kernel allows a process 65,530 maps.
fn open(folders: &[PathBuf], release: &str, configuration: &Configuration) -> ModuleTrees {
    let top = Directory::of_mount(open_directory("/").expect("a directory"));
    let tree = |folder: &PathBuf| ModuleTree::open(top.directory(folder), &folder.display(), release);
    let mut opened = folders.iter().map(|folder| tree(folder).expect("a module tree"));
    let mut trees = ModuleTrees::of(opened.next().expect("a folder"));
    opened.for_each(|tree| trees.add(tree));
    let directories = configuration.directories().map(|path| ConfigPath::from(path.as_os_str().as_bytes()));
    trees.require_config(&directories).expect("the configuration");
    trees
}

/// Some names that aliases and symbols of a tree match.
fn aliases_in(tree: &Path, random: &mut Random) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for (file, some) in [("modules.alias", 6), ("modules.symbols", 2)] {
        let text = fs::read_to_string(tree.join(file)).expect("a text index");
        let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' ')).collect();
        // No list can have a name with a `/` or a blank.
        let patterns: Vec<_> =
            lines.iter().map(|(pattern, _)| *pattern).filter(|it| !it.contains(['/', ' '])).collect();
        for _ in 0..some.min(patterns.len()) {
            names.push(matching(random.pick(&patterns).as_bytes(), random));
        }
    }
    names
}

/// Compares one plan over the trees with libkmod's, and with guest-init's own on the undivided tree. `has`: whether the
/// tree at this place of the order has a file.
fn compare_plans(
    entries: &[ModuleEntry<'_>],
    expected: Option<Vec<Step>>,
    undivided: &Sources<'_>,
    trees: &Sources<'_>,
    has: &dyn Fn(usize, &[u8]) -> bool,
) -> Result<Count, String> {
    let (ours, reference) = (Planned::of(trees, entries)?, Planned::of(undivided, entries)?);
    let (Some(expected), Some(ours), Some(reference)) = (&expected, &ours, &reference) else {
        let known = [expected.is_some(), ours.is_some(), reference.is_some()];
        return match known {
            [false, false, false] => Ok(Count { plans: 1, unknown: 1, ..Count::default() }),
            _ => Err(format!("known to libkmod, to the trees, to the undivided tree: {known:?}")),
        };
    };
    let of = |what: &str| format!("{what}\nours: {:#?}\nlibkmod's: {expected:#?}", ours.steps);
    if reference.steps != *expected {
        return Err(of(&format!("the plan on the undivided tree differs: {:#?}", reference.steps)));
    }
    if sorted(&ours.steps) != sorted(expected) {
        return Err(of("the steps differ"));
    }
    if let Some((earlier, later)) = reference.waits.iter().find(|(earlier, later)| !ours.has_in_order(earlier, later)) {
        return Err(of(&format!("{earlier} is behind {later}")));
    }
    if ours.waits != reference.waits {
        return Err(of(&format!("with several jobs, other steps wait: {:?}", ours.waits)));
    }
    if let Some((place, path)) = ours.files.iter().find(|(place, path)| !has(*place, path)) {
        return Err(of(&format!("tree {place} of the order has no {}", path.escape_ascii())));
    }
    let places: BTreeSet<_> = ours.files.iter().map(|(place, _)| place).collect();
    let in_the_same_order = usize::from(ours.steps == *expected);
    Ok(Count { plans: 1, in_the_same_order, of_several_trees: usize::from(places.len() > 1), unknown: 0 })
}

/// Steps in an order of their own, without those of blacklisted modules that are loaded nevertheless, because another
/// module of the alias needs them. Which of the two steps comes first depends on the order of independent modules.
fn sorted(steps: &[Step]) -> Vec<&Step> {
    let is_loaded =
        |blacklisted: &Step| steps.iter().any(|step| step.module == blacklisted.module && step != blacklisted);
    let mut steps: Vec<_> = steps.iter().filter(|step| !step.is_blacklisted() || !is_loaded(step)).collect();
    steps.sort();
    steps
}

/// Whether a module waits for another only because it is a soft dependency `post:` of that one. If something else needs
/// the module as well, the order of independent modules decides which of the two comes first.
fn is_only_wished(sources: &Sources<'_>, earlier: Module<'_>, later: Module<'_>) -> bool {
    let mut softdeps = softdeps(sources.config, earlier.name, SoftdepLines::First);
    let is_wished = softdeps.any(|(side, name)| {
        let found = lookup(sources, name).expect("intact indexes");
        side == Side::After && found.iter().any(|module| same(module.name, later.name))
    });
    let line = sources.line_of(&later).expect("intact indexes");
    is_wished && !line.dependencies().any(|file| same(module_of(file.path), earlier.name))
}

/// One of guest-init's plans.
struct Planned {
    steps: Vec<Step>,
    /// Pairs of modules of which the second waits for the first.
    waits: BTreeSet<(String, String)>,
    /// The files that are loaded: the place of the tree in the order of the trees, and the path.
    files: Vec<(usize, Vec<u8>)>,
}

impl Planned {
    /// The plan of some entries. `None`: a name is unknown.
    fn of(sources: &Sources<'_>, entries: &[ModuleEntry<'_>]) -> Result<Option<Self>, String> {
        let mut plan = Box::new(Plan::new(*sources));
        for entry in entries {
            match plan.add(entry, Options::default()) {
                Err(failure) if failure.code == Code::UnknownModule => return Ok(None),
                result => result.map_err(|failure| failure.to_string())?,
            }
        }
        let mut waits = BTreeSet::new();
        // A module's further steps are not among `steps`, and nothing is done for a blacklisted one.
        let is_done = |step: &plan::Step<'_>| step.action != Action::Blacklisted;
        let is_first = |number: usize| {
            let step = &plan.steps()[number];
            is_done(step) && !plan.earlier_steps(step).any(|(_, earlier)| is_done(earlier))
        };
        let module = |number: usize| plan.steps()[number].module;
        let each = &mut |earlier, later| {
            if is_first(earlier) && is_first(later) && !is_only_wished(sources, module(earlier), module(later)) {
                waits.insert((module(earlier).to_string(), module(later).to_string()));
            }
        };
        each_dependency(&plan, each).map_err(|failure| failure.to_string())?;
        let files = plan.steps().iter().filter_map(|step| match step.action {
            Action::Load(file) => Some((usize::from(file.tree), file.path.to_vec())),
            _ => None,
        });
        let files = files.collect();
        Ok(Some(Self { steps: steps(&plan), waits, files }))
    }

    /// Whether a module has its step before that of another.
    fn has_in_order(&self, earlier: &str, later: &str) -> bool {
        let is_it = |step: &Step, name: &str| step.module == name.as_bytes() && !step.is_blacklisted();
        let place = |name: &str| self.steps.iter().position(|step| is_it(step, name));
        place(earlier).zip(place(later)).is_some_and(|(earlier, later)| earlier < later)
    }
}
