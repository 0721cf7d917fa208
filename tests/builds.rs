//! Other builds of guest-init than the one that scripts/build makes by default, each in a VM.
//!
//! Cargo builds them for the host's own architecture, so `scripts/test` runs this program for that architecture only.

mod support;

use std::path::Path;
use std::process::Command;

use guest_init::failure::Code;
use support::Image;
use support::scene::{boot, small};

/// The image with a dynamic program in place of guest-init, and the libraries that ldd(1) lists for it.
fn with_dynamic_init(image: Image, program: &str) -> Image {
    let output = Command::new("ldd").arg(program).output().expect("ldd runs");
    let output = String::from_utf8(output.stdout).expect("ldd prints text");
    // A line is `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the loader. The vDSO has no path.
    let libraries = output.lines().flat_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    let image = image.add(Path::new(program), "/sbin/guest-init");
    libraries.fold(image, |image, library| image.add(Path::new(library), library))
}

#[test]
fn an_ordinary_build_refuses_to_be_pid_1() {
    let image = with_dynamic_init(small(), env!("CARGO_BIN_EXE_guest-init"));
    let line = "bug guest-init: ENOEXEC: an ordinary build with std, for tests on a host";
    boot(image, "guest_init.modules=dummy guest_init.jobs=2").failed(Code::WrongBuild, line);
}
