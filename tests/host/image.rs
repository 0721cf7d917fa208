//! guest-image build: the files of an image, the failures, and that the same input makes the same image.
//!
//! Most tests have a small tree made by hand. Those in [`real`] have a kernel's tree.

mod additions;
mod append;
mod compression;
mod container_image;
mod debian;
mod modules;
mod programs;
mod real;
mod whole_root;
pub mod work;

use std::fs;

use crate::support::module::module;
use crate::support::program::init;
use work::{AGENT, Work, listing, text_of, unpack};

/// top-mod needs mid and base, and has the soft dependencies soft, and absent, which does not exist. Nothing needs
/// other. inside is built in.
const TREE: &[(&str, &str)] = &[
    ("kernel/a/top-mod.ko", "top"),
    ("kernel/a/mid.ko.xz", "mid"),
    ("kernel/a/base.ko", "base"),
    ("kernel/b/soft.ko", "soft"),
    ("kernel/b/other.ko", "other"),
    (
        "modules.dep",
        "kernel/a/top-mod.ko: kernel/a/mid.ko.xz kernel/a/base.ko\nkernel/a/mid.ko.xz: kernel/a/base.ko\n\
         kernel/a/base.ko:\nkernel/b/soft.ko:\nkernel/b/other.ko:\n",
    ),
    ("modules.alias", "# aliases\nalias pci:v*d[0-9]* top_mod\nalias fs-x other\nalias virtio:* base\n"),
    ("modules.symbols", "alias symbol:base_go base\nalias symbol:other_go other\n"),
    ("modules.builtin", "kernel/c/inside.ko\n"),
    ("modules.builtin.modinfo", "inside.alias=in-side\0inside.license=GPL\0"),
    ("modules.softdep", "softdep top-mod pre: soft absent\n"),
    ("modules.order", "kernel/a/base.ko\nkernel/b/other.ko\nkernel/a/mid.ko\nkernel/a/top-mod.ko\n"),
];

pub fn with_tree() -> Work {
    let work = Work::new();
    TREE.iter().for_each(|(path, text)| work.file(&format!("lib/modules/1.0/{path}"), text));
    work
}

#[test]
fn an_image_holds_the_layout_and_the_modules_of_the_list() {
    let work = with_tree();
    let printed = work.build(&["top-mod a=1; in-side", "--module-dir", "lib/modules", "--agent", "agent"]);
    assert_eq!(printed, "initramfs.img: 4 modules");
    let expected = "\
        d 0755 dev\n\
        c 0600 dev/console 5:1\n\
        c 0644 dev/kmsg 1:11\n\
        c 0666 dev/null 1:3\n\
        d 0755 etc\n\
        d 0755 etc/modprobe.d\n\
        l 0777 init -> sbin/guest-init\n\
        d 0755 lib\n\
        d 0755 lib/modules\n\
        d 0755 lib/modules/1.0\n\
        d 0755 lib/modules/1.0/kernel\n\
        d 0755 lib/modules/1.0/kernel/a\n\
        f 0644 lib/modules/1.0/kernel/a/base.ko\n\
        f 0644 lib/modules/1.0/kernel/a/mid.ko\n\
        f 0644 lib/modules/1.0/kernel/a/top-mod.ko\n\
        d 0755 lib/modules/1.0/kernel/b\n\
        f 0644 lib/modules/1.0/kernel/b/soft.ko\n\
        f 0644 lib/modules/1.0/modules.alias\n\
        f 0644 lib/modules/1.0/modules.alias.bin\n\
        f 0644 lib/modules/1.0/modules.builtin\n\
        f 0644 lib/modules/1.0/modules.builtin.alias.bin\n\
        f 0644 lib/modules/1.0/modules.builtin.bin\n\
        f 0644 lib/modules/1.0/modules.builtin.modinfo\n\
        f 0644 lib/modules/1.0/modules.dep\n\
        f 0644 lib/modules/1.0/modules.dep.bin\n\
        f 0644 lib/modules/1.0/modules.order\n\
        f 0644 lib/modules/1.0/modules.softdep\n\
        f 0644 lib/modules/1.0/modules.symbols\n\
        f 0644 lib/modules/1.0/modules.symbols.bin\n\
        d 0555 proc\n\
        d 0755 run\n\
        d 0755 sbin\n\
        f 0755 sbin/agent\n\
        f 0755 sbin/guest-init\n\
        l 0777 sbin/modprobe -> guest-init\n\
        d 0555 sys\n\
        d 1777 tmp\n\
        d 0755 usr\n\
        d 0755 usr/sbin\n\
        l 0777 usr/sbin/modprobe -> /sbin/guest-init\n";
    let image = work.image();
    assert_eq!(listing(&image), expected);
    assert_eq!(text_of(&image, "sbin/agent"), AGENT);
    assert_eq!(text_of(&image, "lib/modules/1.0/kernel/a/mid.ko"), "mid");
}

#[test]
fn the_indexes_have_only_the_modules_of_the_image() {
    let work = with_tree();
    work.build(&["top_mod", "--module-dir", "lib/modules", "--agent", "agent"]);
    let text = |name: &str| text_of(&work.image(), &format!("lib/modules/1.0/{name}"));
    assert_eq!(text("modules.alias"), "alias pci:v*d[0-9]* top_mod\nalias virtio:* base\n");
    assert_eq!(text("modules.symbols"), "alias symbol:base_go base\n");
    assert_eq!(text("modules.order"), "kernel/a/base.ko\nkernel/a/mid.ko\nkernel/a/top-mod.ko\n");
    let dep = "kernel/a/top-mod.ko: kernel/a/mid.ko kernel/a/base.ko\nkernel/a/mid.ko: kernel/a/base.ko\n\
               kernel/a/base.ko:\nkernel/b/soft.ko:\n";
    assert_eq!(text("modules.dep"), dep);

    unpack(&work.image(), &work.path("guest"));
    let names = ["top-mod", "pci:v1d2", "virtio:x", "inside", "in_side", "symbol:base_go", "fs-x", "other"];
    let plans = names.map(|name| work::plan(&work.path("guest/lib/modules"), "1.0", name).unwrap_or_default());
    let base = "insmod kernel/a/base.ko \n";
    let top = format!("{base}insmod kernel/a/mid.ko \ninsmod kernel/b/soft.ko \ninsmod kernel/a/top-mod.ko \n");
    assert_eq!(plans[..2], [&top[..], &top]);
    assert_eq!(plans[2..], [base, "builtin inside\n", "builtin inside\n", base, "", ""]);
}

#[test]
fn each_file_of_an_image_is_reported_with_its_reason() {
    let work = with_tree();
    let named = module(&["firmware=soft/a.bin", "firmware=soft/b.bin"], b"");
    work.file("lib/modules/1.0/kernel/b/soft.ko", &named);
    work.file("lib/firmware/soft/a.bin", "a");
    work.file("etc/a.conf", "#");
    let arguments = ["base; top-mod", "--root", ".", "--agent", "agent", "--config", "etc", "--add", "init:/opt/x"];
    let output = work.command(&arguments).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = printed.lines().filter(|line| !line.contains("  module tree  ")).collect();
    let expected = [
        "        1 B  --config          etc/modprobe.d/a.conf",
        "        1 B  firmware of soft  lib/firmware/soft/a.bin",
        "        4 B  base              lib/modules/1.0/kernel/a/base.ko",
        "        3 B  top-mod           lib/modules/1.0/kernel/a/mid.ko",
        "        3 B  top-mod           lib/modules/1.0/kernel/a/top-mod.ko",
        &format!("{:>9} B  top-mod           lib/modules/1.0/kernel/b/soft.ko", named.len()),
        &format!("{:>9} B  --add             opt/x", init().len()),
        "       19 B  --agent           sbin/agent",
        &format!("{:>9} B  --init            sbin/guest-init", init().len()),
    ];
    assert_eq!(lines, expected);

    let output = work.command(&[&arguments[..], &["--json"]].concat()).output().unwrap();
    let warning = "guest-image: warning: soft: 1 of 2 firmware files not in ./lib/firmware: soft/b.bin\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), warning);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let image = work.image();
    assert_eq!(
        (&report["image"], &report["release"], &report["modules"]),
        (&"initramfs.img".into(), &"1.0".into(), &4.into())
    );
    assert_eq!(report["size"], fs::metadata(work.path("initramfs.img")).unwrap().len());
    let files = report["files"].as_array().unwrap();
    let there = image.iter().filter(|entry| entry.mode & 0o170_000 == 0o100_000);
    let report = files.iter().map(|file| (file["path"].as_str().unwrap(), file["size"].as_u64().unwrap()));
    assert!(there.map(|entry| (&entry.path[..], entry.content.len() as u64)).eq(report));
    assert_eq!(text_of(&image, "lib/firmware/soft/a.bin"), "a");

    let output = work.command(&["--all-modules", "--module-dir", "lib/modules", "--agent", "agent"]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.lines().any(|line| line == format!("{:>9} B  --all-modules  5 modules", named.len() + 15)),
        "{printed}"
    );
}

#[test]
fn the_same_input_makes_the_same_bytes() {
    let build = |compress, epoch: Option<&str>| {
        let work = with_tree();
        let mut command = work.command(&["--all-modules", "--quiet", "--compress", compress, "--root", "."]);
        command.args(["--agent", "agent"]).env_remove("SOURCE_DATE_EPOCH");
        epoch.map(|epoch| command.env("SOURCE_DATE_EPOCH", epoch));
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        (fs::read(work.path("initramfs.img")).unwrap(), work.image())
    };
    for compress in ["zstd", "none"] {
        let (first, entries) = build(compress, None);
        assert_eq!(first, build(compress, None).0);
        assert!(entries.iter().all(|entry| (entry.mtime, entry.owner) == (0, (0, 0))));
        let inodes: Vec<_> = entries.iter().map(|entry| entry.inode).collect();
        assert_eq!(inodes, (1..=entries.len() as u32).collect::<Vec<_>>());
    }
    assert!(build("none", Some("1700000000")).1.iter().all(|entry| entry.mtime == 1_700_000_000));
}

#[test]
fn all_failures_are_reported_and_no_image_is_written() {
    let work = with_tree();
    fs::remove_file(work.path("lib/modules/1.0/kernel/a/base.ko")).unwrap();
    let printed = work.fails(&["top-mod; sooft; ?absent", "nothing", "--agent", "agent"]);
    let expected = "\
        guest-image: plan sooft: ENOENT: no module, alias or built-in of 1.0; nearest: soft\n\
        guest-image: plan nothing: ENOENT: no module, alias or built-in of 1.0\n\
        guest-image: plan kernel/a/base.ko: ENOENT: modules.dep lists the file, and it is not there\n";
    assert_eq!(printed, expected);

    let printed = work.fails(&["--all-modules", "--agent", "agent"]);
    assert_eq!(printed.lines().count(), 1, "{printed}");
    let printed = work.fails(&["base; -x; a\"b", "/y", "--agent", "agent"]);
    let subjects: Vec<_> = printed.lines().filter_map(|line| line.split(": E").next()).collect();
    let expected = ["`-x`", "`a\"b`", "`/y`"].map(|entry| format!("guest-image: read LIST {entry}"));
    assert_eq!(subjects, expected);
}

#[test]
fn an_optional_entry_that_fails_is_a_warning() {
    let work = with_tree();
    fs::remove_file(work.path("lib/modules/1.0/kernel/b/soft.ko")).unwrap();
    let printed = work.build(&["?absent;top-mod;?soft", "--module-dir", "lib/modules", "--agent", "agent"]);
    let lines: Vec<_> = printed.lines().map(|line| line.split(": E").next().unwrap()).collect();
    let warned = ["plan absent", "plan kernel/b/soft.ko"].map(|what| format!("guest-image: warning: {what}"));
    assert_eq!(lines, [&warned[0], &warned[1], "initramfs.img: 3 modules"]);
}

#[test]
fn with_allow_missing_a_missing_module_is_a_warning() {
    let work = with_tree();
    fs::remove_file(work.path("lib/modules/1.0/kernel/b/other.ko")).unwrap();
    let base = ["--module-dir", "lib/modules", "--agent", "agent", "--allow-missing"];
    let printed = work.build(&[&base[..], &["absent; base; other"]].concat());
    let lines: Vec<_> = printed.lines().map(|line| line.split(": E").next().unwrap()).collect();
    let warned = ["plan absent", "plan kernel/b/other.ko"].map(|what| format!("guest-image: warning: {what}"));
    assert_eq!(lines, [&warned[0], &warned[1], "initramfs.img: 1 module"]);
    // A line of a package that was removed does not keep the others out.
    let printed = work.build(&[&base[..], &["--all-modules"]].concat());
    let line = "guest-image: warning: plan kernel/b/other.ko: ENOENT: modules.dep lists the file, and it is not there";
    let firmware = "guest-image: warning: firmware was not looked for; name its folder with --root or --firmware-dir";
    assert_eq!(printed, format!("{line}\n{firmware}\ninitramfs.img: 4 modules"));
    assert!(!text_of(&work.image(), "lib/modules/1.0/modules.dep").contains("other"));
    work.remove_image();
    let printed = work.fails(&[&base[..], &["absent; /x"]].concat());
    assert!(printed.starts_with("guest-image: read LIST `/x`: "), "{printed}");
}

#[test]
fn missing_files_are_named() {
    let work = with_tree();
    let base = ["--module-dir", "lib/modules", "--agent"];
    let cases: [(&[&str], &str); 9] = [
        (&["no-agent"], "no-agent: No such file or directory (os error 2)"),
        (&["lib"], "lib: not a regular file"),
        (&["agent", "--config", "no-config"], "no-config: No such file or directory (os error 2)"),
        (&["agent", "--add", "no-file:/x"], "no-file: No such file or directory (os error 2)"),
        (&["agent", "--add", "init:/sbin"], "/sbin is a directory in the image"),
        (
            &["agent", "--add", "init:/a/../b"],
            "\"/a/../b\" is not a path of the image; write /NAME/NAME…, without . and ..",
        ),
        (&["agent", "--file", "no-list"], "--file no-list: No such file or directory (os error 2)"),
        (&["agent", "--layout", "no-layout"], "no-layout: No such file or directory (os error 2)"),
        (&["agent", "--output", "no-folder/x"], "no-folder/x: No such file or directory (os error 2)"),
    ];
    for (arguments, expected) in cases {
        let printed = work.fails(&[&base[..], arguments].concat());
        assert_eq!(printed, format!("guest-image: {expected}\n"), "{arguments:?}");
    }
    let printed = work.fails(&["--release", "2.0", "--agent", "agent"]);
    assert_eq!(printed, "guest-image: plan lib/modules/2.0: ENOENT: the directory can't be opened; there is 1.0\n");
}

#[test]
fn configuration_applies_to_the_build_and_is_copied_into_the_image() {
    let work = with_tree();
    work.file("etc/a.conf", "softdep base post: other\nblacklist soft\n");
    work.file("etc/notes", "no configuration");
    work.file("more/a.conf", "install base /bin/false");
    work.file("more/b.conf", "options base x=1");
    let config = ["--config", "etc", "--config", "more", "--module-dir", "lib/modules", "--agent", "agent"];
    let printed = work.build(&[&["base"], &config[..]].concat());
    assert_eq!(printed, "initramfs.img: 2 modules");
    let image = work.image();
    let names: Vec<_> = image.iter().filter_map(|entry| entry.path.strip_prefix("etc/modprobe.d/")).collect();
    assert_eq!(names, ["a.conf", "b.conf"]);
    assert!(text_of(&image, "etc/modprobe.d/a.conf").starts_with("softdep base"));
}

#[test]
fn an_image_is_written_to_standard_output() {
    let work = with_tree();
    let arguments = ["base", "--module-dir", "lib/modules", "--agent", "agent"];
    work.build(&arguments);
    for format in [&[][..], &["--json"]] {
        let output = work.command(&[&arguments[..], &["--output", "-"], format].concat()).output().unwrap();
        assert!(output.status.success() && output.stdout == fs::read(work.path("initramfs.img")).unwrap());
        let report = String::from_utf8(output.stderr).unwrap();
        assert!(report.contains("lib/modules/1.0/kernel/a/base.ko") && !report.contains('\x1b'), "{report}");
    }
}

#[test]
fn firmware_that_is_missing_is_a_warning() {
    let work = with_tree();
    work.file("lib/modules/1.0/kernel/a/base.ko", module(&["firmware=a.bin", "firmware=b.bin"], b""));
    work.file("lib/firmware/a.bin", "");
    let base = ["base", "--agent", "agent"];
    let printed = work.build(&[&base[..], &["--root", "."]].concat());
    let warning = "guest-image: warning: base: 1 of 2 firmware files not in ./lib/firmware: b.bin\n";
    assert!(printed.starts_with(warning), "{printed}");
    let printed = work.build(&[&base[..], &["--module-dir", "lib/modules"]].concat());
    let warning = "guest-image: warning: firmware of base was not looked for; name its folder with --root or \
                   --firmware-dir\n";
    assert!(printed.starts_with(warning), "{printed}");
    for path in ["a/top-mod", "b/soft", "b/other"] {
        work.file(&format!("lib/modules/1.0/kernel/{path}.ko"), module(&["firmware=c.bin"], b""));
    }
    let printed = work.build(&["base; top-mod; soft; other", "--module-dir", "lib/modules", "--agent", "agent"]);
    assert!(printed.contains(": firmware of base, other, soft and another module was not looked for; "), "{printed}");
}

#[test]
fn another_layout_replaces_the_whole_layout() {
    let work = Work::new();
    work.file("my.toml", "[programs]\n\"/opt/init\" = { from = \"init\", mode = 0o700 }\n");
    work.build(&["--layout", "my.toml"]);
    assert_eq!(listing(&work.image()), "d 0755 opt\nf 0700 opt/init\n");
    work.remove_image();

    let printed = work.fails(&["--layout", "my.toml", "--agent", "agent"]);
    assert_eq!(printed, "guest-image: the layout has no place for --agent; add a program with from = \"agent\"\n");
    let printed = work.fails(&[]);
    assert_eq!(
        printed,
        "guest-image: the layout has an agent at /sbin/agent; name its file with --agent, or say --no-agent if root= has it\n"
    );
    for (text, expected) in [
        ("[links]\n[nodes]\n", "line 2: unknown field `nodes`, expected one of `directories`, "),
        ("[directories]\n\"/a\" = 0o17777\n", "/a: the mode 0o17777 is more than 0o7777"),
        ("[directories]\n\"/a\" = \"rwx\"\n", "line 2: invalid type: string \"rwx\", expected u32"),
        ("[links]\n\"/a\" = \"b\"\n[directories]\n\"/a/b\" = 0o755\n", "/a is already in the image"),
    ] {
        work.file("bad.toml", text);
        let printed = work.fails(&["--layout", "bad.toml"]);
        assert!(printed.contains(expected) && printed.lines().count() == 1, "{printed}");
    }
}

#[test]
fn wrong_arguments_are_status_2() {
    for arguments in [&["--add", "x"][..], &["--compress", "gzip"], &["--moduls", "x"]] {
        let output = Work::new().command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
