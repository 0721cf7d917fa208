//! Roots that roothash= verifies, as systemd's generator finds them.

use guest_init::failure::Code;

use super::{DRIVERS, Verified, erofs, with_disks};
use crate::root::{MOUNT_POINTS, tree};
use crate::support::disk::Disk;
use crate::support::verified::{BLOCK, apart};
use crate::support::{Console, Image};

const SWITCH: &str = "guest_init.root=switch";
const AGENT: &str = "-- --cat /etc/name";

/// The UUID that these hexadecimal digits make.
fn uuid(digits: &str) -> String {
    let at = |range| &digits[range];
    format!("{}-{}-{}-{}-{}", at(0..8), at(8..12), at(12..16), at(16..20), at(20..32))
}

/// A disk whose partitions have the UUIDs by which systemd finds them.
fn discoverable(verified: &Verified) -> Disk {
    let hash = &verified.root_hash;
    let (data, tree) = (format!("uuid={}", uuid(hash)), format!("uuid={}", uuid(&hash[hash.len() - 32..])));
    Disk::partitioned("gpt", "", &[(&data, &verified.data), (&tree, &verified.tree)])
}

fn boots(disk: &Disk, words: &str) -> Console {
    with_disks(Image::new().modules(DRIVERS), &[disk.path().into()], &format!("{SWITCH} {words} {AGENT}"))
}

#[test]
fn the_partitions_are_found_by_the_root_hash() {
    let files = tree(MOUNT_POINTS);
    // The blocks of a verified disk have 4,096 bytes, and ext4 can't have shorter ones.
    for data in [Disk::ext4(files.path(), &["-b", "4096"]), erofs(files.path())] {
        let verified = Verified::of(data, &[]);
        boots(&discoverable(&verified), &format!("rw roothash={}", verified.root_hash))
            .agent_ran()
            .has("agent: /etc/name: the root")
            .has("/dev/dm-0");
    }
}

#[test]
fn a_superblock_may_ask_for_sha_512() {
    let verified = Verified::of(erofs(tree(MOUNT_POINTS).path()), &["--hash=sha512"]);
    boots(&discoverable(&verified), &format!("roothash={}", verified.root_hash))
        .agent_ran()
        .has(" sha512 ")
        .has("agent: /etc/name: the root");
}

#[test]
fn the_partitions_may_be_named() {
    let verified = Verified::of(erofs(tree(MOUNT_POINTS).path()), &[]);
    let hash = format!("roothash={} systemd.verity_root_hash=/dev/vda2", verified.root_hash);
    for words in ["systemd.verity_root_data=/dev/vda1 root=/dev/mapper/root", "root=/dev/vda1"] {
        boots(&verified.disk(), &format!("{hash} {words}")).agent_ran().has("agent: /etc/name: the root");
    }
}

#[test]
fn guest_inits_own_key_verifies_a_root_as_well() {
    let verified = Verified::erofs(tree(MOUNT_POINTS).path());
    let words = format!("root=/dev/vda1 guest_init.verity=vda,{}", verified.fields());
    boots(&verified.disk(), &words).agent_ran().has("agent: /etc/name: the root").has("/dev/dm-0");
}

#[test]
fn corruption_behind_the_hand_off_panics_the_vm() {
    let files = tree(MOUNT_POINTS);
    // The blocks of the first file are read in the search for file systems.
    std::fs::write(files.path().join("etc/first"), [7; 64 * BLOCK as usize]).expect("a file can be written");
    std::fs::write(files.path().join("etc/late"), apart(b"read late", b'x')).expect("a file can be written");
    let verified = Verified::of(erofs(files.path()), &[]);
    let disk = discoverable(&verified);
    disk.flip(disk.find(b"read late"));
    let console = with_disks(
        Image::new().modules(DRIVERS),
        &[disk.path().into()],
        &format!("{SWITCH} roothash={} -- --cat /etc/late", verified.root_hash),
    );
    console.has("agent: ready").has("Kernel panic - not syncing: dm-verity device corrupted").has_not("agent: done");
}

#[test]
fn a_root_hash_whose_partitions_are_missing_is_refused() {
    let verified = Verified::of(erofs(tree(MOUNT_POINTS).path()), &[]);
    let words = format!("roothash={}", verified.root_hash);
    let line = format!("start {words}: ENODEV: no such disk within 10 s; disks here: vda, vda1, vda2");
    boots(&verified.disk(), &words).failed(Code::RootMissing, &line);
}

#[test]
fn a_hash_partition_without_a_superblock_is_refused() {
    let verified = Verified::erofs(tree(MOUNT_POINTS).path());
    let words = format!("roothash={}", verified.root_hash);
    let line = format!("mount {words}: ENOENT: /dev/vda2: it has no superblock of veritysetup");
    boots(&discoverable(&verified), &words).failed(Code::HashTreeMissing, &line);
}
