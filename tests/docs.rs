//! The README's tables are the code's.

use guest_init::failure::Code;
use guest_init::request::keys::{KEYS, Key};
use guest_init::request::{MOST_ENTRIES, keys};
use guest_init::resolve::plan::MOST_STEPS;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The cells of the rows below the header that begins with `first`.
fn table(first: &str) -> Vec<Vec<String>> {
    let readme = readme();
    let rows = readme.lines().skip_while(|line| !line.starts_with(&format!("| {first} |"))).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_string()).collect()).collect()
}

#[test]
fn the_table_of_failures_is_that_of_the_code() {
    let codes: Vec<_> = Code::ALL
        .iter()
        .map(|code| vec![format!("`{code}`"), code.meaning().to_string(), code.look().to_string()])
        .collect();
    assert_eq!(table("code"), codes);
}

#[test]
fn the_table_of_keys_is_that_of_the_code() {
    let row = |key: &Key| {
        let default = key.default.map_or("none".to_string(), |default| format!("`{default}`"));
        vec![format!("`guest_init.{}`", key.name), key.value.to_string(), default]
    };
    assert_eq!(table("key"), KEYS.iter().map(row).collect::<Vec<_>>());
    let (mut told, mut taken): (Vec<_>, Vec<_>) = (KEYS.iter().map(|key| key.name).collect(), keys().collect());
    told.sort();
    taken.sort();
    assert_eq!(told, taken);
}

#[test]
fn the_bounds_are_those_of_the_code() {
    assert_eq!((MOST_ENTRIES, MOST_STEPS), (512, 2048));
    assert!(readme().contains("At most 512 entries, 2,048 modules."));
}

#[test]
fn every_failure_has_a_boot_test() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let tests: String =
        files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let is_tested = |code: &Code| tests.contains(&format!("(Code::{code:?},"));
    let untested: Vec<_> = Code::ALL.iter().filter(|code| !is_tested(code)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn the_diagram_is_drawn_from_its_source() {
    let file = |name| std::fs::read_to_string(format!("{}/src/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    // Graphviz escapes what a minus could be taken for.
    let (source, drawing) = (file("boot.dot"), file("boot.svg").replace("&#45;", "-"));
    let labels = source.split("label=\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(label, _)| label);
    let written: Vec<_> = labels.flat_map(|label| label.split("\\n")).flat_map(|line| line.split("\\l")).collect();
    assert!(written.len() > 20, "{written:?}");
    for line in written.into_iter().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(drawing.contains(&format!("{line}</text>")), "{line:?}: draw src/boot.svg anew");
    }
}
