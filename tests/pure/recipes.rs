//! The recipes of CONTRIBUTING.md are followed to their ends: an addition that the compiler accepts, but that lacks one
//! of its other places, fails here.

use std::fs;
use std::path::{Path, PathBuf};

use guest_init::guest::modules::unpack::Format;
use guest_init::machine;
use guest_init::request::keys::KEYS;

/// A file of this repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file, or of all files of a folder and of the folders in it.
fn text(path: &Path) -> String {
    match path.is_dir() {
        false => fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        true => fs::read_dir(path).unwrap().map(|entry| text(&entry.unwrap().path())).collect(),
    }
}

/// Asserts that each of these places has its text.
fn found(what: &str, places: &[(&str, &str)]) {
    for (path, expected) in places {
        assert!(text(&file(path)).contains(expected), "{what}: {path} has no `{expected}`");
    }
}

#[test]
fn a_key_has_a_boot_test() {
    for key in KEYS {
        found(key.name, &[("tests/boot", &format!("guest_init.{}=", key.name))]);
    }
}

/// The versions that scripts/kernel knows: the patterns of its `case`, each with a suite.
fn kernels() -> Vec<String> {
    let script = text(&file("scripts/kernel"));
    let lines = script.lines().filter_map(|line| line.trim().split_once(") suite="));
    lines.map(|(version, _)| version.to_string()).collect()
}

#[test]
fn a_kernel_has_its_stages_and_its_differential_tests() {
    let kernels = kernels();
    assert!(kernels.len() >= 3, "{kernels:?}");
    for version in kernels {
        let places = [
            ("tests/oracle/plans.rs", &*format!("real_kernel(\"x86_64\", \"{version}\")")),
            ("tests/oracle/modprobe.rs", &format!("kernel(\"{version}\")")),
            ("tests/host/check/real.rs", &format!("\"{version}\"")),
        ];
        found(&version, &places);
        let stages = text(&file("scripts/test"));
        // The stages of a whole run, each quoted: 'boot 6.1', "$others 6.12".
        let boots = ["'boot", "\"$others"].iter().any(|stage| stages.contains(&format!("{stage} {version}")));
        assert!(boots, "{version}: scripts/test has no stage that boots it");
    }
}

#[test]
fn a_boot_that_a_stage_names_exists() {
    let stages = text(&file("scripts/test"));
    let words = stages.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':'));
    let is_module = |name: &str| file(&format!("tests/boot/{name}.rs")).exists();
    let is_boot = |(module, name): &(&str, &str)| !name.is_empty() && module.split("::").next().is_some_and(is_module);
    let names: Vec<_> = words.filter_map(|word| word.rsplit_once("::")).filter(is_boot).collect();
    assert!(names.len() > 10, "{names:?}");
    for (module, name) in names {
        found(name, &[(&format!("tests/boot/{}.rs", module.replace("::", "/")), &format!("fn {name}"))]);
    }
}

#[test]
fn an_architecture_has_its_start_its_scripts_and_its_machine() {
    let starts = fs::read_dir(file("src/bare/start")).unwrap().map(|entry| text(&entry.unwrap().path()));
    let starts: Vec<_> = starts.collect();
    for machine in machine::ALL {
        let row = format!("MACHINE: &Machine = &machine::{};", machine.name.to_uppercase());
        assert!(starts.iter().any(|start| start.contains(&row)), "{machine}: src/bare/start has no file with `{row}`");
        let places = [
            ("scripts/lib/arch.sh", &*format!("\n    {machine})\n")),
            ("tests/support/machine.rs", &format!("name: \"{machine}\"")),
        ];
        found(machine.name, &places);
    }
    // The other file is mod.rs.
    assert_eq!(starts.len(), machine::ALL.len() + 1, "an architecture of src/bare/start has no row in src/machine.rs");
}

#[test]
fn a_compressed_format_has_seeds_and_its_decoder_a_place_in_the_linker_script() {
    for format in Format::ALL {
        let suffix = format.suffix();
        let seeds = fs::read_dir(file("tests/fuzz/seeds/unpack")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(
            seeds.into_iter().any(|name| name.to_str().unwrap().ends_with(suffix)),
            "{}: tests/fuzz/seeds/unpack has no file {suffix}",
            format.name()
        );
        found(format.name(), &[("scripts/lib/fuzz.sh", &format!("dummy.ko{suffix}"))]);
    }
}

#[test]
fn a_decoder_lies_behind_the_code_of_every_boot() {
    let manifest = text(&file("Cargo.toml"));
    let crates = manifest.lines().find_map(|line| line.strip_prefix("decompress = [")).unwrap();
    let crates: Vec<_> = crates.split('"').filter_map(|word| word.strip_prefix("dep:")).collect();
    assert!(!crates.is_empty());
    for decoder in crates {
        let [data, code] = [".rodata", ".text"].map(|section| format!("{section}.*{}*", decoder.replace('-', "_")));
        found(decoder, &[("scripts/lib/guest.ld", &*data), ("scripts/lib/guest.ld", &code)]);
    }
}
