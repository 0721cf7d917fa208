//! Disks with a hash tree of veritysetup's.

use std::fs;
use std::path::Path;

use super::disk::Disk;

/// The size of the blocks of data and of the hash tree, in bytes.
pub const BLOCK: u64 = 4096;

/// A file's bytes: a text between fillers. The kernel reads whole pages, and no page, of 64 KiB at most, has the text
/// and the bytes of another file. The text is in the first 64 KiB.
pub fn apart(text: &[u8], filler: u8) -> Vec<u8> {
    let pages = |count: usize| vec![filler; count * BLOCK as usize];
    [&pages(15), text, &pages(16)].concat()
}
/// The salt of every tree, in hexadecimal digits.
const SALT: &str = "6775657374696e6974";
/// The size of a device that holds the hash tree of any of the data here, in bytes.
const TREE: u64 = 1 << 20;

/// Data, their hash tree, and the parameters that verify them.
pub struct Verified {
    /// The data.
    pub data: Disk,
    /// The hash tree, at its start or behind a superblock.
    pub tree: Disk,
    /// The root hash, in hexadecimal digits.
    pub root_hash: String,
    data_blocks: u64,
}

impl Verified {
    /// An EROFS file system with the files of a directory, and its hash tree without a superblock.
    pub fn erofs(files: &Path) -> Self {
        Self::of(erofs(files), &["--no-superblock"])
    }

    /// Data with a hash tree. `options` are options of veritysetup.
    pub fn of(data: Disk, options: &[&str]) -> Self {
        let tree = Disk::blank(TREE);
        let salt = format!("--salt={SALT}");
        let format = [&["veritysetup", "format", &salt, data.path(), "DISK"][..], options].concat();
        let root_hash = root_hash(&tree.output_of(&format));
        let data_blocks = fs::metadata(data.path()).expect("the data are there").len() / BLOCK;
        Self { data, tree, root_hash, data_blocks }
    }

    /// One disk with the hash tree right behind the data, and the parameters.
    pub fn in_one(data: &Disk) -> (Disk, String) {
        let bytes = fs::read(data.path()).expect("the data can be read");
        let disk = Disk::blank(bytes.len() as u64 + TREE);
        disk.write(0, &bytes);
        let (salt, offset) = (format!("--salt={SALT}"), format!("--hash-offset={}", bytes.len()));
        let data_blocks = bytes.len() as u64 / BLOCK;
        let blocks = format!("--data-blocks={data_blocks}");
        let format = ["veritysetup", "format", "--no-superblock", &salt, &offset, &blocks, "DISK", disk.path()];
        let root_hash = root_hash(&disk.output_of(&format));
        (disk, fields(&root_hash, SALT, data_blocks))
    }

    /// Kata's layout: the data on partition 1, the hash tree on partition 2.
    pub fn disk(&self) -> Disk {
        Disk::partitioned("gpt", "", &[("", &self.data), ("", &self.tree)])
    }

    /// The parameters, as on the kernel command line.
    pub fn fields(&self) -> String {
        fields(&self.root_hash, SALT, self.data_blocks)
    }

    /// The parameters with another salt.
    pub fn fields_with_salt(&self, salt: &str) -> String {
        fields(&self.root_hash, salt, self.data_blocks)
    }
}

/// A disk with an EROFS file system that holds the files of a directory.
pub fn erofs(files: &Path) -> Disk {
    Disk::made_by(&["mkfs.erofs", "--quiet", "DISK", files.to_str().expect("a path in UTF-8")], 0)
}

fn fields(root_hash: &str, salt: &str, data_blocks: u64) -> String {
    format!(
        "root_hash={root_hash},salt={salt},data_blocks={data_blocks},data_block_size={BLOCK},hash_block_size={BLOCK}"
    )
}

/// The root hash in the output of `veritysetup format`.
fn root_hash(output: &str) -> String {
    let line = output.lines().find_map(|line| line.strip_prefix("Root hash:"));
    line.expect("veritysetup prints the root hash").trim().into()
}
