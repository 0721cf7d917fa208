//! The resolver against libkmod, kmod's own: the same plan and the same parameters, for every name of whole kernels, and
//! for made-up configurations in which the rules meet.
//!
//! Needs root (for a /proc/cmdline of its own), libkmod, depmod, `as`, and the kernels of scripts/kernel. No module is
//! ever loaded.

mod support {
    pub mod oracle;
}

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use guest_init::failure::Failure;
use guest_init::guest::modules::tree::ModuleTree;
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list::Entry;
use guest_init::request::name::Name;
use guest_init::resolve::plan::{Options, Plan};
use guest_init::resolve::tree::dep::module_of;
use guest_init::resolve::tree::index::{Index, IndexKind};
use guest_init::resolve::tree::{Indexes, Sources};
use support::oracle::cases::{Case, matching};
use support::oracle::random::Random;
use support::oracle::small_tree::{RELEASE, SmallTree};
use support::oracle::{Oracle, Sandbox, Step, first_of_each, isolated, steps};
use tempfile::TempDir;

/// Aliases and symbols of a kernel that are asked for, at least; names of modules all are.
const SPREAD: [usize; 2] = [3_000, 300];
/// Made-up trees, and configurations for each. All together map 20,000 files, of 65,530 that the kernel allows.
const TREES: usize = 8;
const CASES: usize = 500;

/// The seed where `GUEST_INIT_SEED` names no other.
const SEED: u64 = 20_260_904;

#[test]
fn all_names_of_linux_6_1() {
    real_kernel("x86_64", "6.1");
}

#[test]
fn all_names_of_linux_6_12() {
    real_kernel("x86_64", "6.12");
}

#[test]
fn all_names_of_linux_7_2() {
    real_kernel("x86_64", "7.2");
}

#[test]
fn all_names_of_linux_6_1_for_arm64() {
    real_kernel("aarch64", "6.1");
}

#[test]
fn all_names_of_linux_6_12_for_arm64() {
    real_kernel("aarch64", "6.12");
}

#[test]
fn made_up_configurations() {
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
    report(format_args!("{plans} plans ({empty} of unknown names) of {cases} made-up configurations, seed {seed}"));
    assert!(plans > 2 * cases && empty * 4 < plans);
}

fn seed() -> u64 {
    std::env::var("GUEST_INIT_SEED").map_or(SEED, |seed| seed.parse().expect("GUEST_INIT_SEED is a number"))
}

/// Prints, past what the test harness holds back.
fn report(what: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "as libkmod: {what}").expect("stderr");
}

/// Compares every query of a case, under all flags, with both forms of the indexes, and several queries in one plan.
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
        let entry = Entry { name, parameters: parameters.as_bytes(), optional: false };
        let options = Options { ignore_install: random.percent(20), use_blacklist: random.percent(20) };
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

/// Compares the plan of one entry with what libkmod would do.
fn compare(
    tree: &Sources<'_>,
    entry: &Entry<'_>,
    options: Options,
    expected: &Option<Vec<Step>>,
) -> Result<(), String> {
    same(&ours(tree, entry, options)?, expected).map_err(|difference| of(entry, options, &difference))
}

/// The same, from text: modules.builtin.modinfo does not tell depmod's order of what is built in, nor does it matter.
fn compare_text(
    tree: &Sources<'_>,
    entry: &Entry<'_>,
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

fn of(entry: &Entry<'_>, options: Options, difference: &str) -> String {
    format!("{} `{}` {options:?}: {difference}", entry.name, entry.parameters.escape_ascii())
}

/// Our steps for an entry; `None` where its name means nothing.
fn ours(tree: &Sources<'_>, entry: &Entry<'_>, options: Options) -> Result<Option<Vec<Step>>, String> {
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

fn open(modules: &Path, release: &str, directories: &[&Path]) -> ModuleTree {
    let utf8 = |path: &Path| path.to_str().expect("a path in UTF-8").to_string();
    let directories: Vec<_> = directories.iter().map(|path| utf8(path)).collect();
    let directories: Vec<_> = directories.iter().map(String::as_str).collect();
    ModuleTree::open(&utf8(modules), release, &directories).expect("the module tree")
}

/// Two directories with the files of a case.
struct Configuration([TempDir; 2]);

impl Configuration {
    fn write(sandbox: &Sandbox, case: &Case) -> Self {
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

    fn directories(&self) -> [&Path; 2] {
        self.0.each_ref().map(TempDir::path)
    }
}

/// The text files of a tree, which serve where there is no `.bin`.
#[derive(Debug)]
struct TextIndexes([Vec<u8>; 5]);

impl TextIndexes {
    fn read(directory: &Path) -> Self {
        Self(IndexKind::ALL.map(|kind| fs::read(directory.join(kind.files()[1])).expect("a text index")))
    }

    fn tree<'a>(&'a self, binary: &Sources<'a>) -> Sources<'a> {
        Sources { indexes: self, ..*binary }
    }
}

impl Indexes for TextIndexes {
    fn index(&self, kind: IndexKind) -> Result<Index<'_>, Failure> {
        Ok(Index::text(kind, &self.0[kind as usize]))
    }
}

/// A kernel of scripts/kernel, and what can be asked for there.
struct Kernel {
    modules: PathBuf,
    release: String,
    text: TextIndexes,
}

impl Kernel {
    fn fetch(arch: &str, version: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kernel");
        let output = Command::new(&script).args(["--arch", arch, version]).output().expect("scripts/kernel");
        assert!(output.status.success(), "{}: {}", script.display(), output.stderr.escape_ascii());
        let directory = PathBuf::from(String::from_utf8(output.stdout).expect("a path in UTF-8").trim_end());
        let release = fs::read_to_string(directory.join("release")).expect("release").trim_end().to_string();
        let modules = directory.join("lib/modules");
        let text = TextIndexes::read(&modules.join(&release));
        Self { modules, release, text }
    }

    fn lines(&self, kind: usize) -> impl Iterator<Item = &[u8]> {
        self.text.0[kind].split(|&b| b == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"))
    }

    /// The names of all modules, and of all that is built in, as their files spell them.
    fn names(&self) -> Vec<Vec<u8>> {
        let [dep, _, _, builtin, _] = [0, 1, 2, 3, 4];
        let modules = self.lines(dep).map(|line| line.split(|&b| b == b':').next().unwrap());
        modules.chain(self.lines(builtin)).map(|path| module_of(path).to_vec()).collect()
    }

    /// Names that some aliases match, each with one module that must be among what it means: spread over the file, and
    /// every bus.
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
            // Such a name is for no list: it could be taken for a path, or is more than one word.
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

/// Every module by its name, and thousands of aliases and symbols, of a whole kernel.
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
            let entry = Entry { name: Name::new(name).expect("a name"), parameters: b"debug=1", optional: false };
            let expected = oracle.plan(name, entry.parameters, Options::default());
            // An alias means its module, or a module of that very name; some names of what is built in are aliases too.
            let found = match module {
                Some(module) => expected.iter().flatten().any(|step| [module, name].contains(&&step.module)),
                None => expected.is_some(),
            };
            assert!(found, "{}: libkmod does not know it, or other modules: {expected:?}", entry.name);
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
    assert!(names > 4_000 && aliases >= SPREAD[0] && symbols >= SPREAD[1]);
}

/// Options for every seventh module, and some more on the command line.
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
