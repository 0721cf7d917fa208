//! guest-image check: its findings about a VM, and its exit status.
//!
//! Most tests have a small tree made by hand. Those in [`real`] have the trees of three kernels.

mod agent;
mod devices;
mod disks;
mod kernels;
mod place;
mod real;
mod root;
mod signatures;
mod trees;
mod trouble;

use crate::support::program::init_for;
use guest_init::failure::Code;
use guest_init::machine;
use place::{MAGIC, Place};

/// Asserts the exit status and the lines of standard output.
#[track_caller]
fn prints(place: &Place, arguments: &[&str], status: i32, lines: &[&str]) {
    let outcome = place.check(arguments);
    assert_eq!(outcome.out.lines().collect::<Vec<_>>(), lines, "{}", outcome.err);
    assert_eq!((outcome.status, &outcome.err[..]), (status, ""));
}

#[test]
fn a_plan_has_a_line_for_each_step_with_parameters_of_every_source() {
    let place = Place::new();
    place.file("root/etc/modprobe.d/a.conf", "options net speed=1\nblacklist bus\n");
    place.file("root/lib/firmware/net/a.bin.xz", "");
    place.file("root/lib/firmware/updates/1.0/net/b-7.bin", "");
    let cmdline = "quiet net.names=x guest_init.modules=bus";
    prints(
        &place,
        &["--cmdline", cmdline, "net level=2; inside"],
        0,
        &[
            "insmod kernel/bus.ko",
            "insmod kernel/net.ko speed=1 names=x level=2",
            "builtin inside",
            "note: kernel/soft.ko: a soft dependency, passed over: modules.dep lists the file, and it is not there",
            "1.0: the VM would load 2 modules and start its agent",
        ],
    );
}

#[test]
fn all_failures_are_reported_at_once_as_in_the_guest() {
    let place = Place::new();
    place.tree("kernel/net.ko", "");
    std::fs::remove_file(place.path("root/lib/modules/1.0/kernel/bus.ko")).unwrap();
    place.file("root/etc/modprobe.d/a.conf", "install old /bin/false\n");
    place.file("root/lib/modules/2.0/modules.dep", "kernel/two.ko:\n");
    prints(
        &place,
        &["--release", "1.0", "nett; two; -x", "net; old; ?absent"],
        1,
        &[
            "failure: read LIST `-x`: EINVAL: a name begins with a letter, a digit or `_` (exit 0x25)",
            "failure: plan nett: ENOENT: no module, alias or built-in of 1.0; nearest: net (exit 0x32)",
            "failure: plan two: ENOENT: no module, alias or built-in of 1.0; it is in 2.0 (exit 0x32)",
            "failure: plan kernel/bus.ko: ENOENT: modules.dep lists the file, and it is not there (exit 0x33)",
            "failure: plan old: EPERM: modprobe.d has `install /bin/false` for it (exit 0x35)",
            "note: 0x25: look at the entry named; the list grammar in guest-init(8)",
            "note: 0x32: look at the spelling; whether the image holds that module",
            "note: 0x33: look at how the image was built",
            "note: 0x35: look at the image's modprobe.d; guest-init(8) has the commands that are understood",
            "warning: absent: optional, passed over: no module, alias or built-in of 1.0",
            "1.0: the VM would panic, exitcode=0x00002500",
        ],
    );
}

#[test]
fn words_of_the_command_line_fail_as_in_the_guest() {
    let place = Place::new();
    let end = |arguments: &[&str]| {
        let outcome = place.check(arguments);
        assert_eq!(outcome.status, 1, "{outcome:?}");
        outcome.out.lines().last().unwrap().split('=').nth(1).unwrap().to_string()
    };
    let code = |code: Code| format!("{:#010x}", u32::from(code as u8) << 8);
    assert_eq!(end(&["--cmdline", "guest_init.modle=net"]), code(Code::UnknownKey));
    assert_eq!(end(&["--cmdline", "guest_init.strict=yes"]), code(Code::BadValue));
    assert_eq!(end(&["--cmdline", "guest_init.modules=\"net"]), code(Code::UnbalancedQuote));
    assert_eq!(end(&["net; -x"]), code(Code::BadEntry));
    assert_eq!(end(&["--cmdline", "guest_init.strict=1", "net spede=1"]), code(Code::UnknownParameter));
    assert_eq!(end(&["--strict", "net spede=1"]), code(Code::UnknownParameter));
    assert_eq!(end(&[&"net;".repeat(513)]), code(Code::TooMany));
    assert_eq!(end(&["--release", "3.0", "net"]), code(Code::NoModuleTree));
}

#[test]
fn a_command_line_that_the_kernel_would_cut_is_a_failure() {
    let place = Place::new();
    let words = format!("guest_init.modules=bus x={}", "x".repeat(2047));
    let outcome = place.check(&["--cmdline", &words]);
    let line = "failure: read /proc/cmdline: E2BIG: it has 2047 bytes, as many as this kernel keeps";
    assert!(outcome.status == 1 && outcome.out.starts_with(line), "{outcome:?}");
    assert_eq!(place.check(&["--cmdline", &words[..2046]]).status, 0);
}

#[test]
fn the_machine_decides_how_long_a_command_line_may_be() {
    let place = Place::new();
    for machine in machine::ALL {
        place.file("root/sbin/guest-init", init_for(machine));
        let longest = machine.longest_command_line();
        let line = |length| format!("{:x<length$}", "x=");
        let cut = format!("failure: read /proc/cmdline: E2BIG: it has {longest} bytes, as many as this kernel keeps");
        for (length, is_cut) in [(longest - 1, false), (longest, true), (longest + 1, true)] {
            let outcome = place.check(&["--cmdline", &line(length)]);
            assert_eq!(outcome.out.starts_with(&cut), is_cut, "{machine}, {length}: {outcome:?}");
        }
    }
}

#[test]
fn a_word_behind_the_end_is_a_warning() {
    let cmdline = "guest_init.modules=bus -- root=/dev/vda";
    let warning =
        "warning: root=/dev/vda: only an argument of the agent, because it stands behind ` -- `: put it before ` -- `";
    let end = "1.0: the VM would load 1 module and start its agent";
    prints(&Place::new(), &["--cmdline", cmdline], 0, &["insmod kernel/bus.ko", warning, end]);
}

#[test]
fn a_module_in_place_of_a_parameter_is_a_failure() {
    let place = Place::new();
    let line = "read bus net: EINVAL: the module has no such parameter, but there is a module of that name: entries end at `;`";
    let outcome = place.check(&["bus net"]);
    assert_eq!((outcome.status, outcome.out.lines().next()), (1, Some(&*format!("failure: {line} (exit 0x25)"))));
    // Options of modprobe.d are the distribution's.
    place.file("root/etc/modprobe.d/a.conf", "options bus net\n");
    assert_eq!(place.check(&["bus"]).status, 0);
    let outcome = place.check(&["bus,net"]);
    let line = "failure: plan bus,net: ENOENT: no module, alias or built-in of 1.0; entries end at `;`, not at `,` (exit 0x32)";
    assert_eq!((outcome.status, outcome.out.lines().next()), (1, Some(line)));
}

#[test]
fn install_commands_that_call_modprobe_are_planned() {
    let place = Place::new();
    let lines = "install old modprobe -i bus $CMDLINE_OPTS && /sbin/sysctl -q --system\noptions old a=1\n\
                 install either modprobe nosuch || modprobe bus\ninstall neither modprobe nosuch || modprobe ghost\n";
    place.file("root/etc/modprobe.d/a.conf", lines);
    prints(
        &place,
        &["old async_probe=1"],
        0,
        &[
            "install modprobe -i bus $CMDLINE_OPTS && /sbin/sysctl -q --system a=1 async_probe=1",
            "insmod kernel/bus.ko a=1 async_probe=1",
            "warning: bus a=1: ignored, without guest_init.strict=1: the module has no such parameter",
            "note: old: its install command has more than modprobe, which is passed over: `/sbin/sysctl -q --system`",
            "1.0: the VM would load 1 module and start its agent",
        ],
    );
    let unknown = "an install command of modprobe.d loads it, and it does not exist";
    prints(
        &place,
        &["either"],
        0,
        &[
            "install modprobe nosuch || modprobe bus",
            "insmod kernel/bus.ko",
            &format!("warning: nosuch: optional, passed over: {unknown}"),
            "1.0: the VM would load 1 module and start its agent",
        ],
    );
    let outcome = place.check(&["neither"]);
    let line = format!("failure: plan ghost: ENOENT: {unknown} (exit 0x32)");
    assert_eq!((outcome.status, outcome.out.lines().next()), (1, Some(&*line)), "{}", outcome.out);
    assert_eq!(place.check(&["?neither; bus"]).status, 0);
}

#[test]
fn a_module_file_that_modules_dep_does_not_know_is_named() {
    let place = Place::new();
    place.tree("updates/dkms/own-net.ko.xz", "");
    place.tree("build/own-net.ko", "");
    let line = "failure: plan own_net: ENOENT: no module, alias or built-in of 1.0; updates/dkms/own-net.ko.xz is there, \
                but modules.dep has no line for it: run depmod (exit 0x32)";
    let outcome = place.check(&["own_net"]);
    assert_eq!((outcome.status, outcome.out.lines().next()), (1, Some(line)));
}

#[test]
fn a_module_that_was_compressed_after_depmod_is_found() {
    let place = Place::new();
    let file = |name: &str| place.path(&format!("root/lib/modules/1.0/kernel/{name}"));
    let bus = std::fs::read(file("bus.ko")).unwrap();
    std::fs::write(file("bus.ko.zst"), zstd::encode_all(&bus[..], 1).unwrap()).unwrap();
    std::fs::remove_file(file("bus.ko")).unwrap();
    let expected = ["insmod kernel/bus.ko", "1.0: the VM would load 1 module and start its agent"];
    prints(&place, &["bus"], 0, &expected);
    // The other way round.
    place.tree("modules.dep", "kernel/bus.ko.xz:\n");
    std::fs::rename(file("bus.ko.zst"), file("old.ko.zst")).unwrap();
    std::fs::write(file("bus.ko"), bus).unwrap();
    prints(&place, &["bus"], 0, &["insmod kernel/bus.ko.xz", expected[1]]);
}

#[test]
fn a_failure_is_reported_once() {
    let too_many = "failure: read bus: E2BIG: a VM takes at most 512 entries (exit 0x26)";
    let look = "note: 0x26: look at the bounds in guest-init(8)";
    prints(&Place::new(), &[&"bus;".repeat(999)], 1, &[too_many, look, "1.0: the VM would panic, exitcode=0x00002600"]);
}

#[test]
fn an_unknown_parameter_is_reported_with_those_that_exist() {
    let place = Place::new();
    place.file("root/lib/firmware/net/a.bin", "");
    place.file("root/lib/firmware/net/b-1.bin", "");
    let warned = [
        "insmod kernel/bus.ko",
        "insmod kernel/net.ko spede=1 x",
        "warning: net spede=1: ignored, without guest_init.strict=1: the module has no such parameter; nearest: speed",
        "warning: net x: ignored, without guest_init.strict=1: the module has no such parameter",
        "    speed (int): how fast",
        "    names (array of charp)",
        "    level: how much:really",
    ];
    let conclusion = "1.0: the VM would load 2 modules and start its agent";
    let soft = "note: kernel/soft.ko: a soft dependency, passed over: modules.dep lists the file, and it is not there";
    prints(&place, &["net spede=1 x"], 0, &[&warned[..], &[soft, conclusion]].concat());
    prints(&place, &["net spede=1 x", "--deny-warnings"], 1, &[&warned[..], &[soft, conclusion]].concat());
    // An optional entry fails nothing, even with guest_init.strict=1.
    prints(&place, &["?net spede=1 x", "--strict"], 0, &[&warned[..], &[soft, conclusion]].concat());
}

#[test]
fn missing_firmware_is_named() {
    let place = Place::new();
    let firmware = |arguments: &[&str]| {
        let out = place.check(&[&["net"], arguments].concat()).out;
        out.lines().filter(|line| line.contains("firmware")).map(String::from).collect::<Vec<_>>()
    };
    let all = "warning: net: 2 of 2 firmware files not in root/lib/firmware: net/a.bin, net/b-*.bin";
    assert_eq!(firmware(&[]), [all]);
    place.file("root/lib/firmware/net/b-1.bin.zst", "");
    assert_eq!(firmware(&[]), ["warning: net: 1 of 2 firmware files not in root/lib/firmware: net/a.bin"]);
    place.file("other/1.0/net/a.bin", "");
    assert_eq!(
        firmware(&["--firmware-dir", "other"]),
        ["warning: net: 1 of 2 firmware files not in other: net/b-*.bin"]
    );

    let outcome = place.run(&["check", "--module-dir", "root/lib/modules", "net"]);
    let note = "note: firmware of net was not looked for; name its folder with --root or --firmware-dir";
    assert!(outcome.out.lines().any(|line| line == note), "{}", outcome.out);
}

#[test]
fn parameters_of_a_loaded_or_built_in_module_are_set_in_sysfs() {
    let note = "note: bus: speed=1: set through /sys/module/bus/parameters, if the module allows it";
    let lines = ["insmod kernel/bus.ko", "adjust bus speed=1", note];
    let place = Place::new();
    let outcome = place.check(&["bus; bus speed=1; inside x=y"]).out;
    assert_eq!(outcome.lines().take(2).chain(outcome.lines().filter(|line| *line == note)).collect::<Vec<_>>(), lines);
    let note = "note: inside: x=y: set through /sys/module/inside/parameters, if the module allows it";
    assert!(outcome.lines().any(|line| line == note), "{outcome}");
}

#[test]
fn missing_and_excluded_modules_of_an_image_are_reported() {
    let place = Place::new();
    std::fs::remove_file(place.path("root/lib/modules/1.0/modules.builtin")).unwrap();
    place.file("root/etc/modprobe.d/a.conf", "blacklist net\n");
    prints(
        &place,
        &["pci:v12"],
        0,
        &[
            "blacklisted net",
            "warning: net: not loaded: it is blacklisted, and was asked for by an alias",
            "warning: modules.builtin.bin and modules.builtin are missing: the name of a built-in module would be unknown",
            "1.0: the VM would load 0 modules and start its agent",
        ],
    );
}

#[test]
fn lists_and_trees_are_read_from_shares() {
    let place = Place::new();
    place.file("share/pod/list", "# what pod 7 needs\nbus\n");
    std::fs::rename(place.path("root/lib/modules"), place.path("share/trees")).unwrap();
    let words = "guest_init.modules_file=virtiofs:kata:/pod/list guest_init.module_dir=virtiofs:kata:/trees";
    let outcome = place.check(&["--cmdline", words, "--share", "kata=share"]);
    let expected = "insmod kernel/bus.ko\n1.0: the VM would load 1 module and start its agent\n";
    assert_eq!((outcome.status, &outcome.out[..]), (0, expected), "{}", outcome.err);
    let outcome = place.check(&["--cmdline", words]);
    let expected = "guest-image: guest_init.modules_file=virtiofs:kata:/pod/list: a share: name its folder with --share \
                    TAG=DIR\n";
    assert_eq!((outcome.status, &outcome.err[..]), (2, expected));
    let outcome = place.check(&["--cmdline", &words.replace("pod/list", "../x"), "--share", "kata=share"]);
    assert!(outcome.status == 1 && outcome.out.contains("(exit 0x28)"), "{outcome:?}");
}

#[test]
fn json_has_the_same_findings() {
    let place = Place::new();
    let found = place.json(&["net spede=1; ?inside"]);
    assert_eq!(found["release"], "1.0");
    assert_eq!(found["modules"], "root/lib/modules/1.0");
    assert_eq!((&found["reaches_agent"], &found["code"]), (&true.into(), &serde_json::Value::Null));
    let expected = serde_json::json!([
        {"action": "insmod", "module": "bus", "file": "kernel/bus.ko", "parameters": "", "entry": "net",
         "required": true, "optional": false, "passed_over": false},
        {"action": "insmod", "module": "net", "file": "kernel/net.ko", "parameters": "spede=1", "entry": "net",
         "required": true, "optional": false, "passed_over": false},
        {"action": "builtin", "module": "inside", "file": null, "parameters": "", "entry": "inside",
         "required": true, "optional": true, "passed_over": false},
    ]);
    let steps: Vec<_> = found["steps"].as_array().unwrap().iter().filter(|step| step["module"] != "soft").collect();
    assert_eq!(serde_json::to_value(steps).unwrap(), expected);
    let kinds = |key: &str| {
        let remarks = found[key].as_array().unwrap().iter();
        remarks.map(|remark| format!("{} {}", remark["kind"], remark["module"])).collect::<Vec<_>>()
    };
    assert_eq!(kinds("warnings"), [r#""parameter" "net""#, r#""firmware" "net""#]);
    assert_eq!(kinds("notes"), [r#""passed-over" "soft""#]);
    let parameters = &found["warnings"][0]["parameters"];
    let speed = serde_json::json!({"name": "speed", "type": "int", "description": "how fast"});
    assert_eq!((&parameters[0], parameters.as_array().unwrap().len()), (&speed, 3));

    let found = place.json(&["nett"]);
    let failure = serde_json::json!({"code": "0x32", "stage": "plan", "subject": "nett", "errno": "ENOENT",
        "reason": "no module, alias or built-in of 1.0; nearest: net"});
    assert_eq!((&found["code"], &found["failures"]), (&"0x32".into(), &serde_json::json!([failure])));
    assert_eq!((&found["reaches_agent"], &found["steps"]), (&false.into(), &serde_json::json!([])));
}
