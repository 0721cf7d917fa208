//! guest-image build --add: files, folders and links of the host.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::with_tree;
use super::work::{AGENT, Work, listing, text_of};

#[test]
fn added_files_keep_their_modes_and_replace_files_of_the_layout() {
    let work = with_tree();
    fs::set_permissions(work.path("init"), fs::Permissions::from_mode(0o4751)).unwrap();
    work.build(&["--agent", "agent", "--add", "init:/opt/x:y/tool", "--add", "agent:/init"]);
    let image = work.image();
    let lines = listing(&image);
    assert!(lines.contains("f 4751 opt/x:y/tool\n") && lines.contains("d 0755 opt/x:y\n"), "{lines}");
    assert_eq!(text_of(&image, "init"), AGENT);
}

#[test]
fn a_folder_is_added_with_links_and_modes() {
    let work = Work::new();
    let modes = [("over/bin/su", 0o4755), ("over/spool", 0o1777), ("over/bin", 0o2755)];
    work.file("over/bin/su", "su");
    work.file("over/spool/.keep", "");
    work.file("over/etc/a.conf", "");
    modes
        .iter()
        .for_each(|(path, mode)| fs::set_permissions(work.path(path), PermissionsExt::from_mode(*mode)).unwrap());
    symlink("su", work.path("over/bin/sh")).unwrap();
    symlink("/nowhere", work.path("dangling")).unwrap();
    symlink("over/bin/su", work.path("link")).unwrap();
    work.build(&["--agent", "agent", "--add", "over:/", "--add", "dangling:/opt/d", "--add", "link:/opt/l"]);
    let lines = listing(&work.image());
    let expected = [
        "d 2755 bin",
        "l 0777 bin/sh -> su",
        "f 4755 bin/su",
        "f 0644 etc/a.conf",
        "l 0777 opt/d -> /nowhere",
        "f 4755 opt/l",
        "d 1777 spool",
        "f 0644 spool/.keep",
    ];
    let missing: Vec<_> = expected.iter().filter(|line| !lines.contains(&format!("{line}\n"))).collect();
    assert!(missing.is_empty(), "{missing:?} {lines}");
    // The folder of the layout keeps its mode.
    assert!(lines.contains("d 0755 etc\n"), "{lines}");
    let fifo = std::process::Command::new("mkfifo").arg(work.path("over/fifo")).status().unwrap();
    assert!(fifo.success());
    work.remove_image();
    let printed = work.fails(&["--agent", "agent", "--add", "over:/over"]);
    assert!(printed.ends_with("over/fifo: a FIFO or a socket, which an image can't hold\n"), "{printed}");
}

#[test]
fn a_file_of_1_tib_is_refused_before_it_is_read() {
    let work = Work::new();
    fs::File::create(work.path("sparse")).and_then(|file| file.set_len(1 << 40)).unwrap();
    // Nobody could wait for the end of such a file.
    for (arguments, name) in [
        (&["--agent", "agent", "--add", "sparse:/x"][..], work.path("sparse").canonicalize().unwrap()),
        (&["--agent", "sparse"], "sparse".into()),
    ] {
        let expected = format!("guest-image: {}: a file of 4 GiB or more\n", name.display());
        assert_eq!(work.fails(arguments), expected);
    }
}
