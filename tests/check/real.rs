//! The same on the trees of real kernels: modules as they are, compressed, and split between /usr and the kernel's own.

use super::place::Place;
use super::support::Kernel;
use super::support::scene::replace;
use crate::place::Said;

const LIST: &str = "e1000e InterruptThrottleRate=3000,3000,3000 EEE=1; i915; fs-ext4; ?nosuch";

fn check(kernel: &Kernel, arguments: &[&str]) -> Said {
    let directory = kernel.directory.to_str().unwrap();
    Place::new().run(&[&["check", "--root", directory], arguments].concat())
}

#[test]
fn three_kernels_take_the_list_of_the_demonstration() {
    for (version, count, compressed) in [("6.1", 12, false), ("6.12", 12, true), ("7.2", 13, true)] {
        let kernel = Kernel::version(version);
        let image = kernel.directory.join("vmlinuz");
        let said = check(&kernel, &["--kernel", image.to_str().unwrap(), LIST]);
        assert_eq!((said.status, &said.err[..]), (0, ""), "{}", said.out);
        let steps: Vec<_> = said.out.lines().take_while(|line| line.starts_with("insmod ")).collect();
        assert!(steps[0].ends_with(" InterruptThrottleRate=3000,3000,3000 EEE=1"), "{}", steps[0]);
        let i915 = steps.iter().position(|line| line.contains("/i915/i915.ko")).unwrap();
        assert_eq!(i915 + 1, count, "{}", said.out);
        let has = |text: &str| assert!(said.out.lines().any(|line| line.contains(text)), "{text}: {}", said.out);
        has("warning: e1000e EEE=1: ignored");
        has("    InterruptThrottleRate (array of int): Interrupt Throttling Rate");
        has("warning: nosuch: optional, passed over");
        has("firmware files not in ");
        has(&format!("{}: the VM would load {} modules and start its agent", kernel.release, steps.len()));
        // Each of them decompresses what its own modules are compressed with.
        assert!(!said.out.contains("decompress"), "{}", said.out);
        assert_eq!(steps[0].contains(".ko.xz"), compressed);
    }
}

#[test]
fn a_kernel_that_is_not_compressed_says_the_same() {
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
    let module = replace(&kernel.plain("dummy"), b" SMP preempt mod_unload", b" SMP preemqt mod_unload");
    let tree = format!("root/lib/modules/{}", kernel.release);
    place.file(&format!("{tree}/kernel/dummy.ko"), module);
    place.file(&format!("{tree}/modules.dep"), "kernel/dummy.ko:\n");
    let image = kernel.directory.join("vmlinuz");
    let release = &kernel.release;
    let said = place.check(&["--kernel", image.to_str().unwrap(), "dummy"]);
    let expected = format!(
        "failure: load dummy: ENOEXEC: built for {release} SMP preemqt mod_unload, this kernel is {release} SMP preempt \
         mod_unload (exit 0x42)"
    );
    assert_eq!((said.status, said.out.lines().next()), (1, Some(&expected[..])), "{}", said.err);
    // Without the image there is only the release to go by.
    assert_eq!(place.check(&["--release", release, "dummy"]).status, 0);
}

#[test]
fn the_tree_of_another_kernel_is_not_found() {
    let (kernel, other) = (Kernel::version("6.1"), Kernel::version("6.12"));
    let image = other.directory.join("vmlinuz");
    let said = check(&kernel, &["--kernel", image.to_str().unwrap(), LIST]);
    let there = format!("; there is {} (exit 0x30)", kernel.release);
    assert!(said.status == 1 && said.out.lines().next().unwrap().ends_with(&there), "{said:?}");
}
