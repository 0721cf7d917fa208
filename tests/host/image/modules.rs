//! guest-image build: the modules that an image gets, and the remarks on them.

use std::fs;

use super::with_tree;
use super::work::{listing, text_of};
use crate::support::module::module;
use crate::support::scene::compress;

#[test]
fn with_several_trees_a_release_must_be_named() {
    let work = with_tree();
    fs::create_dir(work.path("lib/modules/left-over")).unwrap();
    work.build(&["base", "--module-dir", "lib/modules", "--agent", "agent"]);
    work.remove_image();
    work.file("lib/modules/2.0/modules.dep", "");
    let printed = work.fails(&["base", "--agent", "agent"]);
    assert_eq!(printed, "guest-image: lib/modules: several module trees; choose with --release among 1.0, 2.0\n");
    let arguments = ["base", "--release", "1.0", "--module-dir", "lib/modules", "--agent", "agent"];
    assert_eq!(work.build(&arguments), "initramfs.img: 1 module");
    // An image without modules needs no tree.
    assert_eq!(work.build(&["--module-dir", "nowhere", "--agent", "agent"]), "initramfs.img: 0 modules");
}

#[test]
fn modules_from_outside_the_tree_keep_their_path() {
    let work = with_tree();
    work.file("extra/out.ko", "out");
    let path = work.path("extra/out.ko");
    work.file("lib/modules/1.0/modules.dep", format!("{}: kernel/a/base.ko\nkernel/a/base.ko:\n", path.display()));
    work.build(&["out", "--module-dir", "lib/modules", "--agent", "agent"]);
    let image = work.image();
    assert_eq!(text_of(&image, path.strip_prefix("/").unwrap().to_str().unwrap()), "out");
    assert_eq!(text_of(&image, "lib/modules/1.0/kernel/a/base.ko"), "base");
}

#[test]
fn an_install_command_that_ends_the_boot_is_refused() {
    let work = with_tree();
    work.file("etc/a.conf", "install mid /bin/false\ninstall other /sbin/unknown\n");
    let arguments = ["?other; top-mod", "--module-dir", "lib/modules", "--agent", "agent", "--config", "etc"];
    let printed = work.fails(&arguments);
    assert_eq!(printed, "guest-image: plan mid: EPERM: modprobe.d has `install /bin/false` for it\n");
    let printed = work.build(&[&arguments[..], &["--allow-missing"]].concat());
    let lines: Vec<_> = printed.lines().map(|line| line.split(": E").next().unwrap()).collect();
    let warned = ["plan mid", "plan other"].map(|what| format!("guest-image: warning: {what}"));
    assert_eq!(lines, [&warned[0], &warned[1], "initramfs.img: 3 modules"]);
}

#[test]
fn the_modules_that_an_install_command_loads_are_in_the_image() {
    let work = with_tree();
    work.file("etc/a.conf", "install other modprobe -i base && sysctl -q --system; modprobe soft || modprobe ghost\n");
    let printed = work.build(&["other", "--module-dir", "lib/modules", "--agent", "agent", "--config", "etc"]);
    let lines: Vec<_> = printed.lines().collect();
    let [passed_over, ghost, image] = lines[..] else { panic!("{printed}") };
    let warning = "guest-image: warning: other: its install command has more than modprobe, which is passed over: `";
    assert_eq!(passed_over, format!("{warning}sysctl -q --system`"));
    assert!(ghost.starts_with("guest-image: warning: plan ghost: ENOENT: an install command of modprobe.d loads it"));
    assert_eq!(image, "initramfs.img: 2 modules");
    let lines = listing(&work.image());
    assert!(lines.contains("/a/base.ko\n") && lines.contains("/b/soft.ko\n"), "{lines}");
}

#[test]
fn a_module_that_depmod_does_not_know_is_named_and_one_that_was_compressed_is_taken() {
    let work = with_tree();
    work.file("lib/modules/1.0/updates/new.ko", "");
    let printed = work.fails(&["new", "--agent", "agent"]);
    let end = "; updates/new.ko is there, but modules.dep has no line for it: run depmod\n";
    assert!(printed.starts_with("guest-image: plan new: ENOENT: ") && printed.ends_with(end), "{printed}");
    let base = work.path("lib/modules/1.0/kernel/a/base.ko");
    fs::rename(&base, base.with_extension("ko.xz")).unwrap();
    let printed = work.build(&["base", "--module-dir", "lib/modules", "--agent", "agent"]);
    assert_eq!(printed, "initramfs.img: 1 module");
}

#[test]
fn compressed_modules_are_plain_in_an_image_unless_they_are_to_stay_unchanged() {
    let plain = module(&["license=GPL"], b"crc and a signature");
    let work = with_tree();
    let outside = work.path("extra/g.ko.gz");
    let outside = outside.display();
    let dep = format!("kernel/a/x.ko.xz: kernel/a/z.ko.zst {outside}\nkernel/a/z.ko.zst:\n{outside}:\n");
    work.file("lib/modules/1.0/modules.dep", &dep);
    work.file("lib/modules/1.0/kernel/a/x.ko.xz", compress(&plain, "xz", &[]));
    work.file("lib/modules/1.0/kernel/a/z.ko.zst", compress(&plain, "zstd", &[]));
    work.file("extra/g.ko.gz", compress(&plain, "gzip", &[]));
    let build = |options: &[&str]| {
        work.build(&[&["x", "--module-dir", "lib/modules", "--agent", "agent"], options].concat());
        let image = work.image();
        let modules = image.iter().filter(|entry| entry.path.contains(".ko"));
        let modules: Vec<_> = modules.map(|entry| (entry.path.clone(), entry.content.clone())).collect();
        (text_of(&image, "lib/modules/1.0/modules.dep"), modules)
    };
    for options in [&[][..], &["--module-files", "plain"]] {
        let (lines, modules) = build(options);
        assert_eq!(lines, dep.replace(".xz", "").replace(".zst", "").replace(".gz", ""));
        assert_eq!(modules.len(), 3);
        assert!(modules.iter().all(|(path, content)| path.ends_with(".ko") && *content == plain));
    }
    let (lines, unchanged) = build(&["--module-files", "unchanged"]);
    assert_eq!(lines, dep);
    assert!(unchanged.iter().all(|(_, content)| *content != plain));
    // A VM loads few of all modules.
    assert!(build(&["--all-modules"]) == (dep, unchanged));
}

#[test]
fn a_damaged_compressed_module_is_an_error_that_names_it() {
    let work = with_tree();
    let whole = compress(b"a module", "xz", &[]);
    work.file("lib/modules/1.0/kernel/a/mid.ko.xz", &whole[..whole.len() - 1]);
    let text = "load mid: ENOEXEC: its xz data ends early: the file is truncated; copy it again";
    assert_eq!(work.fails(&["mid", "--agent", "agent"]), format!("guest-image: {text}\n"));
}

#[test]
fn a_module_for_another_kernel_is_a_warning() {
    let work = with_tree();
    work.file("lib/modules/1.0/kernel/a/base.ko", module(&["vermagic=0.9 SMP "], b"crc"));
    let arguments = ["base", "--module-dir", "lib/modules", "--agent", "agent"];
    let warning = "guest-image: warning: load base: ENOEXEC: built for 0.9, this kernel is 1.0\n";
    assert_eq!(work.build(&arguments), format!("{warning}initramfs.img: 1 module"));
    work.file("lib/modules/1.0/config", "CONFIG_MODVERSIONS=y\n");
    let text = "it loads only if the versions of its symbols are this kernel's";
    let warning = format!("guest-image: warning: base: built for 0.9, this kernel is 1.0: {text}\n");
    assert_eq!(work.build(&arguments), format!("{warning}initramfs.img: 1 module"));
}

#[test]
fn the_drivers_of_the_modaliases_are_in_the_image() {
    let work = with_tree();
    work.file("devices", "pci:v1d2\nusb:v1\n");
    work.file("more", "virtio:d1\n");
    let arguments = ["--module-dir", "lib/modules", "--agent", "agent", "@devices"];
    let with = |more: &[&'static str]| [&arguments[..], more].concat();
    assert_eq!(work.build(&with(&["--modalias", "more"])), "initramfs.img: 1 module");
    work.remove_image();
    // top-mod with mid, base and soft.
    assert_eq!(work.build(&with(&["--modalias", "devices", "--modalias", "more"])), "initramfs.img: 4 modules");
    work.remove_image();
    assert!(work.build(&with(&["--all-modules"])).ends_with("initramfs.img: 5 modules"));
    work.remove_image();

    let printed = work.fails(&arguments);
    let end = "FILE, as `cat /sys/bus/*/devices/*/modalias` prints them in such a VM, or take --all-modules\n";
    let start = "guest-image: @devices: the image would have no drivers: give their modaliases with --modalias ";
    assert_eq!(printed, [start, end].concat());
    let printed = work.fails(&["--modalias", "devices", "--agent", "agent", "other"]);
    assert_eq!(printed, "guest-image: --modalias has no effect: no list has the entry @devices\n");
}

#[test]
fn an_add_on_gets_its_own_modules_and_what_no_tree_has_is_a_warning() {
    let work = with_tree();
    work.file("add/1.0/modules.dep", "extra/gpu.ko: extra/gpu-lib.ko\nextra/gpu-lib.ko:\n");
    work.file("add/1.0/extra/gpu.ko", module(&["depends=gpu-lib,mid,absent,inside"], b"crc"));
    work.file("add/1.0/extra/gpu-lib.ko", module(&["depends="], b"crc"));
    let arguments = ["gpu; top-mod", "--module-dir", "add", "--agent", "agent"];
    let needs = |name: &str| {
        let advice = "which no tree has; name the tree that has it with --base";
        format!("guest-image: warning: gpu: it needs {name}, {advice}\n")
    };
    let printed = work.build(&[&arguments[..], &["--base", "lib/modules"]].concat());
    assert_eq!(printed, format!("{}initramfs.img: 2 modules", needs("absent")));
    let image = work.image();
    assert_eq!(text_of(&image, "lib/modules/1.0/modules.dep"), "extra/gpu.ko: extra/gpu-lib.ko\nextra/gpu-lib.ko:\n");
    assert!(!listing(&image).contains("base.ko"));

    let printed = work.build(&[&["gpu"], &arguments[1..]].concat());
    let warnings = ["mid", "absent", "inside"].map(needs).concat();
    assert_eq!(printed, format!("{warnings}initramfs.img: 2 modules"));
    work.remove_image();
    assert!(work.fails(&arguments).starts_with("guest-image: plan top-mod: ENOENT: "));
    let printed = work.fails(&[&arguments[..], &["--base", "nowhere"]].concat());
    assert_eq!(printed, "guest-image: plan nowhere: ENOENT: the directory can't be opened\n");
    let printed = work.fails(&[&arguments[..], &["--module-dir", "lib/modules"]].concat());
    let reason = "several --module-dir: name those that the VM has besides with --base";
    assert_eq!(printed, format!("guest-image: {reason}\n"));
}
