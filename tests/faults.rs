//! Whatever is wrong ends the VM with its code and its reason, in bounded time: one real fault a test.
//!
//! tests/docs.rs sees to it that every code of the table has one.

mod support;

use guest_init::failure::Code;
use support::scene::{
    BARE, after, boot, compress, dummy, dynamic_program, replace, small, with_dep, with_file, with_module,
};
use support::{Image, Kernel, Machine, built};

// What ends the VM: mounting.

#[test]
fn a_mount_point_that_is_a_file() {
    let image = small().layout(BARE).file("/proc", "", 0o644);
    boot(image, "guest_init.modules=dummy").failed(Code::MountFailed, "mount /proc: ENOTDIR: can't mount proc there");
}

#[test]
fn no_console_and_nothing_in_its_place() {
    let image = after("/bin/busybox mount -t devtmpfs dev /dev; /bin/busybox rm /dev/console /dev/null");
    let line = "mount /dev/console: ENOENT: neither it nor /dev/null can be opened";
    boot(image, "").failed(Code::NoConsole, line);
}

// What ends the VM: reading.

#[test]
fn a_command_line_without_end() {
    let image = after(
        "/bin/busybox mount -t proc proc /proc; /bin/busybox dd if=/dev/zero of=/long bs=1k count=65 2>/dev/null
         /bin/busybox mknod /zero c 1 5; /bin/busybox dd if=/zero of=/long bs=1k count=65 2>/dev/null
         /bin/busybox mount -o bind /long /proc/cmdline",
    );
    let line = "read /proc/cmdline: EFBIG: it can't be read, or is over 64 KiB";
    boot(image, "").failed(Code::CommandLineUnreadable, line);
}

#[test]
fn one_entry_too_many() {
    let list = vec!["a"; 513].join(";");
    boot(small(), &format!("guest_init.modules={list}")).failed(Code::TooMany, "read a: E2BIG: a VM takes at most 512");
}

#[test]
fn an_unknown_key_is_named() {
    boot(small(), "guest_init.modulez=dummy")
        .failed(Code::UnknownKey, "read guest_init.modulez=dummy: EINVAL: there is no such key");
}

#[test]
fn a_repeated_key_is_named() {
    let line = "read guest_init.agent=/b: EINVAL: the key may stand only once";
    boot(small(), "guest_init.agent=/a guest_init.agent=/b").failed(Code::RepeatedKey, line);
}

#[test]
fn a_bad_value_is_named() {
    let line = "read guest_init.log=loud: EINVAL: one of error, warn, info, debug, trace";
    boot(small(), "guest_init.log=loud").failed(Code::BadValue, line);
}

#[test]
fn an_unbalanced_quote_is_named() {
    let line = r#"read guest_init.modules="dummy loop: EINVAL: a quote opens here and never closes"#;
    boot(small(), r#"guest_init.modules="dummy loop"#).failed(Code::UnbalancedQuote, line);
}

#[test]
fn a_name_is_never_an_option_or_a_path() {
    let console = boot(small(), r#"guest_init.modules="dummy; -q x; /lib/x.ko""#);
    console
        .has("guest-init: read guest_init.modules `-q x`: EINVAL: a name begins with a letter, a digit or `_`")
        .has("guest-init: read guest_init.modules `/lib/x.ko`: EINVAL: a name begins with")
        .failed(Code::BadEntry, "read guest_init.modules `-q x`, guest_init.modules `/lib/x.ko`: EINVAL: an entry");
}

// What ends the VM: planning. Nothing is loaded by then.

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
    let console = boot(image, "guest_init.modules=\"dummy; a\"");
    console
        .has("guest-init: plan kernel/a.ko: ENOENT: modules.dep lists the file, and it is not there")
        .failed(Code::MissingFile, "plan kernel/b.ko, kernel/a.ko: ENOENT: the file of a module")
        .has_not("dummy: ");
}

#[test]
fn a_plan_without_end() {
    let dependencies: String = (0..2048).map(|number| format!(" kernel/m{number}.ko")).collect();
    let image = with_dep(small(), format!("kernel/a.ko:{dependencies}\n"));
    boot(image, "guest_init.modules=a").failed(Code::PlanTooLarge, "plan a: E2BIG: more than 2,048 steps");
}

#[test]
fn an_install_command_that_refuses() {
    let image = small().file("/etc/modprobe.d/no.conf", "install dummy /bin/false\n", 0o644);
    let line = "plan dummy: EPERM: modprobe.d has `install /bin/false` for it";
    boot(image, "guest_init.modules=\"loop; dummy\"").failed(Code::InstallCommand, line);
}

#[test]
fn a_damaged_index_names_its_file_and_offset() {
    let index = b"\xb0\x07\xf4\x57\x00\x02\x00\x01\x20\xff\xff\xff";
    let image = with_file(small(), "modules.dep.bin", index);
    let line = "plan modules.dep.bin: EBADMSG: at offset 0xffffff: this points past the end of the file";
    boot(image, "guest_init.modules=dummy").failed(Code::CorruptIndex, line);
}

#[test]
fn an_index_that_cannot_be_read_is_not_taken_for_absent() {
    let script = "cd /lib/modules/*; rm -f modules.builtin.bin; ln -s modules.builtin.bin modules.builtin.bin";
    boot(after(script), "guest_init.modules=tcp_cubic").failed(
        Code::CorruptIndex,
        "plan modules.builtin.bin: ELOOP: it can't be read: Too many levels of symbolic links",
    );
}

#[test]
fn no_module_tree_for_this_kernel_names_those_that_are_there() {
    let image = Image::new().file("/lib/modules/5.4.0-other/modules.dep", "", 0o644);
    let image = with_dep(image, "");
    let release = &Kernel::under_test().release;
    let line = format!("plan /lib/modules/{release}: ENOENT: it has no modules.dep.bin and no modules.dep; there is");
    boot(image, "guest_init.modules=dummy").has("5.4.0-other").failed(Code::NoModuleTree, &line);
}

// What ends the VM: loading.

#[test]
fn a_module_with_another_vermagic_names_both_kernels() {
    let release = &Kernel::under_test().release;
    let other = format!("9.9.9{}", &release[5..]);
    // With modversions the kernel passes over the release and compares what follows it.
    let (from, to) = (format!("vermagic={release} SMP"), format!("vermagic={other} UP!"));
    let line = format!("load dummy: ENOEXEC: built for {other}, this kernel is {release}");
    boot(with_module(small(), "dummy", replace(&dummy(), from.as_bytes(), to.as_bytes())), "guest_init.modules=dummy")
        .failed(Code::OtherKernel, &line);
}

#[test]
fn a_module_of_another_kernel_package() {
    let kernel = Kernel::under_test();
    let other = Kernel::version(if kernel.release.starts_with("6.1.") { "6.12" } else { "6.1" });
    let line = format!("built for {}, this kernel is {}", other.release, kernel.release);
    boot(with_module(small(), "dummy", other.plain("dummy")), "guest_init.modules=dummy")
        .failed(Code::OtherKernel, "load dummy: ")
        .has(&line);
}

#[test]
fn a_module_file_that_cannot_be_read() {
    let release = &Kernel::under_test().release;
    let link = format!("[links]\n\"/lib/modules/{release}/loop.ko\" = \"loop.ko\"");
    let image = with_dep(small().layout(&BARE.replace("[links]", &link)), "loop.ko:\n");
    boot(image, "guest_init.modules=loop").failed(Code::Unreadable, "load loop.ko: ELOOP: ");
}

#[test]
fn a_truncated_module() {
    let module = dummy();
    let line = "load dummy: ENOEXEC: not whole, or built for another machine";
    boot(with_module(small(), "dummy", &module[..module.len() / 2]), "guest_init.modules=dummy")
        .failed(Code::NotAModule, line);
}

/// An ELF file that says it is for RISC-V.
fn for_riscv(mut file: Vec<u8>) -> Vec<u8> {
    file[0x12..0x14].copy_from_slice(&243_u16.to_le_bytes());
    file
}

#[test]
fn a_module_of_another_architecture() {
    let arch = Machine::under_test().arch.name;
    let line = format!("load dummy: ENOEXEC: built for riscv64, this machine is {arch}");
    boot(with_module(small(), "dummy", for_riscv(dummy())), "guest_init.modules=dummy").failed(Code::NotAModule, &line);
}

#[test]
fn a_text_as_module() {
    let line = "load dummy: ENOEXEC: no module: the file does not begin as one";
    boot(with_module(small(), "dummy", "hello\n"), "guest_init.modules=dummy").failed(Code::NotAModule, line);
}

#[test]
fn an_empty_module() {
    boot(with_module(small(), "dummy", ""), "guest_init.modules=dummy")
        .failed(Code::NotAModule, "load dummy: EINVAL: the file is empty");
}

#[test]
fn a_bad_parameter_value() {
    let console = boot(small(), "guest_init.modules=\"dummy numdummies=many\"");
    let line = "load dummy: EINVAL: the kernel says: dummy: `many' invalid for parameter `numdummies'";
    console.failed(Code::BadParameter, line);
}

#[test]
fn parameters_that_take_more_memory_than_the_kernel_gives() {
    let line = format!("options dummy numdummies=1 {}\n", "x".repeat((1 << 20) - 64));
    let part = |image: Image, number| image.file(&format!("/etc/modprobe.d/{number}.conf"), &line, 0o644);
    let image = (0..5).fold(small(), part);
    boot(image, "guest_init.modules=dummy").failed(Code::OutOfMemory, "load dummy: ENOMEM: no memory for it");
}

#[test]
fn a_module_whose_start_fails() {
    let module = Machine::under_test().arch.unfit;
    boot(Image::new().modules(module), &format!("guest_init.modules={module}"))
        .failed(Code::InitFailed, &format!("load {module}: "))
        .has("its own start gave: ");
}

#[test]
fn an_unresolved_symbol() {
    let (_, path) = Kernel::under_test().module("ext4");
    let console = boot(with_dep(small(), format!("{path}:\n")), "guest_init.modules=ext4");
    console
        .has("the kernel says: ext4: Unknown symbol ")
        .failed(Code::UnresolvedSymbol, "load ext4: ENOENT: a module that it needs is not loaded");
}

#[test]
fn a_module_that_the_kernel_blacklists() {
    let line = "load dummy: EPERM: `module_blacklist=` on the kernel command line names it";
    boot(small(), "module_blacklist=loop,dummy guest_init.modules=dummy").failed(Code::Forbidden, line);
}

#[test]
fn a_kernel_that_may_not_load_modules() {
    let line = "load dummy: EPERM: `nomodule` on the kernel command line";
    boot(small(), "nomodule guest_init.modules=dummy").failed(Code::Forbidden, line);
}

#[test]
fn a_kernel_that_wants_signatures() {
    let stripped =
        |module: Vec<u8>| module.into_iter().rev().skip(28).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
    let console =
        boot(with_module(small(), "dummy", stripped(dummy())), "module.sig_enforce=1 guest_init.modules=dummy");
    console.failed(Code::BadSignature, "load dummy: EKEYREJECTED: it has no signature that this kernel accepts");
}

#[test]
fn an_unknown_parameter_is_a_failure_when_strict() {
    let console = boot(small(), "guest_init.strict=1 guest_init.modules=\"dummy; loop max_lop=3 x\"");
    console
        .has("guest-init: plan loop x: EINVAL: the module has no such parameter")
        .failed(Code::UnknownParameter, "plan loop max_lop=3, loop x: EINVAL: with guest_init.strict=1");
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
    let middle = module.len() / 2;
    module[middle] ^= 0xff;
    boot(with_module(small(), "dummy", module), "guest_init.modules=dummy")
        .failed(Code::NotAModule, "load dummy: ENOEXEC: its zstd data is damaged");
}

#[test]
fn a_release_that_has_the_module_is_named() {
    let image = small().file("/lib/modules/5.4.0-other/modules.dep", "kernel/nosuch.ko:\n", 0o644);
    let line = "plan nosuch: ENOENT: no module, alias or built-in of ";
    boot(image, "guest_init.modules=nosuch").has("; it is in 5.4.0-other").failed(Code::UnknownModule, line);
}

#[test]
fn a_lock_that_does_not_close() {
    let image = after("mount -t proc proc /proc; mount -o bind /proc/version /proc/sys/kernel/modules_disabled");
    let line = "load kernel.modules_disabled: EIO: module loading can't be disabled";
    boot(image, "guest_init.lock_modules=1").failed(Code::NotLocked, line);
}

// What ends the VM: the hand-off.

#[test]
fn a_missing_agent() {
    let line = "start /opt/agent: ENOENT: there is no such file";
    boot(Image::new(), "guest_init.agent=/opt/agent").failed(Code::AgentMissing, line);
}

#[test]
fn an_agent_without_a_run_bit() {
    let line = "start /opt/agent: EACCES: no execute bit in its mode";
    boot(Image::new().file("/opt/agent", "#!/bin/sh\n", 0o644), "guest_init.agent=/opt/agent")
        .failed(Code::AgentNotExecutable, line);
}

#[test]
fn a_directory_as_agent() {
    let line = "start /proc: EACCES: it is no regular file";
    boot(Image::new(), "guest_init.agent=/proc").failed(Code::AgentNotExecutable, line);
}

#[test]
fn an_agent_whose_script_interpreter_is_missing() {
    let line = "start /opt/agent: ENOENT: its interpreter /no/such/sh is not there";
    boot(Image::new().file("/opt/agent", "#! /no/such/sh -e\n", 0o755), "guest_init.agent=/opt/agent")
        .failed(Code::InterpreterMissing, line);
}

#[test]
fn an_agent_whose_loader_is_missing() {
    let line = format!("start /opt/agent: ENOENT: its interpreter {} is not there", Machine::under_test().arch.loader);
    let program = dynamic_program();
    boot(Image::new().add(program.path(), "/opt/agent"), "guest_init.agent=/opt/agent")
        .failed(Code::InterpreterMissing, &line);
}

#[test]
fn an_agent_of_another_architecture() {
    let arch = Machine::under_test().arch.name;
    let agent = std::fs::read(built().join("demo-agent")).expect("the agent can be read");
    let line = format!("start /opt/agent: ENOEXEC: built for riscv64, this machine is {arch}");
    boot(Image::new().file("/opt/agent", for_riscv(agent), 0o755), "guest_init.agent=/opt/agent")
        .failed(Code::AgentRefused, &line);
}

#[test]
fn an_agent_that_is_no_program() {
    let line = "start /opt/agent: ENOEXEC: no program for this machine";
    boot(Image::new().file("/opt/agent", "hello\n", 0o755), "guest_init.agent=/opt/agent")
        .failed(Code::AgentRefused, line);
}
