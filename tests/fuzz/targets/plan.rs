//! Whole plans: the list, the module tree and the configuration all come from outside.

use guest_init::failure::{Code, Failure};
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list::{self, Entry, ModuleEntry};
use guest_init::request::name::same;
use guest_init::resolve::lookup::lookup;
use guest_init::resolve::plan::consequence::Consequence;
use guest_init::resolve::plan::{Action, MOST_STEPS, Options, Plan};
use guest_init::resolve::tree::Sources;
use guest_init::resolve::tree::config::{self, Directive, SoftdepLines};
use guest_init::resolve::tree::index::{Index, IndexKind};
use guest_init::resolve::tree::module::Module;

use super::{check_failure, check_printable, index, parts};

/// The most entries of a list that are planned, enough for them to affect each other.
const MOST_ENTRIES: usize = 24;

/// Input: the list, the configuration, the kernel command line, then the indexes in the order of [`IndexKind::ALL`],
/// each as text, or in binary form if it begins with that form's magic number. The names of the list's entries are the
/// modaliases of the devices that `@devices` asks for.
pub fn plan(input: &[u8]) {
    let [list, config, line, indexes @ ..] = parts::<8>(input);
    let mut config = config.to_vec();
    let length = config::unfold(&mut config);
    config.truncate(length);
    let lines: Vec<_> = config::directives(&config).chain(config::command_line(ModuleWords::of(line))).collect();
    let Some(indexes) = open(indexes) else { return };
    let tree = Sources { release: "6.1.0-amd64", trees: &indexes, config: &lines };

    let mut entries = Vec::new();
    list::read(list, "list", &mut |entry| entries.extend(entry.ok()));
    entries.truncate(MOST_ENTRIES);
    let shown = check_plan(tree, &entries);
    for entry in entries.iter().filter_map(Entry::module) {
        check_alone(tree, entry);
        check_as_modprobe(tree, entry);
    }
    if let Some(shown) = shown.filter(|_| names_are_plain(&entries, &lines)) {
        check_binary(tree, &indexes, &entries, &shown);
    }
}

/// The indexes as the guest opens them; an empty part is an absent index. `None`: one has a damaged head.
fn open(parts: [&[u8]; 5]) -> Option<[Index<'_>; 5]> {
    let mut indexes = IndexKind::ALL.map(Index::absent);
    for ((index, kind), bytes) in indexes.iter_mut().zip(IndexKind::ALL).zip(parts) {
        *index = match bytes {
            [] => Index::absent(kind),
            [0xb0, 0x07, 0xf4, 0x57, ..] => Index::binary(kind, bytes).inspect_err(check_failure).ok()?,
            text => Index::text(kind, text),
        };
    }
    Some(indexes)
}

/// Plans all entries at once. Returns the plan's text if no entry was refused.
fn check_plan(tree: Sources<'_>, entries: &[Entry<'_>]) -> Option<String> {
    let modaliases = modaliases(entries);
    let mut plan = Plan::new(tree);
    let mut refused = 0;
    plan.add_all(entries, &modaliases, Options::default(), &mut |_, failure| {
        refused += 1;
        check_refusal(&failure);
    });
    let shown = plan.to_string();
    check_steps(&plan, &shown);
    assert!(plan.steps().iter().all(|step| usize::from(step.wanted) < 1024));
    (refused == 0).then_some(shown)
}

/// The names of the entries for modules.
fn modaliases<'a>(entries: &[Entry<'a>]) -> Vec<&'a [u8]> {
    entries.iter().filter_map(Entry::module).map(|module| module.name.as_bytes()).collect()
}

fn check_refusal(failure: &Failure) {
    assert!(matches!(failure.code, Code::UnknownModule | Code::CorruptIndex | Code::PlanTooLarge), "{failure}");
    check_failure(failure);
}

/// Asserts that a plan's text has a printable line for each step, and that the steps are within the bound.
fn check_steps(plan: &Plan<'_>, shown: &str) {
    assert!(plan.steps().len() <= MOST_STEPS);
    assert_eq!(shown.lines().count(), plan.steps().len());
    shown.lines().for_each(check_printable);
    for step in plan.steps() {
        let mut length = 0;
        plan.parameters(step).each_piece(&mut |piece| length += piece.len());
        assert!(length <= plan.parameters(step).to_string().len());
    }
}

/// Plans an entry alone, and asserts that the dependencies of its module have steps. They come before the module's
/// unless a soft dependency changes the order.
fn check_alone(tree: Sources<'_>, entry: &ModuleEntry<'_>) {
    let mut plan = Plan::new(tree);
    if let Err(failure) = plan.add(entry, Options::default()) {
        check_refusal(&failure);
        assert!(plan.steps().is_empty());
        return;
    }
    let found = lookup(&tree, entry.name.as_bytes()).expect("what was planned was found");
    let [module] = &found[..] else { return };
    let at = |module: &Module<'_>| plan.steps().iter().position(|step| same(step.module.name, module.name));
    let own = at(module).expect("what was asked for has a step");
    if plan.steps()[own].action == Action::Blacklisted {
        assert_eq!(plan.steps().len(), 1);
        return;
    }
    let line = tree.line_of(module).expect("what was planned was found");
    let has_softdeps = tree.config.iter().any(|line| matches!(line, Directive::Softdep { .. }));
    let on_itself = line.dependencies().any(|file| same(Module::in_file(file.path).name, module.name));
    for file in line.dependencies() {
        let dependency = at(&Module::in_file(file.path)).expect("a dependency has a step");
        assert!(has_softdeps || plan.steps()[dependency].consequence != Consequence::Nothing);
        assert!(has_softdeps || on_itself || dependency < own);
    }
}

/// Plans an entry as modprobe does, with each of its flags, and with all lines of soft dependencies.
fn check_as_modprobe(tree: Sources<'_>, entry: &ModuleEntry<'_>) {
    let Ok(found) = lookup(&tree, entry.name.as_bytes()).inspect_err(check_refusal) else { return };
    let mut plan = Plan::new(tree);
    for module in &found {
        for number in 0..8 {
            let softdeps = if number & 4 == 0 { SoftdepLines::First } else { SoftdepLines::All };
            let options = Options { ignore_install: number & 1 != 0, use_blacklist: number & 2 != 0, softdeps };
            match plan.only(*module, entry.parameters, options) {
                Ok(()) => check_steps(&plan, &plan.to_string()),
                Err(failure) => check_refusal(&failure),
            }
        }
    }
}

/// Whether none of the names to look up can also be a pattern.
fn names_are_plain(entries: &[Entry<'_>], config: &[Directive<'_>]) -> bool {
    let is_wild = |name: &[u8]| name.iter().any(|b| b"*?[\\".contains(b));
    !entries.iter().filter_map(Entry::module).any(|entry| is_wild(entry.name.as_bytes()))
        && !config.iter().any(|line| matches!(line, Directive::Softdep { modules, .. } if is_wild(modules)))
}

/// Asserts that the plan is the same with the binary form of the indexes.
fn check_binary(tree: Sources<'_>, indexes: &[Index<'_>; 5], entries: &[Entry<'_>], shown: &str) {
    let Some(forms) = indexes.iter().map(index::binary).collect::<Option<Vec<_>>>() else { return };
    let mut indexes = IndexKind::ALL.map(Index::absent);
    for ((index, kind), bytes) in indexes.iter_mut().zip(IndexKind::ALL).zip(&forms) {
        *index = Index::binary(kind, bytes).expect("what is written can be read");
    }
    let modaliases = modaliases(entries);
    let mut plan = Plan::new(Sources { trees: &indexes, ..tree });
    plan.add_all(entries, &modaliases, Options::default(), &mut |_, failure| panic!("{failure}"));
    assert_eq!(plan.to_string(), shown);
}
