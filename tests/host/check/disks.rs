//! guest-image check with --disk: a disk passes or fails as in the guest, by the same codes and words, and lists and
//! modules are read from it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::process::Command;

use super::place::{Outcome, Place};
use crate::support::disk::Disk;
use crate::support::verified::{Verified, erofs};

/// The size of a block, and the first byte of partition 1.
const BLOCK: u64 = 4096;
const DATA: u64 = 1 << 20;

/// The words of the command line that read a list and modules from the disk `files`.
const FROM_DISK: &str = "guest_init.modules_file=disk:files:/etc/list guest_init.module_dir=disk:files:/lib/modules";

/// Makes a folder with an extension, `disk`, that has a list and the module `bus`. Returns the word that verifies it.
fn with_disk(target: [&str; 2]) -> (Place, String) {
    let place = Place::new();
    place.file("tree/etc/list", "bus\n");
    place.file("tree/large", vec![b'x'; 200 * BLOCK as usize]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
    command.current_dir(place.path("")).args(["extension", "--tree", "tree", "--modules", "bus", "--root", "root"]);
    let output = command.args(["--output", "disk"]).args(target).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    (place, String::from_utf8(output.stdout).unwrap().trim_end().into())
}

/// Checks a command line with disks.
fn check(place: &Place, words: &str, disks: &[&str]) -> Outcome {
    let disks = disks.iter().flat_map(|disk| ["--disk", disk]);
    place.check(&["--cmdline", words].into_iter().chain(disks).collect::<Vec<_>>())
}

/// Asserts that a VM would end with this failure.
#[track_caller]
fn fails(place: &Place, words: &str, disks: &[&str], failure: &str) {
    let outcome = check(place, words, disks);
    assert_eq!(outcome.out.lines().next(), Some(&*format!("failure: {failure}")), "{outcome:?}");
    assert_eq!((outcome.status, &outcome.err[..]), (1, ""));
}

/// Changes a byte of a file.
fn flip(place: &Place, file: &str, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(place.path(file)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[!byte[0]], offset).unwrap();
}

/// Runs a tool in the folder.
fn tool(place: &Place, line: &[&str]) {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(place.path("")).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    let output = command.output().unwrap_or_else(|error| panic!("{line:?}: {error}"));
    assert!(output.status.success(), "{line:?}: {output:?}");
}

/// The number of blocks of data of a word.
fn data_blocks(word: &str) -> u64 {
    word.split(',').find_map(|field| field.strip_prefix("data_blocks=")).unwrap().parse().unwrap()
}

/// The first byte of partition 2.
fn hash_partition(word: &str) -> u64 {
    (DATA + data_blocks(word) * BLOCK).next_multiple_of(DATA)
}

#[test]
fn lists_and_modules_are_read_from_a_verified_disk() {
    let (place, word) = with_disk(["--serial", "files"]);
    let outcome = check(&place, &format!("{word} {FROM_DISK}"), &["files=disk"]);
    let blocks = data_blocks(&word);
    let expected = [
        "insmod kernel/bus.ko",
        &format!("note: disk:files: disk: all {blocks} blocks of data fit the root hash"),
        "1.0: the VM would load 1 module and start its agent",
    ];
    assert_eq!(outcome.out.lines().collect::<Vec<_>>(), expected, "{outcome:?}");
    assert_eq!(outcome.status, 0);
    // Without the word the disk is not verified.
    let outcome = check(&place, FROM_DISK, &["files=disk"]);
    let warning = "warning: disk:files: read without verification, and partition 2 may be a hash tree; ";
    assert!(outcome.status == 0 && outcome.out.contains(warning), "{outcome:?}");
    fails(
        &place,
        "guest_init.modules_file=disk:files:/etc/no-list",
        &["files=disk"],
        "read disk:files:/etc/no-list: ENOENT: there is no such file (exit 0x27)",
    );
}

#[test]
fn lists_and_modules_are_read_from_an_extension() {
    let (place, word) = with_disk(["--name", "gpu"]);
    let gpu = "/run/kata-extensions/gpu";
    let words = format!("guest_init.modules_file={gpu}/etc/list guest_init.module_dir={gpu}/lib/modules");
    let outcome = check(&place, &format!("{word} {words}"), &["extension-gpu=disk"]);
    assert!(outcome.status == 0 && outcome.out.starts_with("insmod kernel/bus.ko\n"), "{outcome:?}");
    // Without the word nobody mounts the extension.
    let outcome = check(&place, &words, &["extension-gpu=disk"]);
    let failure =
        format!("failure: read {gpu}/etc/list: EINVAL: the command line has no kata.extension.gpu.verity_params");
    assert!(outcome.status == 1 && outcome.out.starts_with(&failure), "{outcome:?}");
}

#[test]
fn a_disk_without_its_file_is_named() {
    let (place, word) = with_disk(["--name", "gpu"]);
    let outcome = check(&place, &word, &[]);
    let note = "note: kata.extension.gpu: not verified here; name the disk's file with --disk extension-gpu=FILE\n";
    assert!(outcome.status == 0 && outcome.out.contains(note), "{outcome:?}");
    let outcome = check(&place, FROM_DISK, &[]);
    let error =
        "guest-image: guest_init.modules_file=disk:files:/etc/list: name the disk's file with --disk files=FILE\n";
    assert_eq!((outcome.status, &outcome.err[..]), (2, error));
    let outcome = check(&place, &word, &["extension-gpu=no-file"]);
    assert_eq!(
        (outcome.status, &outcome.err[..]),
        (2, "guest-image: no-file: No such file or directory (os error 2)\n")
    );
    let outcome = check(&place, "", &["gpu=disk"]);
    let warning = "warning: --disk gpu: no word of the command line names this disk\n";
    assert!(outcome.status == 0 && outcome.out.contains(warning), "{outcome:?}");
    assert_eq!(place.check(&["--disk", "disk"]).status, 2);
}

#[test]
fn a_block_that_differs_from_its_hash_is_the_guests_failure() {
    let (place, word) = with_disk(["--name", "gpu"]);
    let (tree, last) = (hash_partition(&word), data_blocks(&word) - 1);
    for (offset, failure) in [
        (DATA + 7, "block 0 of the data of disk1 differs from its hash (exit 0x1c)"),
        (DATA + last * BLOCK, &format!("block {last} of the data of disk1 differs from its hash (exit 0x1c)")),
        (tree + BLOCK, "block 1 of the hash tree of disk1 differs from its hash (exit 0x1b)"),
        (tree, "the hash tree does not fit the root hash, or the salt (exit 0x1a)"),
    ] {
        flip(&place, "disk", offset);
        fails(&place, &word, &["extension-gpu=disk"], &format!("mount kata.extension.gpu: EBADMSG: {failure}"));
        flip(&place, "disk", offset);
    }
    let first = word.split_once("root_hash=").unwrap().1.chars().next().unwrap();
    let other = if first == '0' { '1' } else { '0' };
    let root_hash = word.replace(&format!("root_hash={first}"), &format!("root_hash={other}"));
    for word in [root_hash, word.replace("salt=", "salt=00")] {
        let reason = "the hash tree does not fit the root hash, or the salt (exit 0x1a)";
        fails(&place, &word, &["extension-gpu=disk"], &format!("mount kata.extension.gpu: EBADMSG: {reason}"));
    }
}

#[test]
fn parameters_and_hash_partition_come_together() {
    let (place, word) = with_disk(["--name", "gpu"]);
    let disk = ["extension-gpu=disk"];
    let stripped = "partition 2 of its disk has a hash tree, but the word has no verity parameters (exit 0x19)";
    for bare in ["kata.extension.gpu.verity_params", "kata.extension.gpu.verity_params="] {
        fails(&place, bare, &disk, &format!("mount kata.extension.gpu: EKEYREJECTED: {stripped}"));
    }
    tool(&place, &["sfdisk", "--quiet", "--delete", "disk", "2"]);
    let missing = "its disk has no partition 2, where the hash tree would be (exit 0x18)";
    fails(&place, &word, &disk, &format!("mount kata.extension.gpu: ENOENT: {missing}"));
    let outcome = check(&place, "kata.extension.gpu.verity_params", &disk);
    let note = "note: kata.extension.gpu: disk: read without verification\n";
    assert!(outcome.status == 0 && outcome.out.contains(note), "{outcome:?}");
}

#[test]
fn sizes_that_the_disk_does_not_have_are_failures() {
    let (place, word) = with_disk(["--serial", "files"]);
    let blocks = data_blocks(&word);
    let field = |blocks: u64| format!("data_blocks={blocks}");
    let many = word.replace(&field(blocks), &field(100_000));
    let outcome = check(&place, &many, &["files=disk"]);
    let reason = format!(
        "failure: mount disk:files: ENOSPC: data_blocks= and data_block_size= mean {} bytes, and disk1 has {}",
        100_000 * BLOCK,
        blocks * BLOCK
    );
    assert!(outcome.status == 1 && outcome.out.starts_with(&reason), "{outcome:?}");
    // The file system alone, without a tree behind it.
    let disk = fs::read(place.path("disk")).unwrap();
    place.file("data", &disk[DATA as usize..(DATA + blocks * BLOCK) as usize]);
    let outcome = check(&place, &word, &["files=data"]);
    let missing = "failure: mount disk:files: ENOENT: neither has it a partition 2, nor data, with ";
    assert!(outcome.status == 1 && outcome.out.starts_with(missing), "{outcome:?}");
    // And with the tree behind it, as veritysetup's --hash-offset has it.
    let tree = hash_partition(&word) as usize;
    let with_tree = [&fs::read(place.path("data")).unwrap(), &disk[tree..tree + 64 * BLOCK as usize]].concat();
    place.file("both", &with_tree);
    assert_eq!(check(&place, &word, &["files=both"]).status, 0);
}

#[test]
fn a_disk_with_an_mbr_and_larger_partitions_is_read_as_well() {
    let (place, word) = with_disk(["--serial", "files"]);
    let whole = fs::read(place.path("disk")).unwrap();
    let parts = [DATA, hash_partition(&word)].map(|start| {
        let part = Disk::blank(32 << 20);
        let length = (hash_partition(&word) - DATA).min(whole.len() as u64 - start) as usize;
        let file = OpenOptions::new().write(true).open(part.path()).unwrap();
        file.write_all_at(&whole[start as usize..][..length], 0).unwrap();
        part
    });
    let disk = Disk::partitioned("dos", "", &[("", &parts[0]), ("type=83", &parts[1])]);
    let outcome = check(&place, &format!("{word} {FROM_DISK}"), &[&format!("files={}", disk.path())]);
    assert!(outcome.status == 0 && outcome.out.contains("blocks of data fit the root hash"), "{outcome:?}");
    for size in [0, BLOCK] {
        let disk = Disk::blank(size);
        let outcome = check(&place, &word, &[&format!("files={}", disk.path())]);
        assert!(outcome.status == 1 && outcome.out.contains(": ENOSPC: "), "{outcome:?}");
    }
}

#[test]
fn disks_of_veritysetup_pass() {
    let place = Place::new();
    place.file("tree/etc/list", "bus\n");
    place.file("tree/large", vec![b'x'; 200 * BLOCK as usize]);
    let files = place.path("tree");
    let (plain, with_superblock) = (Verified::erofs(&files), Verified::of(erofs(&files), &[]));
    let (in_one, fields) = Verified::in_one(&erofs(&files));
    for (disk, fields) in
        [(plain.disk(), plain.fields()), (with_superblock.disk(), with_superblock.fields()), (in_one, fields)]
    {
        let words = format!("guest_init.verity=vdb,{fields} guest_init.modules_file=disk:vdb:/etc/list");
        let outcome = check(&place, &words, &[&format!("vdb={}", disk.path())]);
        assert!(outcome.status == 0 && outcome.out.starts_with("insmod kernel/bus.ko\n"), "{outcome:?}");
        assert!(outcome.out.contains(" blocks of data fit the root hash\n"), "{outcome:?}");
    }
}

#[test]
fn serial_numbers_are_compared_as_a_device_cuts_them() {
    let (place, word) = with_disk(["--name", "nvidia-gpu-570"]);
    // QEMU is given 24 bytes, and the guest sees 20.
    assert_eq!(check(&place, &word, &["extension-nvidia-gpu-570=disk"]).status, 0);
    fs::copy(place.path("disk"), place.path("other")).unwrap();
    fails(
        &place,
        &word,
        &["extension-nvidia-gpu-570=disk", "extension-nvidia-gpu-999=other"],
        "mount kata.extension.nvidia-gpu-570: ENOTUNIQ: several disks fit: extension-nvidia-gpu-570, \
         extension-nvidia-gpu-999; give each a serial number of its own, at most 20 bytes long (exit 0x15)",
    );
    let other = word.replace("570", "999");
    let outcome = check(&place, &format!("{word} {other}"), &["extension-nvidia-gpu-570=disk"]);
    assert!(outcome.status == 1 && outcome.out.contains("(exit 0x2e)"), "{outcome:?}");
}

#[test]
fn ext4_disks_are_read_and_other_file_systems_are_named() {
    let place = Place::new();
    place.file("tree/etc/list", "bus\n");
    place.file("tree/a file with blanks", "");
    symlink("/etc/list", place.path("tree/link")).unwrap();
    tool(&place, &["mke2fs", "-q", "-F", "-t", "ext4", "-d", "tree", "disk", "4M"]);
    for path in ["/etc/list", "/link"] {
        let outcome = check(&place, &format!("guest_init.modules_file=disk:vdb:{path}"), &["vdb=disk"]);
        assert!(outcome.status == 0 && outcome.out.starts_with("insmod kernel/bus.ko\n"), "{outcome:?}");
    }
    tool(&place, &["mksquashfs", "tree", "disk", "-quiet", "-no-progress", "-noappend"]);
    let outcome = check(&place, "guest_init.modules_file=disk:vdb:/etc/list", &["vdb=disk"]);
    let error = "guest-image: disk: its files are not read: check reads EROFS and ext4, and this is squashfs\n";
    assert_eq!((outcome.status, &outcome.err[..]), (2, error));
    tool(&place, &["mke2fs", "-q", "-F", "-t", "ext4", "disk", "4M"]);
    for (script, error) in [
        ("echo rdump: Input/output error while reading >&2", "debugfs: rdump: Input/output error while reading"),
        ("echo no memory >&2; exit 2", "debugfs: exit status: 2: no memory"),
    ] {
        place.file("bin/debugfs", format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(place.path("bin/debugfs"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = place.command(&["check", "--cmdline", "guest_init.modules_file=disk:vdb:/list"]);
        let outcome =
            Outcome::of(command.args(["--disk", "vdb=disk"]).env("PATH", place.path("bin")).output().unwrap());
        assert_eq!(outcome.err, format!("guest-image: disk: its files are not read: {error}\n"));
    }
    place.file("disk", vec![7; 1 << 20]);
    let unknown = "mount disk:vdb: ENODEV: guest-init does not recognise its file system (exit 0x17)";
    fails(&place, "guest_init.modules_file=disk:vdb:/etc/list", &["vdb=disk"], unknown);
}
