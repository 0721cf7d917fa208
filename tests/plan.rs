//! From a kernel command line to a plan, on small trees: each folder of fixtures/plan is a case.
//!
//! `tree` is the module tree, `modprobe.d` the configuration, `cmdline` the kernel command line; `expected` is the plan,
//! or what is told in its place.

use std::fmt::Write;
use std::path::Path;

use guest_init::failure::{Failure, Report};
use guest_init::guest::modules::tree::ModuleTree;
use guest_init::request::Request;
use guest_init::resolve::plan::Plan;
use guest_init::resolve::plan::consequence::Consequence;

/// What guest-init says to a case.
fn outcome(case: &Path) -> String {
    let (mut told, mut passed_over) = (String::new(), String::new());
    let mut tell = |failure: &Failure| writeln!(told, "{failure}").unwrap();
    let mut report = Report::new(&mut tell);
    let line = std::fs::read(case.join("cmdline")).unwrap();
    let request = Request::parse(line.trim_ascii_end(), &mut report);

    let config = case.join("modprobe.d");
    let tree = ModuleTree::open(case.to_str().unwrap(), "tree", &[config.to_str().unwrap()]).unwrap();
    let lines = tree.config(request.kernel.modules);
    let mut plan = Plan::new(tree.sources(&lines));
    plan.add_all(&request.entries, &mut |entry, failure| match Consequence::of_refusal(entry, &failure) {
        Consequence::EndsTheVm => report.add(failure),
        _ => writeln!(passed_over, "passed over: {failure}").unwrap(),
    });
    let end = match report.verdict() {
        Ok(()) => plan.to_string(),
        Err(verdict) => format!("{verdict}\n"),
    };
    told + &end + &passed_over
}

#[test]
fn every_case_comes_out_as_expected() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plan");
    let mut count = 0;
    for case in std::fs::read_dir(cases).unwrap() {
        let case = case.unwrap().path();
        let expected = std::fs::read_to_string(case.join("expected")).unwrap();
        assert_eq!(outcome(&case), expected, "{}", case.display());
        count += 1;
    }
    assert!(count >= 15, "{count} cases");
}
