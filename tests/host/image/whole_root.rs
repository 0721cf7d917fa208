//! guest-image build --whole-root: the root of a container as the root of the image, from a tar file and a folder; and
//! roots that are hostile.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use tar::EntryType;

use super::with_tree;
use super::work::{Entry, Work, listing, text_of};
use crate::support::container::Tar;
use crate::support::program::init;

/// A root as `docker export` writes it, with /usr merged, and an init and a modprobe of its own.
fn exported() -> Tar {
    Tar::new()
        .file("dev/console", 0o644, "")
        .directory("etc", 0o755)
        .file_of(1000, "etc/app.conf", 0o640, "own")
        .file("init", 0o755, "the container's")
        .link("lib", "usr/lib")
        .file("lib/modules/1.0/modules.dep", 0o644, "the container's")
        .link("run", "var/run")
        .link("sbin", "usr/sbin")
        .directory("tmp", 0o700)
        .directory("usr/sbin", 0o711)
        .file("usr/sbin/init", 0o755, "the container's")
        .file("usr/sbin/modprobe", 0o755, "the container's")
        .file("usr/bin/app", 0o4755, "#!/sbin/guest-init\n")
        .entry(EntryType::Link, "usr/bin/same", 0, "usr/bin/app", b"")
        .entry(EntryType::Char, "usr/full", 0o600, "", b"")
        .entry(EntryType::Fifo, "usr/queue", 0o600, "", b"")
        .directory("var/run", 0o755)
}

const EXPECTED: &str = "\
    d 0755 dev\n\
    c 0600 dev/console 5:1\n\
    c 0644 dev/kmsg 1:11\n\
    c 0666 dev/null 1:3\n\
    d 0755 etc\n\
    f 0640 etc/app.conf\n\
    d 0755 etc/modprobe.d\n\
    l 0777 init -> sbin/guest-init\n\
    l 0777 lib -> usr/lib\n\
    d 0555 proc\n\
    l 0777 run -> var/run\n\
    l 0777 sbin -> usr/sbin\n\
    d 0555 sys\n\
    d 0700 tmp\n\
    d 0755 usr\n\
    d 0755 usr/bin\n\
    f 4755 usr/bin/app\n\
    f 4755 usr/bin/same\n\
    c 0600 usr/full 1:7\n\
    d 0755 usr/lib\n\
    d 0755 usr/lib/modules\n\
    ? 0600 usr/queue\n\
    d 0711 usr/sbin\n\
    f 0755 usr/sbin/guest-init\n\
    f 0755 usr/sbin/init\n\
    l 0777 usr/sbin/modprobe -> guest-init\n\
    d 0755 var\n\
    d 0755 var/run\n";

fn entry<'e>(image: &'e [Entry], path: &str) -> &'e Entry {
    image.iter().find(|entry| entry.path == path).unwrap_or_else(|| panic!("no {path}"))
}

#[test]
fn an_exported_container_is_the_root_of_the_image() {
    let work = Work::new();
    work.file("root.tar", exported().bytes());
    let output = work.command(&["--root", "root.tar", "--whole-root"]).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    let words = "initramfs.img: boot with guest_init.agent=PATH, the path of a program of the root\n";
    assert!(output.status.success() && printed.ends_with(words), "{printed}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("       37 B  --whole-root  4 files"));
    let image = work.image();
    assert_eq!(listing(&image), EXPECTED);
    assert_eq!((entry(&image, "etc/app.conf").owner, entry(&image, "etc").owner), ((1000, 1001), (0, 0)));
    // The content is stored once: the kernel links names of one inode.
    let [app, same] = ["usr/bin/app", "usr/bin/same"].map(|path| entry(&image, path));
    assert_eq!((app.inode, app.content.len(), same.content.len()), (same.inode, 19, 0));
    assert_eq!(text_of(&image, "usr/sbin/init"), "the container's");
}

#[test]
fn a_compressed_tar_file_on_a_pipe_makes_the_same_image() {
    let work = Work::new();
    let packed = zstd::encode_all(&exported().bytes()[..], 1).unwrap();
    let arguments = ["--root", "-", "--whole-root", "--quiet"];
    let mut build = work.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    build.stdin.take().unwrap().write_all(&packed).unwrap();
    assert!(build.wait().unwrap().success());
    assert_eq!(listing(&work.image()), EXPECTED);
}

#[test]
fn the_modules_of_the_list_replace_those_of_the_root() {
    let work = with_tree();
    work.file("root.tar", exported().bytes());
    let arguments = ["base", "--root", "root.tar", "--whole-root", "--module-dir", "lib/modules", "--agent", "agent"];
    assert_eq!(work.build(&arguments), "initramfs.img: 1 module");
    let image = work.image();
    assert_eq!(text_of(&image, "usr/lib/modules/1.0/modules.dep"), "kernel/a/base.ko:\n");
    assert_eq!(entry(&image, "lib").content, b"usr/lib");
    assert_eq!(text_of(&image, "usr/sbin/agent"), super::work::AGENT);
}

#[test]
fn without_whole_root_a_tar_file_is_looked_into_and_nothing_else() {
    let work = with_tree();
    let mut tar = Tar::new().file("opt/agent", 0o755, init()).file("opt/other", 0o644, "other");
    for (path, text) in super::TREE {
        tar = tar.file(&format!("usr/lib/modules/1.0/{path}"), 0o644, text);
    }
    work.file("root.tar", tar.bytes());
    assert_eq!(work.build(&["mid", "--root", "root.tar", "--agent", "root.tar/opt/agent"]), "initramfs.img: 2 modules");
    let image = work.image();
    assert_eq!(entry(&image, "sbin/agent").content, init());
    assert!(!image.iter().any(|entry| entry.path.starts_with("opt")));

    let check = Command::new(env!("CARGO_BIN_EXE_guest-image"))
        .current_dir(work.path(""))
        .args(["check", "--root", "root.tar", "--cmdline", "guest_init.agent=/opt/agent"])
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn a_folder_is_copied_with_links_and_hard_links() {
    let work = Work::new();
    work.file("root/usr/bin/app", "app");
    fs::hard_link(work.path("root/usr/bin/app"), work.path("root/usr/bin/same")).unwrap();
    symlink("usr/bin", work.path("root/bin")).unwrap();
    symlink("/nowhere", work.path("root/dangling")).unwrap();
    work.build(&["--root", "root", "--whole-root"]);
    let image = work.image();
    let [app, same] = ["usr/bin/app", "usr/bin/same"].map(|path| entry(&image, path));
    assert_eq!(
        (app.inode, app.owner, &app.content[..], &same.content[..]),
        (same.inode, (0, 0), &b"app"[..], &b""[..])
    );
    assert_eq!(entry(&image, "dangling").content, b"/nowhere");

    work.remove_image();
    std::os::unix::net::UnixListener::bind(work.path("root/socket")).unwrap();
    let printed = work.fails(&["--root", "root", "--whole-root"]);
    assert_eq!(printed, "guest-image: root/socket: a socket, which an image can't hold; remove it from the root\n");
}

#[test]
fn a_name_that_ends_an_archive_is_refused_wherever_it_comes_from() {
    let work = Work::new();
    work.file("root.tar", Tar::new().file("TRAILER!!!", 0o644, "").bytes());
    work.file("root/TRAILER!!!", "");
    for arguments in [
        &["--root", "root.tar", "--whole-root"][..],
        &["--root", "root", "--whole-root"],
        &["--no-agent", "--add", "agent:/TRAILER!!!"],
    ] {
        let expected = "guest-image: /TRAILER!!!: a file of this name would end the archive; rename it\n";
        assert_eq!(work.fails(arguments), expected);
    }
    // Only the whole path is the mark.
    work.file("root.tar", Tar::new().file("a/TRAILER!!!", 0o644, "1").bytes());
    work.build(&["--root", "root.tar", "--whole-root"]);
}

#[test]
fn an_earlier_image_in_the_root_is_no_part_of_the_next() {
    let work = Work::new();
    work.file("file", "1");
    let [first, second] = [(); 2].map(|()| {
        work.build(&["--root", ".", "--whole-root"]);
        fs::read(work.path("initramfs.img")).unwrap()
    });
    assert!(first == second, "{} and {} bytes", first.len(), second.len());
    assert_eq!(text_of(&work.image(), "file"), "1");
}

#[test]
fn a_hostile_tar_file_is_refused_or_stays_inside() {
    let work = Work::new();
    let file = |name: &str| Tar::new().entry(EntryType::Regular, name, 0o644, "", b"x");
    let long = "l".repeat(101);
    let cut = {
        let bytes = Tar::new().file("big", 0o644, vec![1; 2000]).bytes();
        bytes[..1500].to_vec()
    };
    let between = Tar::new().file("a", 0o644, "1").bytes()[..1024].to_vec();
    let long_name = {
        let name = Tar::new().entry(EntryType::GNULongName, "././@LongLink", 0, "", &vec![b'a'; 64 << 20]);
        zstd::encode_all(&name.file("a", 0o644, "").bytes()[..], 1).unwrap()
    };
    let mut huge = Tar::new().file("huge", 0o644, "").bytes();
    huge[124..136].copy_from_slice(b"77777777777\0");
    let sum = 8 * 32 + huge[..148].iter().chain(&huge[156..512]).map(|byte| u32::from(*byte)).sum::<u32>();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let cases: [(Vec<u8>, &str); 13] = [
        (file("../evil").bytes(), "/evil: the path has a part `..`"),
        (file("a/../../evil").bytes(), "/a/../../evil: the path has a part `..`"),
        (Tar::new().entry(EntryType::Link, "a", 0, "../../etc/passwd", b"").bytes(), "the path has a part `..`"),
        (
            Tar::new().entry(EntryType::Link, "a", 0, "/etc/passwd", b"").bytes(),
            "a hard link to /etc/passwd, which does not exist",
        ),
        (
            Tar::new().directory("d", 0o755).entry(EntryType::Link, "a", 0, "d", b"").bytes(),
            "a hard link to the directory /d",
        ),
        (Tar::new().link("a", "b").link("b", "a").file("a/x", 0o644, "").bytes(), "/a: a loop of symbolic links"),
        (Tar::new().file("a", 0o644, "").file("a/b", 0o644, "").bytes(), "/a is not a directory"),
        (cut, "the tar file ends within it"),
        (between, "the tar file has no end mark, so it was cut short; export it again"),
        (Vec::new(), "the tar file has no end mark"),
        (long_name, "an entry has headers of more than 4 MiB"),
        (huge, "4 GiB or more of files, replaced ones included; squash the image"),
        (long.into_bytes(), "not a tar file"),
    ];
    for (tar, expected) in cases {
        work.file("root.tar", tar);
        let printed = work.fails(&["--root", "root.tar", "--whole-root"]);
        assert!(printed.starts_with("guest-image: root.tar: ") && printed.contains(expected), "{expected}: {printed}");
    }

    // Links that lead out mean the root; an absolute path begins there; the last of two entries counts.
    let outside = work.path("outside");
    fs::create_dir(&outside).unwrap();
    let tar = Tar::new()
        .entry(EntryType::Regular, "/absolute", 0o644, "", b"1")
        .link("out", outside.to_str().unwrap())
        .file("out/file", 0o644, "2")
        .link("up", "../../../../..")
        .file("up/file", 0o644, "3")
        .file("twice", 0o644, "4")
        .file("twice", 0o600, "5");
    work.file("root.tar", tar.bytes());
    work.build(&["--root", "root.tar", "--whole-root"]);
    let image = work.image();
    let inside = format!("{}/file", outside.to_str().unwrap().trim_start_matches('/'));
    let texts = ["absolute", &inside, "file", "twice"].map(|path| text_of(&image, path));
    assert_eq!(texts, ["1", "2", "3", "5"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(entry(&image, "sbin/guest-init").content, init());
}
