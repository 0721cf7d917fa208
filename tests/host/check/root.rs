//! guest-image check and build with a `--root` whose links and paths are absolute: they begin at that root.

use std::fs;
use std::os::unix::fs::symlink;

use guest_init::machine::{AARCH64, X86_64};
use serde_json::json;

use super::place::{MAGIC, Place};
use super::prints;
use crate::support::container::{self, Tar};
use crate::support::module::{elf, module, module_for};
use crate::support::program::{init, init_for};

/// Makes a link below the root, and the folders on the way.
fn link(place: &Place, target: &str, path: &str) {
    let path = place.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

/// Moves a file below the root and leaves an absolute link to it, as alternatives, weak-updates and Nix do.
fn link_to(place: &Place, to: &str, path: &str) {
    let target = place.path(&format!("root{to}"));
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::rename(place.path(path), target).unwrap();
    link(place, to, path);
}

/// A root whose every link is absolute, from `/lib` on.
fn linked() -> Place {
    let place = Place::new();
    place.file("root/lib/firmware/net/a.bin", "firmware");
    place.file("root/lib/firmware/net/b-1.bin", "");
    place.file("root/etc/modprobe.d/a.conf", "options net speed=1\n");
    place.file("root/opt/out.ko", module(&[super::MAGIC], b""));
    place.tree("modules.dep", "kernel/net.ko: kernel/bus.ko\nkernel/bus.ko:\n/opt/out.ko: kernel/bus.ko\n");
    place.tree("modules.softdep", "");
    link_to(&place, "/weak/bus.ko", "root/lib/modules/1.0/kernel/bus.ko");
    link_to(&place, "/etc/alternatives/a.bin", "root/lib/firmware/net/a.bin");
    link_to(&place, "/etc/alternatives/a.conf", "root/etc/modprobe.d/a.conf");
    link_to(&place, "/store/modules", "root/lib/modules");
    link_to(&place, "/usr/lib", "root/lib");
    place
}

#[test]
fn absolute_links_and_paths_begin_at_the_root() {
    prints(
        &linked(),
        &["net; out"],
        0,
        &[
            "insmod kernel/bus.ko",
            "insmod kernel/net.ko speed=1",
            "insmod /opt/out.ko",
            "1.0: the VM would load 3 modules and start its agent",
        ],
    );
}

#[test]
fn an_image_holds_the_files_that_links_of_the_root_lead_to() {
    let place = linked();
    place.file("init", init());
    let config = ["--config", "root/etc/modprobe.d", "--root", "root", "--agent", "init", "--json"];
    let outcome = place.run(&[&["build", "--init", "init", "net; out"], &config[..]].concat());
    assert_eq!((outcome.status, &outcome.err[..]), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    let size = |path: &str| {
        let file = report["files"].as_array().unwrap().iter().find(|file| file["path"] == path);
        file.map(|file| file["size"].as_u64().unwrap())
    };
    let bus = fs::metadata(place.path("root/weak/bus.ko")).unwrap().len();
    assert_eq!(size("lib/modules/1.0/kernel/bus.ko"), Some(bus));
    assert_eq!(size("opt/out.ko"), Some(bus));
    assert_eq!(size("lib/firmware/net/a.bin"), Some(8));
    assert_eq!(size("etc/modprobe.d/a.conf"), Some(20));
}

#[test]
fn a_link_that_leads_to_nothing_below_the_root_never_leads_to_the_host() {
    let place = Place::new();
    // Both are on every host.
    fs::remove_file(place.path("root/lib/modules/1.0/kernel/bus.ko")).unwrap();
    link(&place, "/proc/self/exe", "root/lib/modules/1.0/kernel/bus.ko");
    let outcome = place.check(&["bus"]);
    let missing = "failure: plan kernel/bus.ko: ENOENT: modules.dep lists the file, and it is not there (exit 0x33)";
    assert_eq!((outcome.status, outcome.out.lines().next()), (1, Some(missing)), "{}", outcome.err);

    fs::remove_dir_all(place.path("root/lib")).unwrap();
    link(&place, "/proc/self/root/lib", "root/lib");
    let outcome = place.check(&["bus"]);
    assert_eq!(outcome.status, 2, "{outcome:?}");
}

#[test]
fn a_root_with_modules_and_firmware_below_usr_alone_is_found() {
    let place = Place::new();
    place.file("root/lib/firmware/net/a.bin", "");
    fs::create_dir(place.path("root/usr")).unwrap();
    fs::rename(place.path("root/lib"), place.path("root/usr/lib")).unwrap();
    let outcome = place.check(&["net"]);
    let firmware = "warning: net: 1 of 2 firmware files not in root/usr/lib/firmware: net/b-*.bin";
    let found = outcome.out.lines().filter(|line| line.starts_with("insmod ") || *line == firmware).count();
    assert_eq!((outcome.status, found), (0, 3), "{outcome:?}");
    let remark = "root/usr/lib/modules: a guest looks in /lib/modules; it needs /lib as a link to usr/lib";
    assert!(outcome.out.contains(&format!("note: {remark}\n")), "{outcome:?}");
    place.file("root/sbin/guest-init", init());
    let outcome = place.check(&["net"]);
    assert!(outcome.out.contains(&format!("warning: {remark}\n")), "{outcome:?}");
}

#[test]
fn the_kernel_chooses_the_image_of_an_oci_layout() {
    let place = Place::new();
    place.file("layout/x", "");
    let layout = place.path("layout");
    let images = [(&X86_64, "amd64"), (&AARCH64, "arm64")].map(|(machine, name)| {
        let tar = Tar::new()
            .file("sbin/agent", 0o755, init_for(machine))
            .file("lib/modules/1.0/modules.dep", 0o644, format!("{name}.ko:\n"))
            .file(&format!("lib/modules/1.0/{name}.ko"), 0o644, module_for(machine, &[MAGIC], b""));
        let mut image = container::image(&layout, name, &[tar.bytes()], &[]);
        image["platform"] = json!({ "os": "linux", "architecture": name });
        image
    });
    container::index(&layout, &images);
    let kernel = elf(&AARCH64, 2, &[(".rodata", b"Linux version 1.0 (builder)\0")]);
    place.file("vmlinux", kernel);
    place.file("pod.toml", "[agent.kata]\nkernel_modules = [\"arm64\"]\n");
    let options = ["--root", "layout", "--kernel", "vmlinux"];
    for command in [&["check", "arm64"][..], &["kata", "pod.toml", "--check"]] {
        let outcome = place.run(&[command, &options].concat());
        let loads = outcome.out.lines().any(|line| line == "insmod arm64.ko");
        assert!(loads && outcome.status == 0, "{outcome:?}");
    }
}
