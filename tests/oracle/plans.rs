//! A plan of guest-init's has the steps and parameters of libkmod's: for every name of whole kernels, and for random
//! configurations in which the rules meet.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use guest_init::failure::Failure;
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list::ModuleEntry;
use guest_init::request::name::Name;
use guest_init::resolve::plan::{Options, Plan};
use guest_init::resolve::tree::dep::module_of;
use guest_init::resolve::tree::index::{Index, IndexKind};
use guest_init::resolve::tree::{Sources, Trees};
use tempfile::TempDir;

use crate::cases::{Case, matching};
use crate::libkmod::{Oracle, Sandbox, Step, first_of_each, isolated, steps};
use crate::support::random::Random;
use crate::support::scripts::script;
use crate::support::small_tree::{RELEASE, SmallTree};

/// The least number of a kernel's aliases and symbols that are looked up. Of its modules all are.
const SPREAD: [usize; 2] = [3_000, 300];
/// Random trees, and random configurations for each. Together they map 20,000 files, and the kernel allows 65,530.
const TREES: usize = 8;
const CASES: usize = 500;

/// The seed if `GUEST_INIT_SEED` names no other.
const SEED: u64 = 20_260_904;

#[test]
fn all_names_of_linux_6_1_are_planned_as_by_libkmod() {
    real_kernel("x86_64", "6.1");
}

#[test]
fn all_names_of_linux_6_12_are_planned_as_by_libkmod() {
    real_kernel("x86_64", "6.12");
}

#[test]
fn all_names_of_linux_7_2_are_planned_as_by_libkmod() {
    real_kernel("x86_64", "7.2");
}

#[test]
fn all_names_of_linux_6_1_for_arm64_are_planned_as_by_libkmod() {
    real_kernel("aarch64", "6.1");
}

#[test]
fn all_names_of_linux_6_12_for_arm64_are_planned_as_by_libkmod() {
    real_kernel("aarch64", "6.12");
}

#[test]
fn all_names_of_linux_6_1_for_ppc64le_are_planned_as_by_libkmod() {
    real_kernel("ppc64le", "6.1");
}

#[test]
fn all_names_of_linux_6_1_for_s390x_are_planned_as_by_libkmod() {
    real_kernel("s390x", "6.1");
}

#[test]
fn all_names_of_linux_6_12_for_riscv64_are_planned_as_by_libkmod() {
    real_kernel("riscv64", "6.12");
}

#[test]
fn random_configurations_are_planned_as_by_libkmod() {
    let seed = seed();
    let (mut plans, mut empty) = (0, 0);
    isolated(|sandbox| {
        for tree in 0..TREES {
            let mut random = Random::new(seed + tree as u64);
            let tree = SmallTree::new(sandbox.directory(), &mut random);
            for number in 0..CASES {
                let case = Case::new(&tree, &mut random);
                sandbox.set_command_line(&case.oracle_line);
                let configuration = Configuration::write(sandbox, &case);
                let (all, none) = compare_case(&tree, &configuration, &case, &mut random)
                    .unwrap_or_else(|difference| panic!("seed {seed}, case {number}\n{case:?}\n{difference}"));
                plans += all;
                empty += none;
            }
        }
    });
    let cases = TREES * CASES;
    report(format_args!("{plans} plans ({empty} of unknown names) of {cases} random configurations, seed {seed}"));
    assert!(plans > 2 * cases && empty * 4 < plans);
}

pub fn seed() -> u64 {
    std::env::var("GUEST_INIT_SEED").map_or(SEED, |seed| seed.parse().expect("GUEST_INIT_SEED is a number"))
}

/// Prints a line that the test harness does not capture.
pub fn report(what: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "as libkmod: {what}").expect("stderr");
}

/// Compares the plan of every name of a case with both forms of the indexes, and the plan of all names together.
/// Returns how many plans were compared, and how many of these were of unknown names; or the difference.
fn compare_case(
    tree: &SmallTree,
    configuration: &Configuration,
    case: &Case,
    random: &mut Random,
) -> Result<(usize, usize), String> {
    let mut oracle = Oracle::new(&tree.directory(), &configuration.directories());
    let files = open(&tree.modules(), RELEASE, &configuration.directories());
    let config = files.config(ModuleWords::of(&case.line));
    let binary = files.sources(&config);
    let text = TextIndexes::read(&tree.directory());
    let text = text.tree(&binary);
    let (mut plans, mut empty) = (0, 0);
    let (mut entries, mut all_steps) = (Vec::new(), Vec::new());
    for (name, parameters) in &case.queries {
        let Ok(name) = Name::new(name) else { continue };
        let entry = ModuleEntry { name, parameters: parameters.as_bytes(), optional: false };
        let (ignore_install, use_blacklist) = (random.percent(20), random.percent(20));
        let options = Options { ignore_install, use_blacklist, ..Options::default() };
        let expected = oracle.plan(name.as_bytes(), entry.parameters, options);
        compare(&binary, &entry, options, &expected).map_err(|difference| format!(".bin: {difference}"))?;
        compare_text(&text, &entry, options, &expected).map_err(|difference| format!("text: {difference}"))?;
        plans += 2;
        empty += 2 * usize::from(expected.is_none());
        if let Some(steps) = oracle.plan(name.as_bytes(), entry.parameters, Options::default()) {
            entries.push(entry);
            all_steps.extend(steps);
        }
    }
    let mut plan = Plan::new(binary);
    for entry in &entries {
        plan.add(entry, Options::default()).map_err(|failure| format!("all in one plan: {failure}"))?;
    }
    same(&Some(steps(&plan)), &Some(first_of_each(all_steps)))
        .map_err(|difference| format!("all in one plan: {entries:?}: {difference}"))?;
    Ok((plans + 1, empty))
}

/// Compares the plan of one entry with libkmod's.
fn compare(
    tree: &Sources<'_>,
    entry: &ModuleEntry<'_>,
    options: Options,
    expected: &Option<Vec<Step>>,
) -> Result<(), String> {
    same(&ours(tree, entry, options)?, expected).map_err(|difference| of(entry, options, &difference))
}

/// The same for text indexes. modules.builtin.modinfo does not have depmod's order of the built-in modules, which makes
/// no difference, so they are sorted.
fn compare_text(
    tree: &Sources<'_>,
    entry: &ModuleEntry<'_>,
    options: Options,
    expected: &Option<Vec<Step>>,
) -> Result<(), String> {
    let ordered = |steps: Option<Vec<Step>>| {
        let mut steps = steps?;
        steps.sort_by_key(|step| step.is_built_in().then(|| step.module.clone()));
        Some(steps)
    };
    let ours = ordered(ours(tree, entry, options)?);
    same(&ours, &ordered(expected.clone())).map_err(|difference| of(entry, options, &difference))
}

fn of(entry: &ModuleEntry<'_>, options: Options, difference: &str) -> String {
    format!("{} `{}` {options:?}: {difference}", entry.name, entry.parameters.escape_ascii())
}

/// guest-init's steps for an entry. `None`: the name is unknown.
fn ours(tree: &Sources<'_>, entry: &ModuleEntry<'_>, options: Options) -> Result<Option<Vec<Step>>, String> {
    use guest_init::failure::Code;
    let mut plan = Plan::new(*tree);
    match plan.add(entry, options) {
        Ok(()) => Ok(Some(steps(&plan))),
        Err(failure) if failure.code == Code::UnknownModule => Ok(None),
        Err(failure) => Err(of(entry, options, &failure.to_string())),
    }
}

fn same(ours: &Option<Vec<Step>>, expected: &Option<Vec<Step>>) -> Result<(), String> {
    match ours == expected {
        true => Ok(()),
        false => Err(format!("\nours: {ours:#?}\nlibkmod's: {expected:#?}")),
    }
}

fn open(modules: &Path, release: &str, directories: &[&Path]) -> ModuleTrees {
    let utf8 = |path: &Path| path.to_str().expect("a path in UTF-8").to_string();
    let directories: Vec<_> = directories.iter().map(|path| utf8(path)).collect();
    let directories: Vec<_> = directories.iter().map(String::as_str).collect();
    ModuleTrees::open(&utf8(modules), release, &directories).expect("the module tree")
}

/// The two directories of a case's configuration.
pub struct Configuration([TempDir; 2]);

impl Configuration {
    pub fn write(sandbox: &Sandbox, case: &Case) -> Self {
        let directories = [(); 2].map(|()| sandbox.directory());
        for (directory, name, text) in &case.files {
            let path = directories[*directory].path().join(name);
            match text.is_empty() {
                true => symlink("/dev/null", path).expect("a link that masks"),
                false => fs::write(path, text).expect("a configuration file"),
            }
        }
        Self(directories)
    }

    pub fn directories(&self) -> [&Path; 2] {
        self.0.each_ref().map(TempDir::path)
    }
}

/// The text indexes of a tree, which are used if it has no binary ones.
#[derive(Debug)]
struct TextIndexes([Vec<u8>; 5]);

impl TextIndexes {
    fn read(directory: &Path) -> Self {
        Self(IndexKind::ALL.map(|kind| fs::read(directory.join(kind.files()[1])).expect("a text index")))
    }

    fn tree<'a>(&'a self, binary: &Sources<'a>) -> Sources<'a> {
        Sources { trees: self, ..*binary }
    }
}

impl Trees for TextIndexes {
    fn index(&self, _: u8, kind: IndexKind) -> Result<Index<'_>, Failure> {
        Ok(Index::text(kind, &self.0[kind as usize]))
    }
}

/// A kernel of scripts/kernel and its text indexes.
struct Kernel {
    modules: PathBuf,
    release: String,
    text: TextIndexes,
}

impl Kernel {
    fn fetch(arch: &str, version: &str) -> Self {
        let directory = PathBuf::from(script("kernel", &["--arch", arch, version]));
        let release = fs::read_to_string(directory.join("release")).expect("release").trim_end().to_string();
        let modules = directory.join("lib/modules");
        let text = TextIndexes::read(&modules.join(&release));
        Self { modules, release, text }
    }

    fn lines(&self, kind: usize) -> impl Iterator<Item = &[u8]> {
        self.text.0[kind].split(|&b| b == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"))
    }

    /// The names of all modules and of all built-ins, as their files spell them.
    fn names(&self) -> Vec<Vec<u8>> {
        let [dep, _, _, builtin, _] = [0, 1, 2, 3, 4];
        let modules = self.lines(dep).map(|line| line.split(|&b| b == b':').next().unwrap());
        modules.chain(self.lines(builtin)).map(|path| module_of(path).to_vec()).collect()
    }

    /// Names that aliases match, each with a module that must be among its steps. The aliases are spread over the file,
    /// and every bus has one.
    fn aliases(&self, kind: usize, at_least: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut random = Random::new(seed());
        let mut buses = BTreeSet::new();
        let lines: Vec<_> = self.lines(kind).collect();
        let step = lines.len() / at_least;
        let mut aliases = Vec::new();
        for (number, line) in lines.into_iter().enumerate() {
            let mut words = line.rsplitn(2, |&b| b == b' ');
            let (Some(module), Some(pattern)) =
                (words.next(), words.next().and_then(|rest| rest.strip_prefix(b"alias ")))
            else {
                panic!("{}", line.escape_ascii());
            };
            // No list can have such a name: `/` would make it a path, and a blank two words.
            if pattern.iter().any(|byte| b"/ ".contains(byte)) {
                continue;
            }
            let bus = pattern.split(|b| matches!(b, b':' | b'-')).next();
            if buses.insert(bus) || number % step == 0 {
                aliases.push((matching(pattern, &mut random), module.to_vec()));
            }
        }
        aliases
    }
}

/// Compares the plans of a whole kernel: of every module by its name, and of thousands of aliases and symbols.
fn real_kernel(arch: &str, version: &str) {
    let kernel = Kernel::fetch(arch, version);
    let names = kernel.names();
    let [symbols, aliases] = [(1, SPREAD[1]), (2, SPREAD[0])].map(|(kind, count)| kernel.aliases(kind, count));
    let counts = [names.len(), aliases.len(), symbols.len()];
    let case = some_options(&names);
    let by_name = names.into_iter().map(|name| (name, None));
    let by_alias = aliases.into_iter().chain(symbols).map(|(name, module)| (name, Some(module)));
    let queries: Vec<_> = by_name.chain(by_alias).collect();
    isolated(|sandbox| {
        sandbox.set_command_line(&case.line);
        let configuration = Configuration::write(sandbox, &case);
        let directories = configuration.directories();
        let mut oracle = Oracle::new(&kernel.modules.join(&kernel.release), &directories);
        let files = open(&kernel.modules, &kernel.release, &directories);
        let config = files.config(ModuleWords::of(&case.line));
        let binary = files.sources(&config);
        let text = kernel.text.tree(&binary);
        for (name, module) in &queries {
            let entry = ModuleEntry { name: Name::new(name).expect("a name"), parameters: b"debug=1", optional: false };
            let expected = oracle.plan(name, entry.parameters, Options::default());
            // An alias means its module, or a module of that very name. Some names of built-ins are aliases, too.
            let found = match module {
                Some(module) => expected.iter().flatten().any(|step| [module, name].contains(&&step.module)),
                None => expected.is_some(),
            };
            assert!(found, "{}: libkmod does not know the name, or plans other modules: {expected:?}", entry.name);
            compare(&binary, &entry, Options::default(), &expected)
                .unwrap_or_else(|e| panic!("{arch} {version}, .bin: {e}"));
            compare_text(&text, &entry, Options::default(), &expected)
                .unwrap_or_else(|e| panic!("{arch} {version}, text: {e}"));
        }
    });
    let [names, aliases, symbols] = counts;
    let plans = 2 * queries.len();
    report(format_args!(
        "{plans} plans of Linux {}: {names} names, {aliases} aliases, {symbols} symbols, each from .bin and from text",
        kernel.release
    ));
    // Debian's kernels for these have fewer drivers.
    let least = match arch {
        "s390x" => 2_000,
        "ppc64le" | "riscv64" => 3_000,
        _ => 4_000,
    };
    assert!(names > least && aliases >= SPREAD[0] && symbols >= SPREAD[1]);
}

/// A configuration with options for every seventh module, and more options on the command line.
fn some_options(names: &[Vec<u8>]) -> Case {
    let (mut text, mut line) = (Vec::new(), Vec::new());
    for (number, name) in names.iter().enumerate().filter(|(number, _)| number % 7 == 0) {
        text.extend([b"options ", &name[..], b" opt=", number.to_string().as_bytes(), b"\n"].concat());
        if number % 98 == 0 {
            line.extend([name, &b".word=\"a b\" "[..]].concat());
        }
    }
    Case { files: vec![(0, "options.conf", text)], line, ..Case::default() }
}
