//! Loading fails: codes 0x4_.

use guest_init::failure::Code;

use super::boot;
use crate::support::scene::{self, BARE, after, compress, dummy, foreign, replace, small, with_dep, with_module};
use crate::support::signature::{Key, append, unsigned};
use crate::support::{Image, Kernel, Machine};

#[test]
fn a_module_of_another_kernel_is_a_failure_that_names_both() {
    let release = &Kernel::under_test().release;
    let other = format!("9.9.9{}", &release[5..]);
    // A kernel with modversions passes over the release and compares the rest.
    let (from, to) = (format!("vermagic={release} SMP"), format!("vermagic={other} UP!"));
    let line = format!("load dummy: ENOEXEC: built for {other}, this kernel is {release}");
    boot(with_module(small(), "dummy", replace(&dummy(), from.as_bytes(), to.as_bytes())), "guest_init.modules=dummy")
        .failed(Code::OtherKernel, &line);
}

#[test]
fn a_module_of_another_kernels_package_is_a_failure_that_names_both() {
    let kernel = Kernel::under_test();
    let other = Kernel::another();
    let line = format!("built for {}, this kernel is {}", other.release, kernel.release);
    boot(with_module(small(), "dummy", other.plain("dummy")), "guest_init.modules=dummy")
        .failed(Code::OtherKernel, "load dummy: ")
        .has(&line);
}

#[test]
fn a_module_file_that_cannot_be_read_is_a_failure() {
    let release = &Kernel::under_test().release;
    let link = format!("[links]\n\"/lib/modules/{release}/loop.ko\" = \"loop.ko\"");
    let image = with_dep(small().layout(&BARE.replace("[links]", &link)), "loop.ko:\n");
    scene::boot(image, "guest_init.modules=loop").failed(Code::Unreadable, "load loop.ko: ELOOP: ");
}

#[test]
fn a_truncated_module_is_a_failure() {
    let module = dummy();
    let line = "load dummy: ENOEXEC: not whole, or built for another machine";
    boot(with_module(small(), "dummy", &module[..module.len() / 2]), "guest_init.modules=dummy")
        .failed(Code::NotAModule, line);
}

#[test]
fn a_module_of_another_architecture_is_a_failure_that_names_both() {
    let arch = Machine::under_test().arch.name;
    let (module, other) = foreign(dummy());
    let line = format!("load dummy: ENOEXEC: built for {other}, this machine is {arch}");
    boot(with_module(small(), "dummy", module), "guest_init.modules=dummy").failed(Code::NotAModule, &line);
}

#[test]
fn a_text_in_place_of_a_module_is_a_failure() {
    let line = "load dummy: ENOEXEC: no module: the file does not begin as one";
    boot(with_module(small(), "dummy", "hello\n"), "guest_init.modules=dummy").failed(Code::NotAModule, line);
}

#[test]
fn an_empty_module_is_a_failure() {
    boot(with_module(small(), "dummy", ""), "guest_init.modules=dummy")
        .failed(Code::NotAModule, "load dummy: EINVAL: the file is empty");
}

#[test]
fn a_bad_parameter_value_is_a_failure_in_the_kernels_words() {
    let console = boot(small(), "guest_init.modules=\"dummy numdummies=many\"");
    let line = "load dummy: EINVAL: the kernel says: dummy: `many' invalid for parameter `numdummies'";
    console.failed(Code::BadParameter, line);
}

#[test]
fn parameters_that_need_too_much_memory_are_a_failure() {
    let line = format!("options dummy numdummies=1 {}\n", "x".repeat((1 << 20) - 64));
    let part = |image: Image, number| image.file(&format!("/etc/modprobe.d/{number}.conf"), &line, 0o644);
    let image = (0..Machine::under_test().arch.too_much).fold(small(), part);
    boot(image, "guest_init.modules=dummy").failed(Code::OutOfMemory, "load dummy: ENOMEM: no memory for it");
}

#[test]
fn a_module_whose_start_fails_is_a_failure() {
    let module = Machine::under_test().arch.unfit;
    boot(Image::new().modules(module), &format!("guest_init.modules={module}"))
        .failed(Code::InitFailed, &format!("load {module}: "))
        .has("its init function failed: ");
}

#[test]
fn an_unresolved_symbol_is_a_failure_in_the_kernels_words() {
    let (_, path) = Kernel::under_test().module("ext4");
    let console = scene::boot(with_dep(small(), format!("{path}:\n")), "guest_init.modules=ext4");
    console
        .has("the kernel says: ext4: Unknown symbol ")
        .failed(Code::UnresolvedSymbol, "load ext4: ENOENT: a module that it needs is not loaded");
}

#[test]
fn module_blacklist_is_named_as_the_reason() {
    let line = "load dummy: EPERM: `module_blacklist=` on the kernel command line names it";
    boot(small(), "module_blacklist=loop,dummy guest_init.modules=dummy").failed(Code::Forbidden, line);
}

#[test]
fn nomodule_is_named_as_the_reason() {
    let line = "load dummy: EPERM: `nomodule` on the kernel command line";
    scene::boot(small(), "nomodule guest_init.modules=dummy").failed(Code::Forbidden, line);
}

#[test]
fn a_module_without_the_required_signature_is_a_failure() {
    let image = with_module(small(), "dummy", unsigned(&Kernel::under_test().plain("dummy")));
    boot(image, "module.sig_enforce=1 guest_init.modules=dummy")
        .failed(Code::BadSignature, "load dummy: EKEYREJECTED: it has no signature, and this kernel requires one");
}

#[test]
fn a_signature_that_the_kernel_rejects_is_a_failure_that_names_the_signer() {
    let kernel = Kernel::under_test();
    let [dummy, looped, ext4, ifb] = ["dummy", "loop", "ext4", "ifb"].map(|name| unsigned(&kernel.plain(name)));
    let key = Key::new("A key for modules", &["rsa:2048"]);
    let mut changed = kernel.plain("ifb");
    changed[ifb.len() - 1] ^= 1;
    let modules = [
        ("dummy", key.sign(&dummy, "sha256")),
        ("loop", append(&looped, 9, b"message")),
        ("ext4", append(&ext4, 2, b"message")),
        ("ifb", changed),
    ];
    let image = modules.iter().fold(small(), |image, (name, file)| with_module(image, name, file));
    let unknown = format!("signed by {}, a key that this kernel does not have; the kernel says: ", key.shown());
    boot(image, "module.sig_enforce=1 guest_init.modules=\"?dummy; ?loop; ?ext4; ifb\"")
        .has(&format!("load dummy: EKEYREJECTED: {unknown}"))
        .has("load loop: EKEYREJECTED: its signature has a type that this kernel does not know")
        .has("load ext4: EBADMSG: its signature is malformed")
        .failed(
            Code::BadSignature,
            "load ifb: EKEYREJECTED: signed by \"Build time autogenerated kernel key\" (serial ",
        )
        .has("and the signature does not fit: the module was changed after that, or the key is revoked");
}

#[test]
fn lockdown_refuses_a_module_that_another_key_signed() {
    let key = Key::on_curve("A key for modules", "P-256");
    let image = with_module(small(), "dummy", key.sign(&unsigned(&Kernel::under_test().plain("dummy")), "sha256"));
    let line = format!("load dummy: EPERM: lockdown: signed by {}, a key that this kernel does not have", key.shown());
    boot(image, "lockdown=integrity guest_init.modules=dummy").failed(Code::Forbidden, &line);
}

#[test]
fn an_unknown_parameter_is_a_failure_when_strict() {
    let console = boot(small(), "guest_init.strict=1 guest_init.modules=\"dummy; loop max_lop=3 x\"");
    console
        .has("guest-init: plan loop x: EINVAL: the module has no such parameter")
        .failed(Code::UnknownParameter, "plan loop max_lop=3, loop x: EINVAL: with guest_init.strict=1");
}

#[test]
fn what_may_end_the_vm_is_found_in_a_compressed_module_before_anything_is_loaded() {
    let compressed = || {
        let plain = Kernel::under_test().plain("loop");
        with_module(small(), "loop", compress(&plain, "xz", &["--check=crc32"]))
    };
    let console = boot(compressed(), "guest_init.strict=1 guest_init.modules=\"dummy; loop max_lop=3\"");
    let line = "plan loop max_lop=3: EINVAL: the module has no such parameter; nearest: max_loop";
    console.has_not("loop: module loaded").failed(Code::UnknownParameter, line);
    let console = boot(compressed(), "guest_init.modules=\"loop dummy\"");
    let line = "read loop dummy: EINVAL: the module has no such parameter, but there is a module of that name";
    console.has_not("loop: module loaded").failed(Code::BadEntry, line);
}

#[test]
fn a_parameter_that_an_install_command_replaces_is_a_failure_when_strict() {
    let image = small().file("/etc/modprobe.d/install.conf", "install dummy /bin/true\n", 0o644);
    let line = "plan dummy numdummies=2: EINVAL: an install command of modprobe.d replaces the module";
    boot(image, "guest_init.strict=1 guest_init.modules=\"dummy numdummies=2\"").failed(Code::UnknownParameter, line);
}

#[test]
fn a_parameter_that_cannot_be_set_is_a_failure_when_strict() {
    let words = "guest_init.strict=1 guest_init.modules=\"loop max_loop=4; loop max_loop=0x4; loop max_loop=5\"";
    let line =
        "load loop max_loop=5: EACCES: the module is there already with another value, and this one can't be changed";
    boot(small(), words).failed(Code::ParameterNotSet, line);
}

#[test]
fn damaged_compressed_data_is_a_failure() {
    let mut module = compress(&dummy(), "zstd", &[]);
    // The last four bytes are a checksum (RFC 8878, 3.1.1).
    let last = module.len() - 1;
    module[last] ^= 0xff;
    let line = "load dummy: ENOEXEC: its zstd data does not fit its checksum: it is damaged; copy the file again";
    boot(with_module(small(), "dummy", module), "guest_init.modules=dummy").failed(Code::NotAModule, line);
}

#[test]
fn a_lock_that_does_not_close_is_a_failure() {
    let image = after("mount -t proc proc /proc; mount -o bind /proc/version /proc/sys/kernel/modules_disabled");
    let line = "load kernel.modules_disabled: EIO: module loading can't be disabled";
    boot(image, "guest_init.lock_modules=1").failed(Code::NotLocked, line);
}
