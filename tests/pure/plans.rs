//! From a kernel command line to a plan, on small module trees. Each folder of tests/fixtures/plan is a case.
//!
//! In it are the module tree `tree`, the configuration `modprobe.d`, the kernel command line `cmdline`, the modaliases
//! of the VM's devices in `devices`, if it has any, and in `expected` the plan, or the failures.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use guest_init::failure::{Code, Failure, Report};
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::request::kernel::ModuleWords;
use guest_init::request::{Request, list};
use guest_init::resolve::plan::consequence::Consequence;
use guest_init::resolve::plan::{Options, Plan};

/// The plan of a case, or its failures.
fn outcome(case: &Path) -> String {
    let (mut logged, mut passed_over) = (String::new(), String::new());
    let mut log = |failure: &Failure| writeln!(logged, "{failure}").unwrap();
    let mut report = Report::new(&mut log);
    let line = std::fs::read(case.join("cmdline")).unwrap();
    let request = Request::parse(line.trim_ascii_end(), &mut report);

    let devices = std::fs::read_to_string(case.join("devices")).unwrap_or_default();
    let modaliases: Vec<_> = devices.lines().collect();
    let config = case.join("modprobe.d");
    let tree = ModuleTrees::open(case.to_str().unwrap(), "tree", &[config.to_str().unwrap()]).unwrap();
    let lines = tree.config(request.kernel.modules);
    let mut plan = Plan::new(tree.sources(&lines));
    plan.add_all(&request.entries, &modaliases, Options::default(), &mut |entry, failure| {
        match Consequence::of_unplanned_entry(entry, &failure) {
            Consequence::EndsTheVm => report.add(failure),
            _ => writeln!(passed_over, "passed over: {failure}").unwrap(),
        }
    });
    let end = match report.verdict() {
        Ok(()) => plan.to_string(),
        Err(verdict) => format!("{verdict}\n"),
    };
    logged + &end + &passed_over
}

#[test]
fn every_case_gives_the_expected_plan_or_failures() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plan");
    let mut count = 0;
    for case in std::fs::read_dir(cases).unwrap() {
        let case = case.unwrap().path();
        let expected = std::fs::read_to_string(case.join("expected")).unwrap();
        assert_eq!(outcome(&case), expected, "{}", case.display());
        count += 1;
    }
    assert!(count >= 17, "{count} cases");
}

#[test]
fn files_of_the_configuration_count_whatever_their_size_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let (tree, config) = (folder.path().join("1.0"), folder.path().join("modprobe.d"));
    std::fs::create_dir(&tree).unwrap();
    std::fs::create_dir(&config).unwrap();
    std::fs::write(tree.join("modules.dep"), "kernel/a.ko:\n").unwrap();
    let large = [&b"# a comment\n".repeat(200_000)[..], b"options a large=1\n"].concat();
    std::fs::write(config.join("large.conf"), large).unwrap();
    std::fs::write(config.join(OsStr::from_bytes(b"\xff.conf")), "options a name=1\0 lost=1\noptions a last=1\\")
        .unwrap();
    symlink("/dev/null", config.join("masked.conf")).unwrap();
    symlink("nothing", config.join("dangling.conf")).unwrap();

    let tree = ModuleTrees::open(folder.path().to_str().unwrap(), "1.0", &[config.to_str().unwrap()]).unwrap();
    let lines = tree.config(ModuleWords::NONE);
    let mut plan = Box::new(Plan::new(tree.sources(&lines)));
    list::read(b"a", "list", &mut |entry| plan.add(entry.unwrap().module().unwrap(), Options::default()).unwrap());
    assert_eq!(plan.to_string(), "insmod kernel/a.ko large=1 name=1 last=1\n");
}

#[test]
fn a_file_of_the_configuration_that_cannot_be_read_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("1.0")).unwrap();
    std::fs::write(folder.path().join("1.0/modules.dep"), "kernel/a.ko:\n").unwrap();
    let softdep = std::fs::File::create(folder.path().join("1.0/modules.softdep")).unwrap();
    softdep.set_len((64 << 20) + 1).unwrap();
    let failure = ModuleTrees::open(folder.path().to_str().unwrap(), "1.0", &[]).unwrap_err();
    assert_eq!(failure.code, Code::ConfigUnreadable);
    assert_eq!(failure.to_string(), "plan modules.softdep: EFBIG: it can't be read: it has more than 64 MiB");
}

/// The refusal of an entry by a tree of one module, in which an index is what `damage` makes of it.
fn refusal(entry: &str, damage: impl FnOnce(&Path)) -> (Failure, Consequence) {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("1.0");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("modules.dep"), "kernel/a.ko:\n").unwrap();
    damage(&tree);
    let tree = ModuleTrees::open(folder.path().to_str().unwrap(), "1.0", &[]).unwrap();
    let mut plan = Box::new(Plan::new(tree.sources(&[])));
    let mut refused = None;
    list::read(entry.as_bytes(), "list", &mut |entry| {
        plan.add_all(&[entry.unwrap()], &[b""; 0], Options::default(), &mut |entry, failure| {
            let consequence = Consequence::of_unplanned_entry(entry, &failure);
            refused = Some((failure, consequence));
        });
    });
    refused.expect("it is refused")
}

#[test]
fn an_optional_entry_that_is_unknown_ends_itself_alone() {
    assert_eq!(refusal("?nosuch", |_| {}).1, Consequence::EndsItsEntry);
    assert_eq!(refusal("nosuch", |_| {}).1, Consequence::EndsTheVm);
}

#[test]
fn an_index_that_cannot_be_read_is_a_failure_for_optional_entries_too() {
    let loop_of = |name: &'static str| move |tree: &Path| symlink(name, tree.join(name)).unwrap();
    for name in ["modules.builtin.bin", "modules.builtin", "modules.alias.bin"] {
        let (failure, consequence) = refusal("?nosuch", loop_of(name));
        let line = format!("plan {name}: ELOOP: it can't be read: Too many levels of symbolic links");
        assert_eq!(
            (failure.to_string(), failure.code, consequence),
            (line, Code::CorruptIndex, Consequence::EndsTheVm)
        );
    }
    let (failure, _) = refusal("nosuch", |tree| std::fs::create_dir(tree.join("modules.symbols.bin")).unwrap());
    assert_eq!(failure.code, Code::UnknownModule, "no symbol was asked for");
    let (failure, _) = refusal("symbol:x", |tree| std::fs::create_dir(tree.join("modules.symbols.bin")).unwrap());
    assert_eq!(failure.to_string(), "plan modules.symbols.bin: EISDIR: it can't be read: it is no regular file");
}
