//! Other builds of guest-init than the one that scripts/build makes by default, each in a VM.
//!
//! Cargo builds them for the host's own architecture, so `scripts/test` runs these tests for that architecture only.

use std::path::{Path, PathBuf};
use std::process::Command;

use guest_init::failure::Code;

use crate::support::scene::{boot, small};
use crate::support::{Image, Kernel, Vm, root};

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

/// guest-init without decoders, as the README says to build it, in a target folder of its own.
fn without_decoders() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("without-decoders");
    let mut build = Command::new(root().join("scripts/build"));
    let output = build.args(["--features", ""]).env("CARGO_TARGET_DIR", target).output().expect("scripts/build starts");
    assert!(output.status.success(), "scripts/build: {}", String::from_utf8_lossy(&output.stderr));
    Path::new(String::from_utf8(output.stdout).expect("a path in UTF-8").trim()).join("guest-init")
}

/// A kernel that decompresses its modules, in xz, itself.
fn decompressing_kernel() -> Kernel {
    Kernel::version("6.12")
}

#[test]
fn without_decoders_compressed_modules_get_their_parameters() {
    let kernel = decompressing_kernel();
    let config = "softdep dummy pre: ifb\noptions ifb numifbs=3\n";
    let image = Image::started_by(&kernel, &without_decoders()).modules("dummy; loop; ifb");
    let image = image.file("/etc/modprobe.d/soft.conf", config, 0o644).build();
    let console = Vm::of(&kernel, &image)
        .append("guest_init.log=debug guest_init.modules=\"dummy numdummies=2 nosuch=1; ?loop max_loop=3\"")
        .run()
        .agent_ran()
        .has("guest-init: plan dummy: EINVAL: the kernel says: dummy: unknown parameter 'nosuch' ignored: ignored")
        .has_not("guest-init: plan loop")
        .has("max_loop=3")
        .has("  dummy1  ")
        .has("  ifb2  ");
    assert_eq!(console.modules(), ["ifb", "dummy", "loop"]);
}

#[test]
fn parameters_outlive_a_look_that_fails() {
    // The kernel stops reading at the end of the xz stream. guest-init's decoder refuses what follows it.
    let kernel = decompressing_kernel();
    let (file, path) = kernel.module("loop");
    let mut module = std::fs::read(file).expect("the module can be read");
    module.extend_from_slice(b"garbage.");
    let image =
        Image::of(&kernel).modules("loop").file(&format!("/lib/modules/{}/{path}", kernel.release), module, 0o644);
    Vm::of(&kernel, &image.build())
        .append("guest_init.strict=1 guest_init.modules=\"?loop max_loop=3\"")
        .run()
        .agent_ran()
        .has("max_loop=3");
}
