//! The mission on a real kernel: what reaches the agent, and what ends the VM with a reason.
//!
//! A scenario is an image, a kernel command line, and what the console must say.

mod support;

use guest_init::failure::Code;
use support::{Image, Kernel, Vm};

/// An image with some small modules, for scenarios in which what is asked for matters more than what it is.
fn small() -> Image {
    Image::new().modules("dummy; loop; ext4; virtio_net; ifb")
}

/// A layout with nothing but the two programs: no device nodes, no mount points. Every kernel brings a /dev/console of
/// its own, unless the image puts something else there.
const BARE: &str = r#"
[directories]
"/dev/console" = 0o755
[devices]
[links]
"/init" = "sbin/guest-init"
[programs]
"/sbin/guest-init" = { from = "init", mode = 0o755 }
"/sbin/agent" = { from = "agent", mode = 0o755 }
"#;

/// An image whose /init is a shell script, which ends in guest-init: for what a kernel never leaves behind by itself.
fn after(script: &str) -> Image {
    let busybox = std::path::Path::new("/bin/busybox");
    let script = format!("#!/bin/busybox sh\n{script}\nexec /sbin/guest-init $REDIRECT");
    small().layout(SCRIPTED).add(busybox, "/bin/busybox").file("/init", script.replace("$REDIRECT", REDIRECT), 0o755)
}

/// As BARE, with a place for a script as /init, and with the mount points that it needs.
const SCRIPTED: &str = r#"
[directories]
"/proc" = 0o755
"/dev" = 0o755
[devices]
[links]
[programs]
"/sbin/guest-init" = { from = "init", mode = 0o755 }
"/sbin/agent" = { from = "agent", mode = 0o755 }
"#;
/// Closes the three descriptors.
const REDIRECT: &str = "<&- >&- 2>&-";

fn boot(image: Image, words: &str) -> support::Console {
    Vm::new(&image.build()).append(words).run()
}

// What reaches the agent.

#[test]
fn the_demonstration() {
    let list = "e1000e InterruptThrottleRate=3000,3000,3000 EEE=1; i915";
    let image = Image::new().modules(list).build();
    let console = Vm::new(&image)
        .options(["--nic", "e1000e"])
        .append(&format!("guest_init.modules=\"{list}\""))
        .run()
        .agent_ran()
        .has("Interrupt Throttling Rate (ints/sec) set to 3000")
        .has("guest-init: plan e1000e EEE=1: EINVAL: the module has no such parameter: ignored");
    let modules = console.modules();
    assert_eq!((modules.first(), modules.last()), (Some(&"e1000e"), Some(&"i915")), "{modules:?}");
    if Kernel::under_test().release.starts_with("6.1.") {
        assert_eq!(modules.len(), 12, "{modules:?}");
    }
    let bound = console.to_string().lines().any(|line| line.starts_with("  eth0") && line.contains("  e1000e  "));
    assert!(bound, "{console}");
}

#[test]
fn an_image_without_nodes_starts_with_descriptors_closed() {
    let console = boot(small().layout(BARE), "guest_init.modules=dummy").agent_ran();
    console
        .has("unable to open an initial console")
        .in_order(&["Open descriptors: 3", "0  /dev/console", "1  /dev/console", "2  /dev/console"])
        .in_order(&["Mounts: 5", "/proc", "/sys", "/dev", "/run"]);
}

#[test]
fn what_is_built_in_is_satisfied() {
    let console = boot(small(), "guest_init.log=debug guest_init.modules=tcp-cubic;dummy").agent_ran();
    let console = console.has("guest-init: builtin tcp_cubic").has("guest-init: modules loaded: 1");
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn a_duplicate_and_a_module_needed_twice_are_loaded_once() {
    let console = boot(small(), "guest_init.modules=\"ext4; dummy; ext4; jbd2; dummy\"").agent_ran();
    let modules = console.modules();
    let (mut distinct, count) = (modules.clone(), modules.len());
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), count, "{modules:?}");
    let place = |name| modules.iter().position(|module| *module == name);
    assert!(place("jbd2") < place("ext4") && place("ext4") < place("dummy"), "{modules:?}");
}

#[test]
fn an_optional_module_may_be_missing() {
    let console = boot(small(), "guest_init.modules=\"?nosuch; dummy\"").agent_ran();
    let console =
        console.has("guest-init: plan nosuch: ENOENT: no module, alias or built-in of").has("optional, passed over");
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn an_optional_module_may_fail_to_load() {
    let (_, path) = Kernel::under_test().module("loop");
    let image = small().file(&format!("/lib/modules/{}/{path}", Kernel::under_test().release), "no module", 0o644);
    let console = boot(image, "guest_init.modules=\"?loop; dummy\"").agent_ran();
    let console = console.has("guest-init: load loop: ENOEXEC: no module").has("optional, passed over");
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn without_a_list_the_agent_starts_at_once() {
    let console = boot(Image::new(), "guest_init.log=info").agent_ran();
    console.has("guest-init: no modules asked for").has("Modules: 0 loaded");
}

#[test]
fn the_agent_gets_its_arguments_as_the_kernel_cuts_them() {
    let words = r#"guest_init.agent=/opt/agent quiet -- --cat /none "two words" key="a b" guest_init.nosuch=1 -- x"#;
    let agent = support::built().join("demo-agent");
    let console = boot(Image::new().add(&agent, "/opt/agent"), words).agent_ran();
    console
        .has(r#"argv "/opt/agent" "--cat" "/none" "two words" "key=a b" "guest_init.nosuch=1""#)
        .has(r#"       "--" "x""#);
}

#[test]
fn parameters_with_blanks_reach_the_module() {
    // The kernel strips the quotes; that the word stayed whole is seen in what it says of it.
    let console = boot(small(), r#"guest_init.modules="dummy;loop max_loop=3 max_part=5" loop.nosuch="a b""#);
    console.agent_ran().has("loop: unknown parameter 'nosuch' ignored").has("max_loop=3 max_part=5");
}

#[test]
fn kata_spells_lists_in_two_ways() {
    let console =
        boot(small(), r#"guest_init.modules=["loop","dummy"] guest_init.modules="virtio-net napi_tx=0; loop""#);
    let modules = console.agent_ran();
    let modules = modules.modules();
    assert_eq!((modules[0], modules[1]), ("loop", "dummy"), "{modules:?}");
    assert_eq!(modules.last(), Some(&"virtio_net"), "{modules:?}");
}

#[test]
fn text_indexes_serve_where_the_binary_ones_are_absent() {
    let release = &Kernel::under_test().release;
    let empty = |image: Image, name: &str| image.file(&format!("/lib/modules/{release}/{name}"), "", 0o644);
    let image = ["modules.dep.bin", "modules.builtin.bin", "modules.alias.bin", "modules.symbols.bin"];
    let image = image.into_iter().fold(small(), empty);
    let console = boot(image, "guest_init.modules=\"ext4; tcp_cubic; ifb\"").agent_ran();
    let modules = console.modules();
    assert!(modules.contains(&"ext4") && modules.contains(&"jbd2") && modules.contains(&"ifb"), "{modules:?}");
}

#[test]
fn an_unknown_parameter_is_told_with_the_nearest() {
    let console = boot(small(), "guest_init.modules=\"loop max_lop=3 dyndbg=+p; dummy\" dummy.nosuch=1").agent_ran();
    console
        .has("guest-init: plan loop max_lop=3: EINVAL: the module has no such parameter; nearest: max_loop: ignored")
        .has("guest-init: plan dummy nosuch=1: EINVAL: the module has no such parameter: ignored")
        .has_not("guest-init: plan loop dyndbg");
}

#[test]
fn an_unknown_parameter_is_a_failure_when_strict() {
    let console = boot(small(), "guest_init.strict=1 guest_init.modules=\"dummy; loop max_lop=3 x\"");
    console
        .has("guest-init: plan loop x: EINVAL: the module has no such parameter")
        .failed(Code::UnknownParameter, "plan loop max_lop=3, loop x: EINVAL: with guest_init.strict=1");
}

#[test]
fn parameters_of_a_module_that_is_there_are_set_in_sysfs() {
    // tcp_cubic is built in, and lets its parameters be changed; loop does not.
    let words = "guest_init.modules=\"tcp_cubic hystart=0; loop max_part=7; loop max_part=7 hw_queue_depth=9\"";
    boot(small(), &format!("{words} -- --cat /sys/module/tcp_cubic/parameters/hystart"))
        .agent_ran()
        .has("agent: /sys/module/tcp_cubic/parameters/hystart: 0")
        .has("guest-init: load loop hw_queue_depth=9: EACCES: the module is there already with another value, and this one")
        .has_not("guest-init: load loop max_part");
}

#[test]
fn a_parameter_that_cannot_be_set_is_a_failure_when_strict() {
    let words = "guest_init.strict=1 guest_init.modules=\"loop max_loop=4; loop max_loop=0x4; loop max_loop=5\"";
    let line =
        "load loop max_loop=5: EACCES: the module is there already with another value, and this one can't be changed";
    boot(small(), words).failed(Code::ParameterNotSet, line);
}

#[test]
fn options_come_from_the_configuration_the_command_line_and_the_entry() {
    let image = small().file("/etc/modprobe.d/loop.conf", "options loop max_loop=3 max_part=1\n", 0o644);
    let image = image.file("/lib/modprobe.d/loop.conf", "options loop hw_queue_depth=7\n", 0o644);
    let image = image.file("/run/modprobe.d/other.conf", "options loop hw_queue_depth=9\n", 0o644);
    boot(image, "guest_init.modules=\"loop max_part=15\" loop.max_part=7 loop.max_loop=5")
        .agent_ran()
        .has("hw_queue_depth=128 max_loop=5 max_part=15");
}

#[test]
fn modules_that_the_kernel_cannot_decompress_are_decompressed() {
    let kernel = Kernel::under_test();
    let compressed = |image: Image, name: &str, program: &str, arguments: &[&str]| {
        let (_, path) = kernel.module(name);
        let target = format!("/lib/modules/{}/{path}", kernel.release);
        image.file(&target, compress(&plain(kernel, name), program, arguments), 0o644)
    };
    let image = compressed(small(), "dummy", "xz", &["--check=crc64"]);
    let image = compressed(image, "loop", "zstd", &["-19"]);
    let image = compressed(image, "ifb", "gzip", &[]);
    let console = boot(image, "guest_init.modules=\"dummy numdummies=2; loop max_loop=3; ifb\"").agent_ran();
    let console = console.has("  dummy1  ").has("max_loop=3");
    assert_eq!(console.modules(), ["dummy", "loop", "ifb"]);
}

#[test]
fn damaged_compressed_data_is_a_failure() {
    let mut module = compress(&dummy(), "zstd", &[]);
    let middle = module.len() / 2;
    module[middle] ^= 0xff;
    boot(with_dummy(module), "guest_init.modules=dummy")
        .failed(Code::NotAModule, "load dummy: ENOEXEC: its zstd data is damaged");
}

#[test]
fn a_release_that_has_the_module_is_named() {
    let image = small().file("/lib/modules/5.4.0-other/modules.dep", "kernel/nosuch.ko:\n", 0o644);
    let line = "plan nosuch: ENOENT: no module, alias or built-in of ";
    boot(image, "guest_init.modules=nosuch").has("; it is in 5.4.0-other").failed(Code::UnknownModule, line);
}

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
    let release = &Kernel::under_test().release;
    let (_, path) = Kernel::under_test().module("dummy");
    let dep = format!("{path}:\nkernel/a.ko: kernel/b.ko\n");
    let image = small().file(&format!("/lib/modules/{release}/modules.dep.bin"), "", 0o644);
    let image = image.file(&format!("/lib/modules/{release}/modules.dep"), dep, 0o644);
    let console = boot(image, "guest_init.modules=\"dummy; a\"");
    console
        .has("guest-init: plan kernel/a.ko: ENOENT: modules.dep lists the file, and it is not there")
        .failed(Code::MissingFile, "plan kernel/b.ko, kernel/a.ko: ENOENT: the file of a module")
        .has_not("dummy: ");
}

#[test]
fn a_plan_without_end() {
    let dependencies: String = (0..2048).map(|number| format!(" kernel/m{number}.ko")).collect();
    let release = &Kernel::under_test().release;
    let image = small().file(&format!("/lib/modules/{release}/modules.dep.bin"), "", 0o644);
    let image =
        image.file(&format!("/lib/modules/{release}/modules.dep"), format!("kernel/a.ko:{dependencies}\n"), 0o644);
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
    let release = &Kernel::under_test().release;
    let index = b"\xb0\x07\xf4\x57\x00\x02\x00\x01\x20\xff\xff\xff";
    let image = small().file(&format!("/lib/modules/{release}/modules.dep.bin"), index, 0o644);
    let line = "plan modules.dep.bin: EBADMSG: at offset 0xffffff: this points past the end of the file";
    boot(image, "guest_init.modules=dummy").failed(Code::CorruptIndex, line);
}

#[test]
fn no_module_tree_for_this_kernel_names_those_that_are_there() {
    let image = Image::new().file("/lib/modules/5.4.0-other/modules.dep", "", 0o644);
    let release = &Kernel::under_test().release;
    let image = image.file(&format!("/lib/modules/{release}/modules.dep"), "", 0o644);
    let image = image.file(&format!("/lib/modules/{release}/modules.dep.bin"), "", 0o644);
    let line = format!("plan /lib/modules/{release}: ENOENT: it has no modules.dep.bin and no modules.dep; there is");
    boot(image, "guest_init.modules=dummy").has("5.4.0-other").failed(Code::NoModuleTree, &line);
}

// What ends the VM: loading.

/// An image in which the file of `dummy` is replaced.
fn with_dummy(content: impl AsRef<[u8]>) -> Image {
    let kernel = Kernel::under_test();
    let (_, path) = kernel.module("dummy");
    small().file(&format!("/lib/modules/{}/{path}", kernel.release), content, 0o644)
}

/// The file of `dummy` without its signature, which changes would break.
fn dummy() -> Vec<u8> {
    let mut module = plain(Kernel::under_test(), "dummy");
    module.truncate(module.len() - b"~Module signature appended~\n".len());
    module
}

/// What a program that compresses makes of it.
fn compress(bytes: &[u8], program: &str, arguments: &[&str]) -> Vec<u8> {
    use std::io::Write;
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("it can be written");
    let mut command = std::process::Command::new(program);
    command.args(arguments).arg("--stdout").arg(file.path()).output().expect("the program runs").stdout
}

/// The file of a kernel's module, decompressed.
fn plain(kernel: &Kernel, name: &str) -> Vec<u8> {
    let (file, _) = kernel.module(name);
    let program = if file.extension().is_some_and(|extension| extension == "xz") { "xzcat" } else { "cat" };
    std::process::Command::new(program).arg(&file).output().expect("the module can be read").stdout
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the module says so");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn a_module_with_another_vermagic_names_both_kernels() {
    let release = &Kernel::under_test().release;
    let other = format!("9.9.9{}", &release[5..]);
    // With modversions the kernel passes over the release and compares what follows it.
    let (from, to) = (format!("vermagic={release} SMP"), format!("vermagic={other} UP!"));
    let line = format!("load dummy: ENOEXEC: built for {other}, this kernel is {release}");
    boot(with_dummy(replace(&dummy(), from.as_bytes(), to.as_bytes())), "guest_init.modules=dummy")
        .failed(Code::OtherKernel, &line);
}

#[test]
fn a_module_of_another_kernel_package() {
    let kernel = Kernel::under_test();
    let other = Kernel::version(if kernel.release.starts_with("6.1.") { "6.12" } else { "6.1" });
    let line = format!("built for {}, this kernel is {}", other.release, kernel.release);
    boot(with_dummy(plain(&other, "dummy")), "guest_init.modules=dummy")
        .failed(Code::OtherKernel, "load dummy: ")
        .has(&line);
}

#[test]
fn a_module_file_that_cannot_be_read() {
    let release = &Kernel::under_test().release;
    let image = small().layout(
        &format!("{BARE}\n[links]\n\"/lib/modules/{release}/loop.ko\" = \"loop.ko\"\n")
            .replacen("[links]\n", "", 1)
            .replace("\"/init\" = \"sbin/guest-init\"\n", "")
            .replace("[links]\n", "[links]\n\"/init\" = \"sbin/guest-init\"\n"),
    );
    let image = image.file(&format!("/lib/modules/{release}/modules.dep.bin"), "", 0o644);
    let image = image.file(&format!("/lib/modules/{release}/modules.dep"), "loop.ko:\n", 0o644);
    boot(image, "guest_init.modules=loop").failed(Code::Unreadable, "load loop.ko: ELOOP: ");
}

#[test]
fn a_truncated_module() {
    let module = dummy();
    let line = "load dummy: ENOEXEC: not whole, or built for another machine";
    boot(with_dummy(&module[..module.len() / 2]), "guest_init.modules=dummy").failed(Code::NotAModule, line);
}

#[test]
fn a_text_as_module() {
    let line = "load dummy: ENOEXEC: no module: the file does not begin as one";
    boot(with_dummy("hello\n"), "guest_init.modules=dummy").failed(Code::NotAModule, line);
}

#[test]
fn an_empty_module() {
    boot(with_dummy(""), "guest_init.modules=dummy").failed(Code::NotAModule, "load dummy: EINVAL: the file is empty");
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
    let image = Image::new().modules("kvm_intel");
    boot(image, "guest_init.modules=kvm_intel")
        .failed(Code::InitFailed, "load kvm_intel: ")
        .has("its own start gave: ");
}

#[test]
fn an_unresolved_symbol() {
    let release = &Kernel::under_test().release;
    let (_, path) = Kernel::under_test().module("ext4");
    let image = small().file(&format!("/lib/modules/{release}/modules.dep.bin"), "", 0o644);
    let image = image.file(&format!("/lib/modules/{release}/modules.dep"), format!("{path}:\n"), 0o644);
    let console = boot(image, "guest_init.modules=ext4");
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
    let console = boot(with_dummy(stripped(dummy())), "module.sig_enforce=1 guest_init.modules=dummy");
    console.failed(Code::BadSignature, "load dummy: EKEYREJECTED: it has no signature that this kernel accepts");
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
    let line = "start /opt/agent: ENOENT: its interpreter /lib64/ld-linux-x86-64.so.2 is not there";
    boot(Image::new().add("/bin/true".as_ref(), "/opt/agent"), "guest_init.agent=/opt/agent")
        .failed(Code::InterpreterMissing, line);
}

#[test]
fn an_agent_that_is_no_program() {
    let line = "start /opt/agent: ENOEXEC: no program for this machine";
    boot(Image::new().file("/opt/agent", "hello\n", 0o755), "guest_init.agent=/opt/agent")
        .failed(Code::AgentRefused, line);
}
