//! dm-verity's hash trees with SHA-256, as `veritysetup format --no-superblock` writes them (version 1 of the format,
//! Documentation/admin-guide/device-mapper/verity.rst): they are made and verified block by block.
//!
//! A hash is SHA-256 of the salt and then a block. The hashes of all blocks of a level stand one behind the other in
//! the blocks of the next level, the last of which is filled up with zeros. The topmost level is one block, whose hash
//! is the root hash. On the disk the topmost level comes first:
//!
//! ```text
//! top | level 1 | level 0     level 0: the hashes of the data blocks
//! ```
//!
//! A single data block has no tree: its hash is the root hash.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

/// The size of a hash in bytes.
pub const HASH: usize = 32;

/// A hash.
pub type Hash = [u8; HASH];

/// The sizes of a hash tree and of the data that it is for. Both block sizes are powers of two from 512 to 65,536.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    data_blocks: u64,
    /// In bytes.
    data_block_size: usize,
    /// In bytes.
    hash_block_size: usize,
    /// From the one with the hashes of data blocks up.
    levels: Vec<Level>,
}

/// A level of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    /// Its first block, counted from the start of the tree.
    first: u64,
    blocks: u64,
}

/// The first mismatch that the kernel would meet on the way from the root hash to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The root hash is not that of the topmost block of the tree.
    Root,
    /// The hash of a block of the tree, counted from the start of the tree, is not the one in the level above.
    HashBlock(u64),
    /// The hash of a data block is not the one in the tree, or without a tree not the root hash.
    DataBlock(u64),
}

impl Geometry {
    /// The geometry for so many blocks of data, at least one.
    pub fn new(data_blocks: u64, data_block_size: usize, hash_block_size: usize) -> Self {
        let hashes_in_block = (hash_block_size / HASH) as u64;
        let mut blocks = data_blocks;
        let mut counts = Vec::new();
        while blocks > 1 {
            blocks = blocks.div_ceil(hashes_in_block);
            counts.push(blocks);
        }
        let mut first = counts.iter().sum();
        let level = |blocks| {
            first -= blocks;
            Level { first, blocks }
        };
        Self { data_blocks, data_block_size, hash_block_size, levels: counts.into_iter().map(level).collect() }
    }

    /// The size of the tree in bytes.
    pub fn tree_size(&self) -> u64 {
        self.levels.iter().map(|level| level.blocks).sum::<u64>() * self.hash_block_size as u64
    }
}

/// A part of a file: a partition.
#[derive(Clone, Copy, Debug)]
pub struct Part<'f> {
    /// The file.
    pub file: &'f File,
    /// The first byte.
    pub offset: u64,
}

impl Part<'_> {
    fn read(&self, block: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, self.offset + block * bytes.len() as u64)
    }

    fn write(&self, block: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.offset + block * bytes.len() as u64)
    }
}

/// Writes a tree while its data passes. It holds one block of each level.
pub struct Writer<'w> {
    geometry: &'w Geometry,
    salted: Sha256,
    tree: Part<'w>,
    /// Of each level: the block that is being filled, and the number of blocks that are written.
    levels: Vec<(Vec<u8>, u64)>,
    root: Hash,
}

impl<'w> Writer<'w> {
    /// A writer of a tree to a part of a file.
    pub fn new(geometry: &'w Geometry, salt: &[u8], tree: Part<'w>) -> Self {
        let levels = vec![(Vec::with_capacity(geometry.hash_block_size), 0); geometry.levels.len()];
        Self { geometry, salted: Sha256::new_with_prefix(salt), tree, levels, root: [0; HASH] }
    }

    /// Takes the next block of data.
    pub fn data_block(&mut self, block: &[u8]) -> io::Result<()> {
        let hash = hash_of(&self.salted, block);
        self.insert(0, hash)
    }

    /// Writes what is left, and returns the root hash.
    pub fn finish(mut self) -> io::Result<Hash> {
        for level in 0..self.levels.len() {
            if !self.levels[level].0.is_empty() {
                self.write_block(level)?;
            }
        }
        Ok(self.root)
    }

    /// Puts a hash into a level. The one above the topmost level is the root hash.
    fn insert(&mut self, level: usize, hash: Hash) -> io::Result<()> {
        let Some((block, _)) = self.levels.get_mut(level) else {
            self.root = hash;
            return Ok(());
        };
        block.extend(hash);
        if block.len() == self.geometry.hash_block_size { self.write_block(level) } else { Ok(()) }
    }

    fn write_block(&mut self, level: usize) -> io::Result<()> {
        let (block, written) = &mut self.levels[level];
        block.resize(self.geometry.hash_block_size, 0);
        self.tree.write(self.geometry.levels[level].first + *written, block)?;
        *written += 1;
        let hash = hash_of(&self.salted, block);
        block.clear();
        self.insert(level + 1, hash)
    }
}

/// Verifies all blocks of a tree and of its data, from the root hash down. Returns the first mismatch.
pub fn verify(
    geometry: &Geometry,
    salt: &[u8],
    root: &Hash,
    tree: Part<'_>,
    data: Part<'_>,
) -> io::Result<Option<Mismatch>> {
    let salted = Sha256::new_with_prefix(salt);
    let hashes_in_block = (geometry.hash_block_size / HASH) as u64;
    let mut block = vec![0; geometry.hash_block_size];
    let mut above = vec![0; geometry.hash_block_size];
    above[..HASH].copy_from_slice(root);
    let mut upper: Option<Level> = None;
    for level in geometry.levels.iter().rev() {
        for number in 0..level.blocks {
            read_above(upper, number, hashes_in_block, tree, &mut above)?;
            tree.read(level.first + number, &mut block)?;
            if hash_of(&salted, &block) != hash_in(&above, number % hashes_in_block) {
                return Ok(Some(if upper.is_none() {
                    Mismatch::Root
                } else {
                    Mismatch::HashBlock(level.first + number)
                }));
            }
        }
        upper = Some(*level);
    }
    let mut block = vec![0; geometry.data_block_size];
    for number in 0..geometry.data_blocks {
        read_above(upper, number, hashes_in_block, tree, &mut above)?;
        data.read(number, &mut block)?;
        if hash_of(&salted, &block) != hash_in(&above, number % hashes_in_block) {
            return Ok(Some(Mismatch::DataBlock(number)));
        }
    }
    Ok(None)
}

/// Reads the block with the hash of block `number` of the level below, if that is its first hash. Above the topmost
/// level stands the root hash alone.
fn read_above(
    level: Option<Level>,
    number: u64,
    hashes_in_block: u64,
    tree: Part<'_>,
    block: &mut [u8],
) -> io::Result<()> {
    match level {
        Some(level) if number.is_multiple_of(hashes_in_block) => {
            tree.read(level.first + number / hashes_in_block, block)
        }
        _ => Ok(()),
    }
}

fn hash_of(salted: &Sha256, block: &[u8]) -> Hash {
    salted.clone().chain_update(block).finalize().into()
}

/// The hash of this number in a block of hashes.
fn hash_in(block: &[u8], number: u64) -> &[u8] {
    let start = number as usize * HASH;
    &block[start..start + HASH]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_as_many_levels_as_it_takes_to_end_in_one_block() {
        let blocks = |data_blocks, hash_block_size| {
            let geometry = Geometry::new(data_blocks, 4096, hash_block_size);
            geometry.levels.iter().map(|level| (level.first, level.blocks)).collect::<Vec<_>>()
        };
        assert_eq!(blocks(1, 4096), []);
        assert_eq!(blocks(2, 4096), [(0, 1)]);
        assert_eq!(blocks(128, 4096), [(0, 1)]);
        assert_eq!(blocks(129, 4096), [(1, 2), (0, 1)]);
        assert_eq!(blocks(128 * 128 + 1, 4096), [(3, 129), (1, 2), (0, 1)]);
        assert_eq!(blocks(17, 512), [(1, 2), (0, 1)]);
        assert_eq!(Geometry::new(129, 4096, 4096).tree_size(), 3 * 4096);
    }

    #[test]
    fn the_first_mismatch_below_the_root_is_found() {
        const DATA: u64 = 300;
        let geometry = Geometry::new(DATA, 512, 512);
        let (data, tree) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let (data, tree) = (Part { file: &data, offset: 1024 }, Part { file: &tree, offset: 512 });
        let mut writer = Writer::new(&geometry, b"salt", tree);
        for number in 0..DATA {
            let block = [number as u8; 512];
            data.write(number, &block).unwrap();
            writer.data_block(&block).unwrap();
        }
        let root = writer.finish().unwrap();
        let verified = |root: &Hash| verify(&geometry, b"salt", root, tree, data).unwrap();
        assert_eq!(verified(&root), None);
        assert_eq!(verified(&[0; HASH]), Some(Mismatch::Root));
        assert_eq!(verify(&geometry, b"", &root, tree, data).unwrap(), Some(Mismatch::Root));
        data.write(299, &[7; 512]).unwrap();
        assert_eq!(verified(&root), Some(Mismatch::DataBlock(299)));
        tree.write(5, &[7; 512]).unwrap();
        assert_eq!(verified(&root), Some(Mismatch::HashBlock(5)));
        tree.write(0, &[7; 512]).unwrap();
        assert_eq!(verified(&root), Some(Mismatch::Root));
        tree.file.set_len(512 * 20).unwrap();
        data.file.set_len(512).unwrap();
        assert!(verify(&geometry, b"salt", &root, Part { file: tree.file, offset: 512 * 20 }, data).is_err());
    }
}
