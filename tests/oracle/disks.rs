//! The UUID and label of a file system are those that blkid reads, the PARTUUID of a partition is that of partx, and a
//! hash tree has the parameters and the size that veritysetup gave it.

use std::fs::{self, File};

use guest_init::guest::places::disk::file_system::FileSystem;
use guest_init::guest::places::disk::partition::Partition;
use guest_init::request::verity::Verity;
use guest_init::request::verity::superblock::Superblock;
use guest_init::request::verity::table::{Device, Table};

use crate::support::disk::Disk;

/// The size of each disk, in bytes, of which the file systems take some. xfs wants the most.
const SIZE: u64 = 400 << 20;

/// The tools that make file systems, with labels or without.
const TOOLS: [&[&str]; 11] = [
    &["mke2fs", "-q", "-F", "-t", "ext4", "-L", "sixteen letters!", "DISK"],
    &["mke2fs", "-q", "-F", "-t", "ext2", "DISK"],
    &["mkfs.xfs", "-q", "-f", "-L", "the root", "DISK"],
    &["mkfs.btrfs", "-q", "-f", "-L", "a longer label, with a comma", "DISK"],
    &["mkfs.f2fs", "-q", "-f", "-l", "a label of f2fs", "DISK"],
    &["mkfs.vfat", "-F", "32", "-n", "BOOT", "DISK"],
    &["mkfs.vfat", "-F", "16", "-n", "EFI SYSTEM", "DISK"],
    &["mkfs.vfat", "-F", "12", "DISK", "20000"],
    &["mkfs.erofs", "--quiet", "DISK", "tests/oracle"],
    &["mksquashfs", "tests/oracle", "DISK", "-quiet", "-no-progress", "-noappend"],
    &["genisoimage", "-quiet", "-V", "A DISC", "-o", "DISK", "tests/oracle"],
];

/// The types that are one to guest-init: the driver of ext4 mounts all of them.
const EXT: [&str; 3] = ["ext2", "ext3", "ext4"];

/// The value of a line `NAME=value` of blkid.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn type_uuid_and_label_of_a_file_system_are_as_blkid_reads_them() {
    for tool in TOOLS {
        let tool: Vec<_> = tool.iter().map(|word| word.replace("tests/oracle", env!("CARGO_MANIFEST_DIR"))).collect();
        let tool: Vec<_> = tool.iter().map(String::as_str).collect();
        let disk = Disk::made_by(&tool, SIZE);
        let blkid = disk.output_of(&["blkid", "-p", "-o", "export", "DISK"]);
        let device = File::open(disk.path()).expect("the disk can be opened");
        let file_system = FileSystem::on(&device).expect("it can be read").expect("its file system is known");

        let fs_type = value(&blkid, "TYPE").map(|known| if EXT.contains(&known) { "ext4" } else { known });
        assert_eq!(fs_type.map(str::as_bytes), Some(file_system.fs_type), "{tool:?}");
        // blkid makes UUIDs of an ISO's date and shows none of squashfs.
        if file_system.fs_type != b"iso9660" {
            let uuid = value(&blkid, "UUID").map(str::to_lowercase);
            assert_eq!(file_system.uuid(&device), uuid, "{tool:?}");
        }
        let label = file_system.label(&device).map(|label| String::from_utf8(label).expect("text"));
        assert_eq!(label.as_deref(), value(&blkid, "LABEL").map(unescaped).as_deref(), "{tool:?}");
    }
}

/// A value of blkid's `export` format without its backslashes.
fn unescaped(value: &str) -> String {
    value.replace('\\', "")
}

#[test]
fn a_label_in_utf_16_becomes_utf_8() {
    let disk = Disk::made_by(&["mkfs.f2fs", "-q", "-f", "-l", "große Platte", "DISK"], SIZE);
    let device = File::open(disk.path()).expect("the disk can be opened");
    let file_system = FileSystem::on(&device).expect("it can be read").expect("its file system is known");
    assert_eq!(file_system.label(&device).as_deref(), Some("große Platte".as_bytes()));
}

#[test]
fn the_partuuid_of_a_partition_is_as_partx_reads_it() {
    let blank = Disk::blank(1 << 20);
    let partitions = ["", "name=second", ""].map(|line| (line, &blank));
    for (kind, head) in [("gpt", ""), ("gpt", "table-length: 4"), ("dos", ""), ("dos", "label-id: 0xdeadbeef")] {
        let disk = Disk::partitioned(kind, head, &partitions);
        let device = File::open(disk.path()).expect("the disk can be opened");
        let listing = disk.output_of(&["partx", "--raw", "--noheadings", "-o", "NR,START,UUID", "DISK"]);
        assert_eq!(listing.lines().count(), partitions.len(), "{listing}");
        for line in listing.lines() {
            let [number, start, uuid] = line.split(' ').collect::<Vec<_>>().try_into().expect("three columns");
            let (number, start) = (number.parse().expect("a number"), start.parse().expect("a sector"));
            assert_eq!(Partition { number, start }.uuid(&device, 512).as_deref(), Some(uuid), "{kind} {head}");
        }
        // A table that has changed since the kernel read it, and a partition that the table does not have.
        let moved = Partition { number: 1, start: 1 }.uuid(&device, 512);
        assert_eq!(moved.is_none(), kind == "gpt", "{moved:?}");
        assert_eq!(Partition { number: 200, start: 0 }.uuid(&device, 512).is_none(), kind == "gpt");
    }
}

/// Makes the hash tree of so many blocks of data, and returns it with what veritysetup prints.
fn hash_tree(data_blocks: u64, data_block_size: u64, options: &[&str]) -> (Disk, String) {
    let (data, tree) = (Disk::blank(data_blocks * data_block_size), Disk::blank(0));
    // Zeros alone would make all blocks of a level equal.
    data.write(0, b"not zeros");
    let size = format!("--data-block-size={data_block_size}");
    let format = [&["veritysetup", "format", data.path(), "DISK", &size][..], options].concat();
    let printed = tree.output_of(&format);
    (tree, printed)
}

/// A value that veritysetup prints.
fn printed<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name}: {text}")).trim()
}

#[test]
fn a_superblock_has_the_parameters_that_veritysetup_prints() {
    let longest_salt = format!("--salt={}", "5A".repeat(256));
    let cases: [(u64, &[&str]); 6] = [
        (4096, &[]),
        (4096, &["--hash=sha512"]),
        (1024, &["--hash-block-size=512", "--salt=00"]),
        (512, &["--hash-block-size=4096", "--salt=-"]),
        (4096, &["--hash-block-size=1024", "--hash=sha512", "--salt=-"]),
        (4096, &[&longest_salt]),
    ];
    for (data_block_size, options) in cases {
        let (tree, formatted) = hash_tree(300, data_block_size, options);
        let dumped = tree.output_of(&["veritysetup", "dump", "DISK"]);
        let bytes = fs::read(tree.path()).expect("the tree can be read");
        let superblock = bytes.first_chunk().map(Superblock::parse).expect("a superblock").expect("it can be read");
        let root_hash = printed(&formatted, "Root hash");
        let verity = superblock.verity(root_hash.as_bytes()).expect("the parameters are within their bounds");

        let (data, hash) = (Device { major: 254, minor: 0 }, Device { major: 8, minor: 17 });
        let [data_size, hash_size, blocks, algorithm, salt] =
            ["Data block size", "Hash block size", "Data blocks", "Hash algorithm", "Salt"]
                .map(|name| printed(&dumped, name).trim_end_matches(" [bytes]"));
        assert_eq!(
            Table { verity, data, hash, start: 1 }.to_string(),
            format!("1 254:0 8:17 {data_size} {hash_size} {blocks} 1 {algorithm} {root_hash} {salt}"),
            "{options:?}"
        );
        assert_eq!(verity.hash_blocks().to_string(), printed(&dumped, "Hash blocks"), "{options:?}");
        assert_eq!(verity.end_of_tree(1), Some(bytes.len() as u64), "{options:?}");
    }
}

#[test]
fn a_hash_tree_has_the_size_that_veritysetup_writes() {
    for data_blocks in [1, 2, 128, 129, 16384, 16385] {
        for (data_block_size, hash_block_size) in [(512, 512), (1024, 1024), (4096, 4096), (512, 4096), (4096, 512)] {
            let hash_block = format!("--hash-block-size={hash_block_size}");
            let (tree, formatted) =
                hash_tree(data_blocks, data_block_size, &["--no-superblock", "--salt=ab", &hash_block]);
            let fields = format!(
                "root_hash={},salt=ab,data_blocks={data_blocks},data_block_size={data_block_size},\
                 hash_block_size={hash_block_size}",
                printed(&formatted, "Root hash")
            );
            let verity = Verity::parse(fields.as_bytes()).expect("the parameters are within their bounds");
            let size = fs::metadata(tree.path()).expect("the tree is there").len();
            assert_eq!(verity.end_of_tree(0), Some(size), "{fields}");
        }
    }
}
