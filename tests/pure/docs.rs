//! The documentation agrees with the code and the tests: tables, bounds, the diagram, citations.

use guest_init::failure::Code;
use guest_init::machine;
use guest_init::request::MOST_ENTRIES;
use guest_init::request::keys::{KEYS, Key};
use guest_init::resolve::plan::MOST_STEPS;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The README's words with single blanks between them.
fn prose() -> String {
    readme().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cells of the table whose first header is `first`, row by row.
fn table(first: &str) -> Vec<Vec<String>> {
    let readme = readme();
    let rows = readme.lines().skip_while(|line| !line.starts_with(&format!("| {first} |"))).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_string()).collect()).collect()
}

#[test]
fn the_readmes_table_of_failures_equals_the_codes() {
    let codes: Vec<_> = Code::ALL
        .iter()
        .map(|code| vec![format!("`{code}`"), code.meaning().to_string(), code.look().to_string()])
        .collect();
    assert_eq!(table("code"), codes);
}

#[test]
fn the_readmes_table_of_keys_equals_the_codes() {
    let row = |key: &Key| {
        let default = key.default.map_or("none".to_string(), |default| format!("`{default}`"));
        vec![format!("`guest_init.{}`", key.name), key.value.to_string(), default]
    };
    assert_eq!(table("key"), KEYS.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn the_readmes_bounds_equal_the_codes() {
    assert_eq!((MOST_ENTRIES, MOST_STEPS), (512, 2048));
    assert!(prose().contains("At most 512 entries, 2,048 modules."));
}

/// The longest command lines of all machines, as README.md and guest-init(8) have them.
fn longest_command_lines() -> String {
    let mut lengths: Vec<_> = machine::ALL.iter().map(|machine| machine.longest_command_line()).collect();
    lengths.dedup();
    let of_length = |length: usize| {
        let names = machine::ALL.iter().filter(|machine| machine.longest_command_line() == length);
        let names = names.map(|machine| machine.name).collect::<Vec<_>>().join(", ");
        let names = names.rsplit_once(", ").map_or(names.clone(), |(others, last)| format!("{others} and {last}"));
        format!("{},{:03} bytes on {names}", length / 1000, length % 1000)
    };
    lengths.into_iter().map(of_length).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_documented_limits_of_command_lines_are_those_of_the_machines() {
    let expected = longest_command_lines();
    let page = include_str!("../../src/bin/guest-image/docs/man/guest_init/introduction.rs");
    let page = page.split_whitespace().filter(|word| *word != "\\").collect::<Vec<_>>().join(" ");
    for text in [prose(), page] {
        assert!(text.contains(&format!(": {expected}. ")), "{expected}");
    }
}

/// The sources of the boot tests without their blanks, because a line may end inside a call.
fn boot_tests() -> String {
    let texts = files_below("tests/boot").into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.split_whitespace().map(String::from).collect::<Vec<_>>()).collect()
}

#[test]
fn every_failure_has_a_boot_test() {
    let tests = boot_tests();
    // The assertions of `Console` that a VM ended with a code.
    let ends = |code: &Code| ["failed", "timed_out", "ended"].map(|call| format!(".{call}(Code::{code:?},"));
    let untested: Vec<_> = Code::ALL.iter().filter(|code| !ends(code).iter().any(|end| tests.contains(end))).collect();
    assert!(untested.is_empty(), "no test in tests/boot ends with {untested:?}");
}

#[test]
fn the_diagram_is_drawn_from_its_source() {
    let file = |name| std::fs::read_to_string(format!("{}/src/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    // Graphviz escapes the minus.
    let (source, drawing) = (file("boot.dot"), file("boot.svg").replace("&#45;", "-"));
    let labels = source.split("label=\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(label, _)| label);
    let written: Vec<_> = labels.flat_map(|label| label.split("\\n")).flat_map(|line| line.split("\\l")).collect();
    assert!(written.len() > 20, "{written:?}");
    for line in written.into_iter().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(
            drawing.contains(&format!("{line}</text>")),
            "src/boot.svg has no {line:?}: draw it anew from src/boot.dot"
        );
    }
}

/// The files of a folder of this repository, and of all folders below it.
fn files_below(folder: &str) -> Vec<std::path::PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files
}

/// The rules that `text` cites, such as `MODPROBE.md 5.3, 5.4`. Comments are joined first, since a line may end inside
/// a citation.
fn cited_rules(text: &str) -> Vec<String> {
    let words = text.split_whitespace().filter(|word| !matches!(*word, "//" | "///" | "//!"));
    let text = words.collect::<Vec<_>>().join(" ");
    let citations = text.split("MODPROBE.md ").skip(1);
    let numbers = citations.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit() && !"., ".contains(c)).next());
    let rules = numbers.flat_map(|numbers| numbers.split([',', ' '])).map(|rule| rule.trim_end_matches('.'));
    rules.filter(|rule| !rule.is_empty()).map(String::from).collect()
}

#[test]
fn every_rule_of_modprobe_that_is_cited_exists() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/src/resolve/MODPROBE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let headings = page.lines().filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")));
    let rules: Vec<_> = headings.filter_map(|heading| heading.split(' ').next()).collect();
    let mut count = 0;
    for file in ["src", "tests"].into_iter().flat_map(files_below) {
        if file.extension().is_some_and(|extension| extension == "rs") {
            for rule in cited_rules(&std::fs::read_to_string(&file).unwrap()) {
                assert!(rules.contains(&rule.as_str()), "{}: MODPROBE.md has no rule {rule}", file.display());
                count += 1;
            }
        }
    }
    assert!(count > 10, "only {count} citations found");
}

#[test]
fn citations_are_found_across_lines() {
    assert_eq!(cited_rules("/// (MODPROBE.md 5.3,\n/// 10.4). MODPROBE.md 6."), ["5.3", "10.4", "6"]);
}
