//! guest-image check on what a kernel decides: which modules it takes, and which tree is its own.

use guest_init::machine::{self, Machine, S390X, X86_64};

use super::place::{MAGIC, Place};
use super::prints;
use crate::support::module::{module, module_for};
use crate::support::program::init;
use crate::support::signature::Key;

#[test]
fn modules_of_another_kernel_are_reported() {
    let place = Place::new();
    let old = "failure: load old: ENOEXEC: built for 0.9, this kernel is 1.0 (exit 0x42)";
    let torn = "failure: load torn: ENOEXEC: the file is not a module, or it is truncated (exit 0x41)";
    let broken = "failure: load broken: ENOEXEC: the file is not a module, or it is truncated (exit 0x41)";
    let looks =
        ["note: 0x41: look at the file named; the original of the file", "note: 0x42: look at the two versions named"];
    let kin = "failure: load kin: ENOEXEC: built for 0.9, this kernel is 1.0 (exit 0x42)";
    let end = ["1.0: the VM would panic, exitcode=0x00004200"];
    prints(&place, &["kin; old; torn; broken"], 1, &[&[kin, old, torn, broken], &looks[..], &end].concat());
    place.tree("config", "CONFIG_MODVERSIONS=y\n");
    let kin = "warning: kin: built for 0.9, this kernel is 1.0: it loads only if the versions of its symbols are this kernel's";
    prints(&place, &["kin; old; torn; broken"], 1, &[&[old, torn, broken], &looks[..], &[kin], &end].concat());
    let passed_over = [
        "warning: old: optional, passed over: built for 0.9, this kernel is 1.0",
        "warning: torn: optional, passed over: the file is not a module, or it is truncated",
    ];
    let conclusion = ["1.0: the VM would load 0 modules and start its agent"];
    // The modules behind the one that fails are not tried.
    place.file("root/etc/modprobe.d/a.conf", "softdep old post: bus\n");
    prints(&place, &["?old; ?torn"], 0, &[&passed_over[..], &conclusion].concat());
}

#[test]
fn modules_for_another_machine_are_refused() {
    let place = Place::new();
    place.file("root/sbin/guest-init", init());
    for machine in machine::ALL.into_iter().filter(|machine| **machine != X86_64) {
        place.tree("kernel/bus.ko", module_for(machine, &[MAGIC], b""));
        let line = format!("failure: load bus: ENOEXEC: built for {machine}, this machine is x86_64 (exit 0x41)");
        let outcome = place.check(&["bus"]);
        assert_eq!((outcome.status, outcome.out.lines().next()), (1, Some(&line[..])));
    }
    // A little-endian s390x.
    place.tree("kernel/bus.ko", module_for(&Machine { big_endian: false, ..S390X }, &[MAGIC], b""));
    let line = "failure: load bus: ENOEXEC: built for another machine, this machine is x86_64 (exit 0x41)";
    assert_eq!(place.check(&["bus"]).out.lines().next(), Some(line));
}

#[test]
fn modules_that_the_kernel_would_refuse_are_reported() {
    let place = Place::new();
    let first = |arguments: &[&str]| place.check(arguments).out.lines().next().unwrap().to_string();
    let forbidden = |reason: &str| format!("failure: load bus: EPERM: {reason} (exit 0x46)");
    let by_word = "`module_blacklist=` on the kernel command line names it";
    assert_eq!(first(&["bus", "--cmdline", "module_blacklist=x,bus"]), forbidden(by_word));
    assert_eq!(first(&["bus", "--cmdline", "nomodule"]), forbidden("`nomodule` on the kernel command line"));
    assert_eq!(first(&["bus", "--cmdline", "quiet -- nomodule"]), "insmod kernel/bus.ko");

    let unsigned = "failure: load bus: EKEYREJECTED: it has no signature, and this kernel requires one (exit 0x45)";
    assert_eq!(first(&["bus", "--cmdline", "module.sig_enforce"]), unsigned);
    place.tree("config", "CONFIG_MODULE_SIG_FORCE=y\n");
    assert_eq!(first(&["bus"]), unsigned);
    let signed = Key::on_curve("any", "P-256").sign(&module(&[MAGIC], b""), "sha256");
    place.tree("kernel/bus.ko", signed);
    assert_eq!(first(&["bus"]), "insmod kernel/bus.ko", "the kernel's keys are not known");
}

#[test]
fn the_kernel_image_chooses_the_module_tree() {
    let place = Place::new();
    place.kernel("1.0");
    prints(
        &place,
        &["--kernel", "vmlinuz", "bus"],
        0,
        &[
            "insmod kernel/bus.ko",
            "warning: the kernel in --kernel can't be read: its payload is missing or not whole; only its release is \
             compared, no version magic",
            "note: the configuration of the kernel was not found, so guest-image can't know whether it requires \
             signatures",
            "1.0: the VM would load 1 module and start its agent",
        ],
    );
    place.kernel("1.1");
    prints(
        &place,
        &["--kernel", "vmlinuz", "bus"],
        1,
        &[
            "failure: plan root/lib/modules/1.1: ENOENT: the directory can't be opened; there is 1.0 (exit 0x30)",
            "note: 0x30: look at uname -r against the image's /lib/modules; whether depmod was run",
            "1.1: the VM would panic, exitcode=0x00003000",
        ],
    );
    let outcome = place.check(&["--kernel", "vmlinuz", "--release", "1.0", "bus"]);
    assert_eq!(
        (outcome.status, &outcome.err[..]),
        (2, "guest-image: --release 1.0: --kernel is 1.1; leave --release out\n")
    );
}

#[test]
fn the_decompressor_of_a_module_is_reported_if_it_is_known() {
    let place = Place::new();
    let note = || {
        let out = place.check(&["packed"]).out;
        out.lines().find(|line| line.starts_with("note: ")).map(String::from)
    };
    let packed = zstd::encode_all(&module(&[MAGIC], b"")[..], 1).unwrap();
    place.tree("kernel/packed.ko.zst", packed);
    place.tree("modules.dep", "kernel/packed.ko.zst:\n");
    let unknown = "note: 1 module in zstd: guest-init decompresses them if this kernel can't";
    assert_eq!(note().as_deref(), Some(unknown));
    place.file("root/boot/config-1.0", "CONFIG_MODULE_COMPRESS_XZ=y\nCONFIG_MODULE_DECOMPRESS=y\n");
    let guest = "note: 1 module in zstd, which this kernel can't decompress: guest-init does";
    assert_eq!(note().as_deref(), Some(guest));
    place.tree("config", "CONFIG_MODULE_COMPRESS_ZSTD=y\nCONFIG_MODULE_DECOMPRESS=y\n");
    assert_eq!(note(), None);
}
