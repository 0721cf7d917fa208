//! guest-image check: VMs with several module trees.

use super::place::{MAGIC, Place};
use super::prints;
use crate::support::module::module;

/// An add-on whose module gpu needs bus of the root's tree, and which has net as well.
fn with_add_on() -> Place {
    let place = Place::new();
    place.file("add/modules/1.0/modules.dep", "gpu.ko:\nnet.ko:\n");
    place.file("add/modules/1.0/gpu.ko", module(&[MAGIC, "depends=bus", "intree=Y"], b""));
    place.file("add/modules/1.0/net.ko", module(&[MAGIC], b""));
    place.file("add/modprobe.d/gpu.conf", "options bus clock=3\nsoftdep gpu post: net\n");
    place.file("root/lib/firmware/net/a.bin", "");
    place.file("root/lib/firmware/net/b-7.bin", "");
    place
}

#[test]
fn an_add_on_on_a_share_needs_modules_of_the_root() {
    let place = with_add_on();
    let cmdline =
        "guest_init.module_dir=/lib/modules guest_init.module_dir=virtiofs:add:/modules guest_init.modules=gpu";
    let soft = "note: kernel/soft.ko: a soft dependency, passed over: modules.dep lists the file, and it is not there";
    let unknown = "warning: bus clock=3: ignored, without guest_init.strict=1: the module has no such parameter";
    let end = "1.0: the VM would load 3 modules and start its agent";
    let lines = &["insmod kernel/bus.ko clock=3", "insmod gpu.ko", "insmod kernel/net.ko", unknown, soft, end];
    prints(&place, &["--share", "add=add", "--cmdline", cmdline], 0, lines);
    place.file("add/modules/1.0/modules.dep", "net.ko:\n");
    let outcome = place.check(&["--share", "add=add", "--cmdline", cmdline]);
    assert!(outcome.out.contains("failure: plan gpu: ENOENT: "), "{outcome:?}");
}

#[test]
fn the_first_module_dir_that_has_a_module_counts() {
    let place = with_add_on();
    let check = |folders: [&str; 2]| {
        let options = folders.map(|folder| ["--module-dir", folder]);
        place.run(&[&["check"], &options.concat()[..], &["net"]].concat()).out
    };
    assert!(check(["root/lib/modules", "add/modules"]).contains("insmod kernel/net.ko"));
    assert!(check(["add/modules", "root/lib/modules"]).starts_with("insmod net.ko"));
    assert!(check(["root/lib/modules", "add"]).contains("failure: plan add/1.0: ENOENT: "));
}
