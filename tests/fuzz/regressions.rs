//! The seeds and past findings of the fuzz targets, run through the same code without a fuzzer.
//!
//! An input in tests/fixtures/fuzz/TARGET once broke an assertion of `targets`. `scripts/test fuzz` looks for more.

#[path = "targets/mod.rs"]
mod targets;

use std::path::Path;

/// Runs a target on every file of its folder, which may be missing, and returns the number of files.
fn replay(folder: &Path, (name, target): targets::Target) -> usize {
    let Ok(files) = std::fs::read_dir(folder.join(name)) else { return 0 };
    let mut count = 0;
    for file in files {
        let path = file.expect("an entry").path();
        // The test harness prints this only if the target fails.
        println!("{}", path.display());
        target(&std::fs::read(&path).expect("an input"));
        count += 1;
    }
    count
}

fn folder(below: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(below)
}

#[test]
fn every_seed_holds() {
    for target in targets::ALL {
        assert!(replay(&folder("fuzz/seeds"), target) > 0, "{} has no seed", target.0);
    }
}

#[test]
fn every_finding_holds() {
    for target in targets::ALL {
        replay(&folder("fixtures/fuzz"), target);
    }
}

#[test]
fn every_program_and_folder_belongs_to_a_target() {
    for below in ["fuzz/fuzz_targets", "fuzz/seeds", "fixtures/fuzz"] {
        let Ok(entries) = std::fs::read_dir(folder(below)) else { continue };
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").path().file_stem().expect("a name").to_owned()).collect();
        names.sort();
        let is_target = |name: &std::ffi::OsString| targets::ALL.iter().any(|(target, _)| name == target);
        assert!(names.iter().all(is_target), "{below}: {names:?}");
        assert!(below != "fuzz/fuzz_targets" || names.len() == targets::ALL.len(), "{names:?}");
    }
}
