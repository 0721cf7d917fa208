//! Verified disks with a bit that differs: in the data, in the hash tree, or in the root hash.

use std::fs;

use guest_init::failure::Code;
use tempfile::TempDir;

use super::{DRIVERS, LIST, Verified, add_tree, image, named, with_disks};
use crate::support::disk::Disk;
use crate::support::scene::directory;
use crate::support::verified::{BLOCK, apart};
use crate::support::{Console, Image, Kernel};

/// Text in a file that nothing reads.
const UNREAD: &[u8] = b"nothing reads this";

/// A file whose blocks lie between what is read in the search for file systems, a page of 64 KiB at a time, and the
/// other files.
static FILLER: [u8; 100 * BLOCK as usize] = [7; 100 * BLOCK as usize];

/// A disk with the list and with a file that nothing reads.
fn verified() -> Verified {
    let list = [LIST.as_bytes(), &[b'\n'; 2 * BLOCK as usize]].concat();
    let unread = apart(UNREAD, b'x');
    // More files make a hash tree of two levels.
    let files = directory(&[("first", &FILLER), ("list", &list), ("more", &FILLER), ("unread", &unread)]);
    Verified::erofs(files.path())
}

fn boots(disk: &Disk, fields: &str) -> Console {
    let words = format!("guest_init.modules_file=disk:lists:/list guest_init.verity=lists,{fields}");
    with_disks(image(), &[named("lists", disk)], &words)
}

#[test]
fn a_bit_in_the_file_that_is_read_ends_the_vm() {
    let verified = verified();
    let disk = verified.disk();
    disk.flip(disk.find(LIST.as_bytes()) + 3);
    let line = "mount disk:lists:/list: EBADMSG: block ";
    boots(&disk, &verified.fields())
        .failed(Code::DataCorrupted, line)
        .has("of the data of vda1 differs from its hash; so read failed: Input/output error");
}

#[test]
fn a_bit_in_a_file_that_is_not_read_does_no_harm() {
    let verified = verified();
    let disk = verified.disk();
    disk.flip(disk.find(UNREAD));
    boots(&disk, &verified.fields()).agent_ran().has("  dummy1  ");
}

#[test]
fn a_bit_in_the_hash_tree_ends_the_vm() {
    let verified = verified();
    let disk = verified.disk();
    let tree = disk.find(&std::fs::read(verified.tree.path()).expect("the tree")[..64]);
    // The second block is the first one of the level below the top.
    disk.flip(tree + BLOCK);
    boots(&disk, &verified.fields()).failed(
        Code::HashTreeCorrupted,
        "mount disk:lists: EBADMSG: block 1 of the hash tree of vda1 differs from its hash",
    );
}

#[test]
fn a_root_hash_or_a_salt_that_does_not_fit_ends_the_vm() {
    let verified = verified();
    let disk = verified.disk();
    let line = "mount disk:lists: EBADMSG: the hash tree does not fit the root hash, or the salt";
    let other = verified.fields().replace(&verified.root_hash, &"0".repeat(64));
    boots(&disk, &other).failed(Code::WrongRootHash, line);
    boots(&disk, &verified.fields_with_salt("00")).failed(Code::WrongRootHash, line);
}

#[test]
fn a_bit_in_a_list_on_the_disk_of_an_extension_ends_the_vm() {
    let verified = verified();
    let disk = verified.disk();
    disk.flip(disk.find(LIST.as_bytes()) + 3);
    let words = format!(
        "kata.extension.gpu.verity_params={} guest_init.modules_file=disk:extension-gpu:/list",
        verified.fields()
    );
    let line = "mount disk:extension-gpu:/list: EBADMSG: block ";
    with_disks(image(), &[named("extension-gpu", &disk)], &words).failed(Code::DataCorrupted, line);
}

/// Boots with an extension that has the module tree, after the bit at an offset in these bytes of its disk was flipped.
fn with_damaged_extension(bytes: &[u8], offset: u64) -> Console {
    let files = TempDir::new().expect("a temporary directory");
    fs::write(files.path().join("first"), FILLER).expect("a file can be written");
    add_tree(files.path());
    let verified = Verified::erofs(files.path());
    let disk = verified.disk();
    disk.flip(disk.find(bytes) + offset);
    let words = format!(
        "kata.extension.gpu.verity_params={} guest_init.modules=dummy \
         guest_init.module_dir=/run/kata-extensions/gpu/modules",
        verified.fields()
    );
    with_disks(Image::new().modules(DRIVERS), &[named("extension-gpu", &disk)], &words)
        .has("of the data of vda1 differs from its hash")
}

#[test]
fn a_bit_in_a_module_of_an_extension_ends_the_vm() {
    let (file, _) = Kernel::under_test().module("dummy");
    let module = std::fs::read(file).expect("the module can be read");
    with_damaged_extension(&module[..1024], 100).failed(Code::DataCorrupted, "mount ").has("; so load failed: ");
}

#[test]
fn a_bit_in_an_index_of_an_extension_ends_the_vm() {
    let index = std::fs::read(Kernel::under_test().modules().join("modules.dep.bin")).expect("the index can be read");
    with_damaged_extension(&index[..BLOCK as usize], 100)
        .failed(Code::DataCorrupted, "mount ")
        .has("; so plan failed: ");
}

#[test]
fn a_bit_in_the_superblock_of_a_file_system_ends_the_vm() {
    let line = "mount kata.extension.gpu: EBADMSG: block 0 of the data of vda1";
    with_damaged_extension(b"\xe2\xe1\xf5\xe0", 8).failed(Code::DataCorrupted, line);
}
