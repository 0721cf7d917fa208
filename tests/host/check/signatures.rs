//! guest-image check on the signatures of modules: whether the kernel in the image accepts them.

use guest_init::machine::X86_64;

use super::place::{MAGIC, Place};
use crate::support::Kernel;
use crate::support::module::{elf, module};
use crate::support::signature::{Key, append, unsigned};

const ENROLLED: &str = "; keys enrolled at run time (MOK, UEFI db) can't be seen here";

/// Writes a kernel with these certificates, which checks signatures, as `vmlinux`.
fn kernel(place: &Place, keys: &[&Key]) {
    let first = keys.first().map_or(0, |key| key.certificate().len());
    kernel_with(place, keys, first);
}

/// The same with another number in place of the size of the first certificate.
fn kernel_with(place: &Place, keys: &[&Key], first: usize) {
    const PROGRAM: u16 = 2;
    let mut keyring: Vec<_> = keys.iter().flat_map(|key| key.certificate()).collect();
    let size = keyring.len();
    keyring.resize(size.next_multiple_of(8), 0);
    keyring.extend([size, first].map(usize::to_le_bytes).concat());
    let texts = format!("\0Linux version 1.0 (gcc)\n\0{}\0", &MAGIC["vermagic=".len()..]);
    place.file("vmlinux", elf(&X86_64, PROGRAM, &[(".init.rodata", &keyring), (".rodata", texts.as_bytes())]));
    place.tree("config", "CONFIG_MODULE_SIG=y\nCONFIG_SECURITY_LOCKDOWN_LSM=y\n");
}

/// The lines of a check of `bus` but the last, and whether the VM starts.
#[track_caller]
fn check(place: &Place, words: &str) -> (Vec<String>, bool) {
    let outcome = place.check(&["--kernel", "vmlinux", "--cmdline", words, "bus"]);
    assert_eq!(outcome.err, "");
    let mut lines: Vec<_> = outcome.out.lines().map(String::from).collect();
    lines.pop();
    lines.retain(|line| !line.starts_with("insmod ") && !line.starts_with("note: 0x"));
    (lines, outcome.status == 0)
}

/// Asserts that the VM ends with a failure of this text, whatever the command line has.
#[track_caller]
fn refuses_always(place: &Place, line: &str) {
    for words in ["", "lockdown=integrity", "module.sig_enforce"] {
        assert_eq!(check(place, words), (vec![format!("failure: load bus: {line} (exit 0x45)")], false), "{words}");
    }
}

/// Asserts that the kernel refuses a module with this text where it requires signatures or is locked down, and is
/// tainted elsewhere.
#[track_caller]
fn refuses_if_required(place: &Place, text: &str, note: &str) {
    let failure =
        |errno: &str, text: &str, code: &str| vec![format!("failure: load bus: {errno}: {text} (exit {code})")];
    let required = (failure("EKEYREJECTED", text, "0x45"), false);
    assert_eq!(check(place, "module.sig_enforce=1"), required);
    let locked = (failure("EPERM", &format!("lockdown: {text}"), "0x46"), false);
    assert_eq!(check(place, "lockdown=integrity"), locked);
    assert_eq!(check(place, "lockdown=confidentiality"), locked);
    let taken = (vec![format!("note: 1 module: {note}: the kernel takes it, and is tainted")], true);
    assert_eq!(check(place, "lockdown=none"), taken);
    place.tree("config", "CONFIG_MODULE_SIG=y\n");
    assert_eq!(check(place, "lockdown=integrity"), taken, "a kernel without lockdown");
    place.tree("config", "CONFIG_MODULE_SIG_FORCE=y\n");
    assert_eq!(check(place, ""), required);
    place.tree("config", "CONFIG_MODULE_SIG=y\nCONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY=y\n");
    assert_eq!(check(place, ""), locked);
    place.tree("config", "CONFIG_MODULES=y\n");
    assert_eq!(check(place, "module.sig_enforce"), (vec![], true), "a kernel that knows no signatures");
}

#[test]
fn modules_signed_by_the_kernels_keys_are_taken() {
    let place = Place::new();
    let rsa = Key::new("rsa", &["rsa:2048"]);
    let keys = [&rsa, &Key::on_curve("p256", "P-256"), &Key::on_curve("p384", "P-384")];
    kernel(&place, &keys);
    let module = module(&[MAGIC], b"");
    for (key, digest) in keys.into_iter().flat_map(|key| ["sha256", "sha384", "sha512"].map(|digest| (key, digest))) {
        place.tree("kernel/bus.ko", key.sign(&module, digest));
        assert_eq!(check(&place, "module.sig_enforce"), (vec![], true), "{} {digest}", key.name);
        let mut damaged = key.sign(&module, digest);
        damaged[module.len() - 1] ^= 1;
        place.tree("kernel/bus.ko", damaged);
        let line = format!(
            "EKEYREJECTED: signed by {}, and the signature does not fit: the module was changed after that, or the key \
             is revoked",
            key.shown()
        );
        refuses_always(&place, &line);
    }
    let by_key_id = append(&module, 2, &rsa.message(&module, "sha256", &["-noattr", "-keyid"]));
    place.tree("kernel/bus.ko", by_key_id);
    assert_eq!(check(&place, "module.sig_enforce"), (vec![], true));
    let pss = rsa.message(&module, "sha256", &["-noattr", "-keyopt", "rsa_padding_mode:pss"]);
    for (message, digest, signature) in [
        (rsa.message(&module, "sha3-256", &["-noattr"]), "2.16.840.1.101.3.4.2.8", "1.2.840.113549.1.1.1"),
        (pss, "2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.10"),
    ] {
        place.tree("kernel/bus.ko", append(&module, 2, &message));
        let note = format!(
            "note: 1 module: signature not verified: guest-image lacks its algorithms, digest {digest} and signature \
             {signature}"
        );
        assert_eq!(check(&place, "module.sig_enforce"), (vec![note], true));
    }
}

#[test]
fn a_module_signed_by_another_key_is_refused_if_signatures_are_required() {
    let (place, other) = (Place::new(), Key::on_curve("DKMS module signing key", "P-256"));
    kernel(&place, &[&Key::on_curve("kernel", "P-384")]);
    place.tree("kernel/bus.ko", other.sign(&module(&[MAGIC], b""), "sha256"));
    let text = format!("signed by {}, a key that this kernel does not have{ENROLLED}", other.shown());
    refuses_if_required(&place, &text, &text);
    place.tree("config", "CONFIG_MODULE_SIG_FORCE=y\n");
    let outcome = place.check(&["--kernel", "vmlinux", "?bus"]);
    let line = format!("warning: bus: optional, passed over: {text}");
    assert!(outcome.status == 0 && outcome.out.lines().any(|other| other == line), "{outcome:?}");
    let json = place.json(&["--kernel", "vmlinux", "bus"]);
    assert_eq!((&json["code"], &json["failures"][0]["reason"]), (&"0x45".into(), &text.into()));
}

#[test]
fn an_unsigned_module_is_refused_if_signatures_are_required() {
    let place = Place::new();
    kernel(&place, &[&Key::on_curve("kernel", "P-384")]);
    refuses_if_required(&place, "it has no signature, and this kernel requires one", "no signature");
    let key = Key::on_curve("kernel", "P-256");
    kernel(&place, &[&key]);
    let unknown = append(&module(&[MAGIC], b""), 9, b"message");
    place.tree("kernel/bus.ko", unknown);
    let text = "its signature has a type that this kernel does not know";
    refuses_if_required(&place, text, text);
}

#[test]
fn a_signature_that_no_kernel_reads_is_refused_always() {
    let (place, key) = (Place::new(), Key::on_curve("kernel", "P-256"));
    kernel(&place, &[&key]);
    let module = module(&[MAGIC], b"");
    for damaged in [append(&module, 2, b"\x30\x05no"), append(b"", 2, &module)] {
        place.tree("kernel/bus.ko", damaged);
        refuses_always(&place, "EBADMSG: its signature is malformed");
    }
    place.tree("kernel/bus.ko", append(&module, 2, &key.message(&module, "sha256", &[])));
    let (lines, starts) = check(&place, "");
    assert!(!starts && lines[0].contains("EKEYREJECTED: signed by"), "signed attributes: {lines:?}");
}

#[test]
fn certificates_that_are_no_keyring_are_passed_over() {
    let (place, key) = (Place::new(), Key::on_curve("kernel", "P-256"));
    let module = key.sign(&module(&[MAGIC], b""), "sha256");
    place.tree("kernel/bus.ko", module);
    // A list of revoked certificates has its own size behind it, and not that of the first.
    kernel_with(&place, &[&key], 5);
    let note = "note: the keys of the kernel were not found, so guest-image can't know which signatures it accepts";
    assert_eq!(check(&place, "module.sig_enforce"), (vec![note.into()], true));
    // A kernel whose build made no key has 0 there.
    kernel_with(&place, &[&key], 0);
    assert_eq!(check(&place, "module.sig_enforce"), (vec![], true));
}

/// The kernels of Debian's, each with the key of its build: RSA and SHA-256 before 6.12, P-384 and SHA-256 since then.
#[test]
fn real_kernels_take_their_own_modules_alone() {
    let kernels = [("x86_64", "6.1"), ("x86_64", "6.12"), ("x86_64", "7.2"), ("s390x", "6.1")];
    let kernels = [&kernels[..], &[("ppc64le", "6.1"), ("riscv64", "6.12")]].concat();
    for (arch, version) in kernels {
        let kernel = Kernel::of(arch, version);
        let place = Place::new();
        std::fs::remove_file(place.path("root/sbin/agent")).unwrap();
        let tree = format!("root/lib/modules/{}", kernel.release);
        place.file(&format!("{tree}/modules.dep"), "kernel/dummy.ko:\n");
        let image = kernel.directory.join("vmlinuz");
        let first = |module: &[u8], words: &str| {
            place.file(&format!("{tree}/kernel/dummy.ko"), module);
            let outcome = place.check(&["--kernel", image.to_str().unwrap(), "--cmdline", words, "dummy"]);
            outcome.out.lines().next().unwrap().to_string()
        };
        let own = kernel.plain("dummy");
        assert_eq!(first(&own, "module.sig_enforce"), "insmod kernel/dummy.ko", "{arch} {version}");
        let mut damaged = own.clone();
        damaged[unsigned(&own).len() - 1] ^= 1;
        let line = "failure: load dummy: EKEYREJECTED: signed by \"Build time autogenerated kernel key\" (serial ";
        let failure = first(&damaged, "");
        assert!(failure.starts_with(line) && failure.contains("the signature does not fit"), "{failure}");
        let other = Kernel::of("x86_64", if version == "6.1" { "6.12" } else { "6.1" }).plain("dummy");
        let failure = first(&other, "module.sig_enforce");
        assert!(failure.starts_with(line) && failure.contains("a key that this kernel does not have"), "{failure}");
        let failure = first(&unsigned(&own), "module.sig_enforce");
        let line = "failure: load dummy: EKEYREJECTED: it has no signature, and this kernel requires one (exit 0x45)";
        assert_eq!(failure, line);
    }
}
