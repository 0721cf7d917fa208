//! The disk: a GPT, the file system on partition 1, and its hash tree on partition 2.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use gptman::{GPT, GPTPartitionEntry};

use super::word::{Guid, Salt, Verity, guid};
use crate::shared::hash_tree::{Geometry, Part, Writer};

/// The size of a block of the file system and of the hash tree, in bytes: that of Kata's extensions.
pub const BLOCK: usize = 4096;
/// The size of a sector of the disk, in bytes. The partition table counts in sectors.
const SECTOR: u64 = 512;
/// Partitions begin and the disk ends at a multiple of this, in bytes, as parted and sfdisk align them.
const ALIGNMENT: u64 = 1 << 20;
/// The space behind the last partition, in bytes: the copy of the table, 128 entries of 128 bytes and a header.
const BACKUP: u64 = 33 * SECTOR;
/// The type of a partition with Linux data, 0fc63daf-8483-4772-8e79-3d69d8477de4 (the UAPI group's Discoverable
/// Partitions Specification), with its first three groups in little-endian order.
const LINUX_DATA: [u8; 16] =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];
/// The number of blocks that are copied at once.
const BLOCKS_AT_ONCE: usize = 256;

/// A partition, in bytes.
#[derive(Clone, Copy, Debug)]
struct Partition {
    start: u64,
    size: u64,
}

impl Partition {
    /// The place for the next partition.
    fn behind(self) -> u64 {
        (self.start + self.size).next_multiple_of(ALIGNMENT)
    }
}

/// Writes a disk with this file system to an empty file. Returns what the kernel needs to verify it.
pub fn write(disk: &File, file_system: &Path, salt: Salt) -> Result<Verity> {
    let mut file_system = File::open(file_system)?;
    let data_blocks = file_system.metadata()?.len().div_ceil(BLOCK as u64);
    let geometry = Geometry::new(data_blocks, BLOCK, BLOCK);
    let data = Partition { start: ALIGNMENT, size: data_blocks * BLOCK as u64 };
    // A single data block has no tree, but a partition has a block at least.
    let tree = Partition { start: data.behind(), size: geometry.tree_size().max(BLOCK as u64) };
    disk.set_len((tree.start + tree.size + BACKUP).next_multiple_of(ALIGNMENT))?;

    let mut writer = Writer::new(&geometry, &salt.0, Part { file: disk, offset: tree.start });
    let mut blocks = vec![0; BLOCK * BLOCKS_AT_ONCE];
    let mut offset = data.start;
    while offset < data.start + data.size {
        let length = fill(&mut file_system, &mut blocks)?;
        let blocks = &blocks[..length.next_multiple_of(BLOCK)];
        blocks.chunks(BLOCK).try_for_each(|block| writer.data_block(block))?;
        disk.write_all_at(blocks, offset)?;
        offset += blocks.len() as u64;
    }
    let root_hash = writer.finish()?;
    write_table(disk, data, tree, &root_hash).context("the partition table")?;
    Ok(Verity { root_hash, salt, data_blocks, block_size: BLOCK })
}

/// Reads until the buffer is full or the file ends, and fills the rest of the buffer with zeros. Returns the number of
/// bytes that were read.
fn fill(file: &mut File, buffer: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    buffer[length..].fill(0);
    Ok(length)
}

/// Writes the GPT, its copy, and the protective MBR. The partitions' GUIDs are the first and the last 128 bits of the
/// root hash, as systemd-veritysetup-generator(8) has them.
fn write_table(disk: &File, data: Partition, tree: Partition, root_hash: &[u8; 32]) -> Result<()> {
    let mut disk = disk;
    let mut table = GPT::new_from(&mut disk, SECTOR, guid(root_hash).on_disk())?;
    let (first, last) = root_hash.split_at(16);
    for (number, name, partition, guid) in [(1, "data", data, first), (2, "hash tree", tree, last)] {
        table[number] = GPTPartitionEntry {
            partition_type_guid: LINUX_DATA,
            unique_partition_guid: Guid::of_bytes(guid).on_disk(),
            starting_lba: partition.start / SECTOR,
            ending_lba: (partition.start + partition.size) / SECTOR - 1,
            attribute_bits: 0,
            partition_name: name.into(),
        };
    }
    GPT::write_protective_mbr_into(&mut disk, SECTOR)?;
    table.write_into(&mut disk)?;
    Ok(())
}
