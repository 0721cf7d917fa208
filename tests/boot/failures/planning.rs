//! Planning fails: codes 0x3_. Nothing is loaded by then.

use guest_init::failure::Code;

use super::boot;
use crate::support::scene::{self, after, small, with_dep, with_file};
use crate::support::{Image, Kernel};

#[test]
fn all_unknown_names_are_named_at_once() {
    let console = boot(small(), "quiet guest_init.modules=\"dummy; nosuch; virtio_nte; loop\"");
    console
        .has("guest-init: plan nosuch: ENOENT: no module, alias or built-in of ")
        .has("; nearest: virtio_net")
        .failed(
            Code::UnknownModule,
            "plan nosuch, virtio_nte: ENOENT: a name is no module, alias or built-in of this kernel",
        )
        .has_not("loop: module loaded");
}

#[test]
fn a_missing_file_fails_before_anything_is_loaded() {
    let (_, path) = Kernel::under_test().module("dummy");
    let image = with_dep(small(), format!("{path}:\nkernel/a.ko: kernel/b.ko\n"));
    let console = scene::boot(image, "guest_init.modules=\"dummy; a\"");
    console
        .has("guest-init: plan kernel/a.ko: ENOENT: modules.dep lists the file, and it is not there")
        .failed(Code::MissingFile, "plan kernel/b.ko, kernel/a.ko: ENOENT: the file of a module")
        .has_not("dummy: ");
}

#[test]
fn a_plan_of_too_many_steps_is_a_failure() {
    let dependencies: String = (0..2048).map(|number| format!(" kernel/m{number}.ko")).collect();
    let image = with_dep(small(), format!("kernel/a.ko:{dependencies}\n"));
    scene::boot(image, "guest_init.modules=a").failed(Code::PlanTooLarge, "plan a: E2BIG: more than 2,048 steps");
}

#[test]
fn an_install_command_is_a_failure_and_quoted() {
    let image = small().file("/etc/modprobe.d/no.conf", "install dummy /bin/false\n", 0o644);
    let line = "plan dummy: EPERM: modprobe.d has `install /bin/false` for it";
    boot(image, "guest_init.modules=\"loop; dummy\"").failed(Code::InstallCommand, line);
}

#[test]
fn a_damaged_index_names_its_file_and_offset() {
    let index = b"\xb0\x07\xf4\x57\x00\x02\x00\x01\x20\xff\xff\xff";
    let image = with_file(small(), "modules.dep.bin", index);
    let line = "plan modules.dep.bin: EBADMSG: at offset 0xffffff: this points past the end of the file";
    scene::boot(image, "guest_init.modules=dummy").failed(Code::CorruptIndex, line);
}

#[test]
fn an_index_that_cannot_be_read_is_not_taken_for_absent() {
    let script = "cd /lib/modules/*; rm -f modules.builtin.bin; ln -s modules.builtin.bin modules.builtin.bin";
    scene::boot(after(script), "guest_init.modules=tcp_cubic").failed(
        Code::CorruptIndex,
        "plan modules.builtin.bin: ELOOP: it can't be read: Too many levels of symbolic links",
    );
}

#[test]
fn a_missing_module_tree_is_a_failure_that_names_the_trees_of_other_kernels() {
    let image = Image::new().file("/lib/modules/5.4.0-other/modules.dep", "", 0o644);
    let image = with_dep(image, "");
    let release = &Kernel::under_test().release;
    let line = format!("plan /lib/modules/{release}: ENOENT: it has no modules.dep.bin and no modules.dep; there is");
    scene::boot(image, "guest_init.modules=dummy").has("5.4.0-other").failed(Code::NoModuleTree, &line);
}

#[test]
fn an_unknown_module_is_a_failure_that_names_the_kernel_that_has_it() {
    let image = small().file("/lib/modules/5.4.0-other/modules.dep", "kernel/nosuch.ko:\n", 0o644);
    let line = "plan nosuch: ENOENT: no module, alias or built-in of ";
    boot(image, "guest_init.modules=nosuch").has("; it is in 5.4.0-other").failed(Code::UnknownModule, line);
}
