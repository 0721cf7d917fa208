//! The project's scripts, called by tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Once, OnceLock};

use super::machine::Machine;

/// The static files that scripts/build makes.
pub fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let target = format!("{}-unknown-linux-gnu", Machine::under_test().arch.rust);
    BUILT.get_or_init(|| script("build", &["--target", &target]).into())
}

/// Runs one of the project's scripts and returns the line it prints.
pub fn script(name: &str, arguments: &[&str]) -> String {
    static SET_UP: Once = Once::new();
    SET_UP.call_once(need_setup);
    let path = root().join("scripts").join(name);
    let output = Command::new(&path).args(arguments).stderr(Stdio::inherit()).output().expect("the script starts");
    assert!(output.status.success(), "{} {arguments:?}: {}", path.display(), output.status);
    String::from_utf8(output.stdout).expect("the script prints text").trim().into()
}

/// Ends this test program with one line if this machine lacks packages: without them each test would fail for itself.
fn need_setup() {
    let setup = Command::new(root().join("scripts/setup"))
        .args(["--check", "--arch", Machine::under_test().arch.name])
        .status();
    if !setup.is_ok_and(|status| status.success()) {
        // A test's output is held back while it runs, but for what is written to the descriptor itself.
        let advice = "these tests boot VMs or call kmod: run scripts/setup first, or `cargo test --lib --test pure` for the others\n";
        let _ = std::io::stderr().write_all(advice.as_bytes());
        std::process::exit(1);
    }
}

/// The project's top folder. The package of a test is there, or in a folder below.
pub fn root() -> &'static Path {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.find(|folder| folder.join("scripts").is_dir()).expect("the project has scripts")
}
