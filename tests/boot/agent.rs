//! The VM reaches its agent: the modules that are loaded on the way, their parameters, and how the agent finds its
//! process.

use std::collections::BTreeSet;
use std::process::Command;

use guest_init::guest::modules::unpack::Format;

use crate::support::scene::{BARE, boot, compress, file_of, small, with_dep, with_file, with_module};
use crate::support::{Image, Kernel, Machine, Vm, built};

#[test]
fn the_demonstration_loads_two_drivers_and_binds_the_card() {
    let machine = Machine::under_test();
    let (card, graphics) = (machine.card, machine.arch.graphics);
    let list = format!("{}; {graphics}", card.entry);
    let image = Image::new().modules(&list).build();
    let console = Vm::new(&image)
        .options(["--nic", card.nic])
        .append(&format!("guest_init.modules=\"{list}\""))
        .run()
        .agent_ran()
        .has(card.effect)
        .has(&format!("guest-init: plan {} EEE=1: EINVAL: the module has no such parameter: ignored", card.driver));
    let modules = console.modules();
    assert_eq!((modules.first(), modules.last()), (Some(&card.first), Some(&graphics)), "{modules:?}");
    if Kernel::under_test().release.starts_with("6.1.") && machine.name == "q35" {
        assert_eq!(modules.len(), 12, "{modules:?}");
    }
    let driver = format!("  {}  ", card.driver);
    assert!(console.report().any(|line| line.starts_with("  eth0") && line.contains(&driver)), "{console}");
}

// Names.

#[test]
fn without_a_list_the_agent_starts_at_once() {
    let console = boot(Image::new(), "guest_init.log=info").agent_ran();
    console.has("guest-init: no modules asked for").has("Modules: 0 loaded");
}

#[test]
fn a_built_in_module_counts_as_loaded() {
    let console = boot(small(), "guest_init.log=debug guest_init.modules=tcp-cubic;dummy").agent_ran();
    // The first line of level debug. The commit behind the version is not known here.
    let console = console.has(concat!("guest-init: version ", env!("CARGO_PKG_VERSION")));
    let console = console.has("guest-init: builtin tcp_cubic").has("guest-init: modules loaded: 1, for the list");
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn a_module_that_is_needed_twice_is_loaded_once() {
    let console = boot(small(), "guest_init.modules=\"ext4; dummy; ext4; jbd2; dummy\"").agent_ran();
    let modules = console.modules();
    assert_eq!(modules.len(), modules.iter().collect::<BTreeSet<_>>().len(), "{modules:?}");
    let place = |name| modules.iter().position(|module| *module == name);
    assert!(place("jbd2") < place("ext4") && place("ext4") < place("dummy"), "{modules:?}");
}

#[test]
fn the_words_for_a_pods_annotation_load_the_list_that_they_stand_for() {
    let card = Machine::under_test().card;
    let pod = tempfile::NamedTempFile::with_suffix(".yaml").expect("a temporary file");
    let list = format!("io.katacontainers.config.agent.kernel_modules: {}; dummy numdummies=2", card.entry);
    std::fs::write(&pod, format!("kind: Pod\nmetadata:\n  annotations:\n    {list}\n")).expect("it can be written");
    let mut kata = Command::new(env!("CARGO_BIN_EXE_guest-image"));
    let output = kata.args(["kata", "--annotation"]).arg(pod.path()).output().expect("guest-image runs");
    let words = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && !words.contains('"'), "{words}");
    let image = Image::new().modules(&format!("{}; dummy", card.driver)).build();
    let console = Vm::new(&image).options(["--nic", card.nic]).append(words.trim_end()).run().agent_ran();
    let missing = format!("plan {} EEE=1: EINVAL: the module has no such parameter: ignored", card.driver);
    let console = console.has(card.effect).has(&missing);
    assert_eq!(console.modules().last(), Some(&"dummy"));
    assert!(console.report().any(|line| line.contains("dummy1")), "{console}");
}

#[test]
fn both_of_katas_spellings_of_a_list_load_the_same_modules() {
    let words = r#"guest_init.modules=["loop","dummy"] guest_init.modules="virtio-net napi_tx=0; loop""#;
    let console = boot(small(), words).agent_ran();
    let modules = console.modules();
    assert_eq!((modules[0], modules[1]), ("loop", "dummy"), "{modules:?}");
    assert_eq!(modules.last(), Some(&"virtio_net"), "{modules:?}");
}

#[test]
fn text_indexes_serve_if_the_binary_ones_are_absent() {
    let empty = |image: Image, name: &str| with_file(image, name, "");
    let binary = ["modules.dep.bin", "modules.builtin.bin", "modules.alias.bin", "modules.symbols.bin"];
    let image = binary.into_iter().fold(small(), empty);
    let console = boot(image, "guest_init.modules=\"ext4; tcp_cubic; ifb\"").agent_ran();
    let modules = console.modules();
    assert!(["ext4", "jbd2", "ifb"].iter().all(|name| modules.contains(name)), "{modules:?}");
}

#[test]
fn an_alias_loads_its_module_unless_the_module_is_blacklisted() {
    let config = "alias first-* dummy\nblacklist loop\nblacklist dummy\n";
    let image = small().file("/etc/modprobe.d/alias.conf", config, 0o644);
    let list = "first-thing; rtnl-link-ifb; devname:loop-control; dummy; fs-ext4";
    let console = boot(image, &format!("guest_init.modules=\"{list}\" modprobe.blacklist=virtio-net")).agent_ran();
    let console =
        console.has("guest-init: dummy: not loaded: it is blacklisted").has("guest-init: loop: not loaded: it is");
    let modules = console.modules();
    assert_eq!((modules.first(), modules.get(1), modules.last()), (Some(&"ifb"), Some(&"dummy"), Some(&"ext4")));
}

#[test]
fn soft_dependencies_are_loaded_before_and_after_their_module() {
    let config = "softdep dummy pre: loop nosuch post: rtnl-link-ifb\nsoftdep ifb pre: dummy\n";
    let image = small().file("/etc/modprobe.d/soft.conf", config, 0o644);
    let console = boot(image, "guest_init.modules=dummy").agent_ran();
    assert_eq!(console.modules(), ["loop", "dummy", "ifb"]);
}

// Failures that are passed over.

#[test]
fn an_optional_module_may_be_missing() {
    let console = boot(small(), "guest_init.modules=\"?nosuch; dummy\"").agent_ran();
    let console =
        console.has("guest-init: plan nosuch: ENOENT: no module, alias or built-in of").has("optional, passed over");
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn an_optional_module_may_fail_to_load() {
    let console = boot(with_module(small(), "loop", "no module"), "guest_init.modules=\"?loop; dummy\"").agent_ran();
    let console = console.has("guest-init: load loop: ENOEXEC: no module").has("optional, passed over");
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn a_soft_dependency_may_fail_to_load() {
    let image = with_module(small(), "loop", "no module");
    let image = image.file("/etc/modprobe.d/soft.conf", "softdep dummy pre: loop\n", 0o644);
    let console = boot(image, "guest_init.modules=dummy").agent_ran();
    let console = console.has("guest-init: load loop: ENOEXEC: ").has("a soft dependency, passed over");
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn an_optional_entry_that_cannot_be_planned_is_passed_over() {
    let dependencies: String = (0..2048).map(|number| format!(" kernel/m{number}.ko")).collect();
    let (_, dummy) = Kernel::under_test().module("dummy");
    let image = with_dep(small(), format!("kernel/a.ko:{dependencies}\n{dummy}:\n"));
    let console = boot(image, "guest_init.modules=\"?a; dummy\"").agent_ran();
    let console = console.has("guest-init: plan a: E2BIG: more than 2,048 steps: optional, passed over");
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn an_unknown_option_of_a_soft_dependency_ends_no_strict_vm() {
    let config = "softdep dummy pre: loop\noptions loop nosuch=1\n";
    let image = small().file("/etc/modprobe.d/soft.conf", config, 0o644);
    let console = boot(image, "guest_init.strict=1 guest_init.modules=dummy").agent_ran();
    let console = console.has("guest-init: plan loop nosuch=1: EINVAL: the module has no such parameter: ignored");
    assert_eq!(console.modules(), ["loop", "dummy"]);
}

// Parameters.

#[test]
fn parameters_with_blanks_reach_the_module_whole() {
    // The kernel strips the quotes. Its warning names the parameter, so the blank did not start a second one.
    let console = boot(small(), r#"guest_init.modules="dummy;loop max_loop=3 max_part=5" loop.nosuch="a b""#);
    console.agent_ran().has("loop: unknown parameter 'nosuch' ignored").has("max_loop=3 max_part=5");
}

#[test]
fn an_unknown_parameter_is_reported_with_the_closest_name() {
    let console = boot(small(), "guest_init.modules=\"loop max_lop=3 dyndbg=+p; dummy\" dummy.nosuch=1").agent_ran();
    console
        .has("guest-init: plan loop max_lop=3: EINVAL: the module has no such parameter; nearest: max_loop: ignored")
        .has("guest-init: plan dummy nosuch=1: EINVAL: the module has no such parameter: ignored")
        .has_not("guest-init: plan loop dyndbg");
}

/// The small image with `loop` in a format that a test names, whatever the tree has.
fn with_compressed_loop(format: Format) -> Image {
    let plain = Kernel::under_test().plain("loop");
    // The checksum that the kernel's decoder for xz knows. Other formats have no such option.
    let arguments: &[&str] = if format == Format::Xz { &["--check=crc32"] } else { &[] };
    with_module(small(), "loop", compress(&plain, format.name(), arguments))
}

#[test]
fn an_unknown_parameter_of_a_compressed_module_is_reported_behind_its_load() {
    for format in Format::ALL {
        let words = "guest_init.modules=\"loop max_loop=3 max_lop=3 dyndbg=+p; dummy\"";
        let console = boot(with_compressed_loop(format), words).agent_ran();
        let line =
            "guest-init: plan loop max_lop=3: EINVAL: the module has no such parameter; nearest: max_loop: ignored";
        let console = console.in_order(&["loop: module loaded", line]).has("max_loop=3").has_not("plan loop dyndbg");
        assert_eq!(console.log().filter(|text| text.contains(line)).count(), 1, "{console}");
        assert_eq!(console.modules(), ["loop", "dummy"]);
    }
}

#[test]
fn words_behind_the_end_of_a_compressed_modules_parameters_are_reported_before_its_load() {
    let line = "guest-init: plan loop max_part=7: EINVAL: the kernel ignores the words after `--`: ignored";
    let image =
        with_compressed_loop(Format::Xz).file("/etc/modprobe.d/end.conf", "options loop -- max_part=7\n", 0o644);
    boot(image, "guest_init.modules=loop").agent_ran().in_order(&[line, "loop: module loaded"]);
}

#[test]
fn parameters_of_a_module_that_is_loaded_are_written_to_sysfs() {
    // tcp_cubic is built in and lets its parameters be changed. loop does not.
    let words = "guest_init.modules=\"tcp_cubic hystart=0; loop max_part=7; loop max_part=7 hw_queue_depth=9\"";
    boot(small(), &format!("{words} -- --cat /sys/module/tcp_cubic/parameters/hystart"))
        .agent_ran()
        .has("agent: /sys/module/tcp_cubic/parameters/hystart: 0")
        .has("guest-init: load loop hw_queue_depth=9: EACCES: the module is there already with another value, and this one")
        .has_not("guest-init: load loop max_part");
}

#[test]
fn parameters_come_from_the_configuration_the_command_line_and_the_entry() {
    let image = small().file("/etc/modprobe.d/loop.conf", "options loop max_loop=3 max_part=1\n", 0o644);
    let image = image.file("/lib/modprobe.d/loop.conf", "options loop hw_queue_depth=7\n", 0o644);
    let image = image.file("/run/modprobe.d/other.conf", "options loop hw_queue_depth=9\n", 0o644);
    boot(image, "guest_init.modules=\"loop max_part=15\" loop.max_part=7 loop.max_loop=5")
        .agent_ran()
        .has("hw_queue_depth=128 max_loop=5 max_part=15");
}

#[test]
fn parameters_that_an_install_command_replaces_are_reported() {
    let image = small().file("/etc/modprobe.d/install.conf", "install dummy /bin/true\n", 0o644);
    let console = boot(image, "guest_init.modules=\"dummy numdummies=2; loop\"").agent_ran();
    let line = "plan dummy numdummies=2: EINVAL: an install command of modprobe.d replaces the module: ignored";
    assert_eq!(console.has(line).modules(), ["loop"]);
}

// Files.

#[test]
fn modules_that_the_kernel_cannot_decompress_are_decompressed() {
    // Each format has a module. No kernel's decoder for xz takes CRC64.
    let arguments = |format| match format {
        Format::Gzip => "--best",
        Format::Xz => "--check=crc64",
        Format::Zstd => "-19",
    };
    let modules: [_; Format::ALL.len()] = ["dummy", "loop", "ifb"];
    let image = modules.iter().zip(Format::ALL).fold(small(), |image, (name, format)| {
        let plain = Kernel::under_test().plain(name);
        with_module(image, name, compress(&plain, format.name(), &[arguments(format)]))
    });
    let console = boot(image, "guest_init.modules=\"dummy numdummies=2; loop max_loop=3; ifb\"").agent_ran();
    let console = console.has("  dummy1  ").has("max_loop=3");
    assert_eq!(console.modules(), modules);
}

#[test]
fn lock_modules_lets_the_agent_load_no_more_modules() {
    let file = file_of("loop");
    let words = format!("guest_init.lock_modules=1 guest_init.modules=dummy -- --finit {file}");
    let console = boot(small(), &words).agent_ran().has(&format!("agent: finit {file}: EPERM"));
    assert_eq!(console.modules(), ["dummy"]);
}

// The agent's process.

#[test]
fn an_image_without_device_nodes_starts_an_agent_with_its_descriptors_open() {
    let console = boot(small().layout(BARE), "guest_init.modules=dummy").agent_ran();
    console
        .has("unable to open an initial console")
        .in_order(&["Open descriptors: 3", "0  /dev/console", "1  /dev/console", "2  /dev/console"])
        .in_order(&["Mounts: 5", "/proc", "/sys", "/dev", "/run"]);
}

#[test]
fn the_agent_gets_its_arguments_as_the_kernel_cuts_them() {
    let words = r#"guest_init.agent=/opt/agent quiet -- --cat /none "two words" key="a b" guest_init.nosuch=1 -- x"#;
    let console = boot(Image::new().add(&built().join("demo-agent"), "/opt/agent"), words).agent_ran();
    console
        .has(r#"argv "/opt/agent" "--cat" "/none" "two words" "key=a b" "guest_init.nosuch=1""#)
        .has(r#"       "--" "x""#);
}

#[test]
fn the_agents_process_is_as_the_kernel_makes_it() {
    // Nothing mounts /dev for an agent that the kernel starts, so its image has the node of the port that it reports
    // on.
    let (port, major, minor) = Machine::under_test().arch.report;
    let node =
        format!("[devices]\n\"/dev/{port}\" = {{ kind = \"char\", major = {major}, minor = {minor}, mode = 0o600 }}");
    let layout = include_str!("../../initramfs/layout.toml").replace("[devices]", &node);
    let look = "--quiet --cat /proc/self/status --cat /proc/self/limits --cat /proc/self/stat --cat /proc/self/cgroup";
    let state = |words: &str| {
        let console = boot(small().layout(&layout), words).agent_ran();
        let lines = console.report().filter_map(|line| line.strip_prefix("agent: /proc/self/"));
        lines.filter_map(comparable).collect::<Vec<_>>()
    };
    let direct = state(&format!("rdinit=/sbin/agent -- --mount proc proc /proc {look}"));
    let handed = state(&format!("guest_init.modules=dummy -- {look}"));
    assert!(direct.len() > 30, "{direct:?}");
    assert_eq!(handed, direct);
}

/// The part of a line that is the same from boot to boot: signals, credentials, limits, session, terminal.
fn comparable(line: &str) -> Option<String> {
    let (file, text) = line.split_once(": ")?;
    match file {
        "stat" => {
            // proc_pid_stat(5): behind the name come the state, and then ppid, pgrp, session, tty_nr and tpgid.
            let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(1..6)?.join(" "))
        }
        "status" => {
            let counts = ["Vm", "Rss", "Hugetlb", "voluntary", "nonvoluntary", "Name", "SigQ", "State"];
            (!counts.iter().any(|name| text.starts_with(name))).then(|| text.to_string())
        }
        _ => Some(text.to_string()),
    }
}
