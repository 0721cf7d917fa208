//! guest-image check on the trees of three kernels: plain modules, compressed ones, and a tree of several packages. On
//! those of other architectures: the forms of their kernels.

use std::fs;

use super::place::Outcome;
use super::place::Place;
use crate::support::Kernel;
use crate::support::scene::replace;
use crate::support::signature::unsigned;

const LIST: &str = "e1000e InterruptThrottleRate=3000,3000,3000 EEE=1; i915; fs-ext4; ?nosuch";

fn check(kernel: &Kernel, arguments: &[&str]) -> Outcome {
    let directory = kernel.directory.to_str().unwrap();
    Place::new().run(&[&["check", "--root", directory], arguments].concat())
}

#[test]
fn three_kernels_load_the_list_of_the_demonstration() {
    for (version, count, compressed) in [("6.1", 12, false), ("6.12", 12, true), ("7.2", 13, true)] {
        let kernel = Kernel::version(version);
        let image = kernel.directory.join("vmlinuz");
        let outcome = check(&kernel, &["--kernel", image.to_str().unwrap(), LIST]);
        assert_eq!((outcome.status, &outcome.err[..]), (0, ""), "{}", outcome.out);
        let steps: Vec<_> = outcome.out.lines().take_while(|line| line.starts_with("insmod ")).collect();
        assert!(steps[0].ends_with(" InterruptThrottleRate=3000,3000,3000 EEE=1"), "{}", steps[0]);
        let i915 = steps.iter().position(|line| line.contains("/i915/i915.ko")).unwrap();
        assert_eq!(i915 + 1, count, "{}", outcome.out);
        let has = |text: &str| assert!(outcome.out.lines().any(|line| line.contains(text)), "{text}: {}", outcome.out);
        has("warning: e1000e EEE=1: ignored");
        has("    InterruptThrottleRate (array of int): Interrupt Throttling Rate");
        has("warning: nosuch: optional, passed over");
        has("firmware files not in ");
        has(&format!("{}: the VM would load {} modules, and its agent is missing", kernel.release, steps.len()));
        // Each of these kernels can decompress its own modules.
        assert!(!outcome.out.contains("decompress"), "{}", outcome.out);
        assert_eq!(steps[0].contains(".ko.xz"), compressed);
    }
}

#[test]
fn an_uncompressed_kernel_gives_the_same_findings() {
    let kernel = Kernel::version("7.2");
    let [packed, plain] = ["vmlinuz", "vmlinux"].map(|name| {
        let image = kernel.directory.join(name);
        check(&kernel, &["--kernel", image.to_str().unwrap(), LIST])
    });
    assert_eq!(packed, plain);
}

#[test]
fn a_module_of_the_same_release_built_otherwise_is_refused() {
    let kernel = Kernel::version("7.2");
    let place = Place::new();
    let module = replace(&unsigned(&kernel.plain("dummy")), b" SMP preempt mod_unload", b" SMP preemqt mod_unload");
    let tree = format!("root/lib/modules/{}", kernel.release);
    place.file(&format!("{tree}/kernel/dummy.ko"), module);
    place.file(&format!("{tree}/modules.dep"), "kernel/dummy.ko:\n");
    let image = kernel.directory.join("vmlinuz");
    let release = &kernel.release;
    let outcome = place.check(&["--kernel", image.to_str().unwrap(), "dummy"]);
    let expected = format!(
        "failure: load dummy: ENOEXEC: built for {release} SMP preemqt mod_unload, this kernel is {release} SMP preempt \
         mod_unload (exit 0x42)"
    );
    assert_eq!((outcome.status, outcome.out.lines().next()), (1, Some(&expected[..])), "{}", outcome.err);
    // Without the kernel's image only the release is compared.
    assert_eq!(place.check(&["--release", release, "dummy"]).status, 0);
}

#[test]
fn modules_of_another_release_in_the_kernels_own_tree_are_refused() {
    // Both kernels compare the versions of symbols, not releases.
    let (kernel, other) = (Kernel::version("6.1"), Kernel::version("6.12"));
    let place = Place::new();
    let tree = format!("root/lib/modules/{}", kernel.release);
    place.file(&format!("{tree}/kernel/dummy.ko"), other.plain("dummy"));
    place.file(&format!("{tree}/modules.dep"), "kernel/dummy.ko:\n");
    let image = kernel.directory.join("vmlinuz");
    let outcome = place.check(&["--kernel", image.to_str().unwrap(), "dummy"]);
    let first = outcome.out.lines().next().unwrap();
    let expected = format!("failure: load dummy: ENOEXEC: built for {} ", other.release);
    assert!(first.starts_with(&expected) && first.contains(": it needs another version of "), "{outcome:?}");
    assert_eq!(outcome.status, 1);
    // The release differs, and the versions are the kernel's: the kernel takes the module.
    let magic = |first: &str| format!("vermagic={first}{}", &kernel.release[1..]);
    let own = replace(&unsigned(&kernel.plain("dummy")), magic("6").as_bytes(), magic("5").as_bytes());
    place.file(&format!("{tree}/kernel/dummy.ko"), own);
    let outcome = place.check(&["--kernel", image.to_str().unwrap(), "dummy"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
}

/// Kernels whose form no other architecture here has: Debian's s390x is a bzImage of s390, ppc64le a vmlinux, and
/// riscv64 an Image.
const OTHERS: [(&str, &str); 3] = [("s390x", "6.1"), ("ppc64le", "6.1"), ("riscv64", "6.12")];

#[test]
fn a_kernel_of_another_architecture_is_read_and_takes_its_own_modules_alone() {
    for (arch, version) in OTHERS {
        let kernel = Kernel::of(arch, version);
        let image = kernel.directory.join("vmlinuz");
        let image = image.to_str().unwrap();
        let outcome = check(&kernel, &["--kernel", image, "virtio_net csum=0; ext4; tun"]);
        assert_eq!((outcome.status, &outcome.err[..]), (0, ""), "{}", outcome.out);
        assert!(!outcome.out.contains("can't be read"), "{}", outcome.out);

        let place = Place::new();
        let tree = format!("root/lib/modules/{}", kernel.release);
        place.file(&format!("{tree}/kernel/dummy.ko"), Kernel::of("x86_64", "6.1").plain("dummy"));
        place.file(&format!("{tree}/modules.dep"), "kernel/dummy.ko:\n");
        let outcome = place.check(&["--kernel", image, "dummy"]);
        let line =
            |subject: &str| format!("failure: {subject}: ENOEXEC: built for x86_64, this machine is {arch} (exit ");
        let failures: Vec<_> = outcome.out.lines().filter(|line| line.starts_with("failure: ")).collect();
        assert!(failures[0].starts_with(&line("load dummy")), "{}", outcome.out);
        assert!(failures[1].starts_with(&line("start /sbin/agent")), "{}", outcome.out);
    }
}

#[test]
fn a_vmlinux_of_ppc64le_has_the_versions_of_its_symbols() {
    let kernel = Kernel::of("ppc64le", "6.1");
    let place = Place::new();
    fs::remove_file(place.path("root/sbin/agent")).unwrap();
    let tree = format!("root/lib/modules/{}", kernel.release);
    let mut module = unsigned(&kernel.plain("dummy"));
    let name = b"\0_mcount\0";
    let at = module.windows(name.len()).position(|window| window == name).expect("dummy needs _mcount");
    // Before the name, which has 56 bytes, stands the version, of which eight bytes are kept and four are zero.
    let version = at + 1 - 8;
    module[version] ^= 1;
    place.file(&format!("{tree}/kernel/dummy.ko"), module);
    place.file(&format!("{tree}/modules.dep"), "kernel/dummy.ko:\n");
    let image = kernel.directory.join("vmlinuz");
    let outcome = place.check(&["--kernel", image.to_str().unwrap(), "dummy"]);
    let line = format!("built for another {}: it needs another version of _mcount", kernel.release);
    assert!(outcome.status == 1 && outcome.out.lines().next().unwrap().contains(&line), "{outcome:?}");
}

#[test]
fn the_tree_of_another_kernel_is_not_found() {
    let (kernel, other) = (Kernel::version("6.1"), Kernel::version("6.12"));
    let image = other.directory.join("vmlinuz");
    let outcome = check(&kernel, &["--kernel", image.to_str().unwrap(), LIST]);
    let there = format!("; there is {} (exit 0x30)", kernel.release);
    assert!(outcome.status == 1 && outcome.out.lines().next().unwrap().ends_with(&there), "{outcome:?}");
}
