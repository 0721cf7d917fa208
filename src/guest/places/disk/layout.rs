//! The parts of a disk: its data, and the partition that a hash tree may be on.

extern crate alloc;

use alloc::vec::Vec;

use rustix::io::{self, Errno};

use super::file_system::FileSystem;
use super::verity::HashTree;
use super::wanted::{PAUSE, WantedDisk};
use super::{open_disk, partitions, size};
use crate::failure::{Code, Failure};
use crate::guest::system::clock::sleep;
use crate::request::verity::Verity;
use crate::request::verity::superblock::Superblock;
use crate::text::Shown;

/// The number of looks for the contents of a disk, half a second in all.
const LOOKS: usize = 50;

/// The parts of a disk, by their paths.
#[derive(Debug)]
pub struct Layout {
    /// The first partition, or the whole disk if it has none.
    pub data: Vec<u8>,
    /// Partition 2 if the data are on partition 1.
    pub hash_partition: Option<Vec<u8>>,
}

impl Layout {
    /// Looks at the disk at a path. A disk that has neither partitions nor a file system may have appeared before the
    /// kernel read its partition table, so it is looked at for a while.
    pub fn of(disk: &[u8]) -> Self {
        let mut looks = 0;
        loop {
            // While the kernel reads the partition table, an open of the disk waits (bdev_open_by_dev in block/bdev.c).
            let device = open_disk(disk);
            let partitions = partitions(disk);
            if let Some((number, data)) = partitions.iter().min() {
                let hash = partitions.iter().find(|(other, _)| (*number, *other) == (1, 2));
                return Self { data: data.clone(), hash_partition: hash.map(|(_, path)| path.clone()) };
            }
            looks += 1;
            if looks == LOOKS || matches!(device.and_then(FileSystem::on), Ok(Some(_))) {
                return Self { data: disk.to_vec(), hash_partition: None };
            }
            sleep(PAUSE);
        }
    }

    /// Finds the hash tree: on the hash partition, or right behind the data.
    ///
    /// Failures: [`Code::HashTreeMissing`], [`Code::DiskFailed`].
    pub fn hash_tree(&self, verity: &Verity<'_>, wanted: &WantedDisk<'_>) -> Result<HashTree<'_>, Failure> {
        let part = |path| Part { path, size: size(path) };
        let hash_partition = match &self.hash_partition {
            None => None,
            Some(path) => match first_bytes(path) {
                Ok(bytes) => Some((part(path), Superblock::is_one(&bytes))),
                Err(error) => {
                    let reason = format_args!("the hash tree's device, {}, can't be read", Shown(path));
                    return Err(wanted.failure(Code::DiskFailed, error, reason));
                }
            },
        };
        place_of_tree(verity, part(&self.data), hash_partition, wanted)
    }
}

/// A part of a disk.
#[derive(Clone, Copy, Debug)]
pub struct Part<'p> {
    /// The path of its device.
    pub path: &'p [u8],
    /// Its size in bytes.
    pub size: u64,
}

/// The place of a hash tree: the hash partition, if there is one, or right behind the data. The flag says whether the
/// hash partition begins with a superblock. The sizes show whether the tree can be there.
///
/// Failures: [`Code::HashTreeMissing`], [`Code::DiskFailed`].
pub fn place_of_tree<'p>(
    verity: &Verity<'_>,
    data: Part<'p>,
    hash_partition: Option<(Part<'p>, bool)>,
    wanted: &WantedDisk<'_>,
) -> Result<HashTree<'p>, Failure> {
    if verity.data_size() > data.size {
        let (path, size, available) = (Shown(data.path), verity.data_size(), data.size);
        let reason = format_args!("data_blocks= and data_block_size= mean {size} bytes, and {path} has {available}");
        return Err(wanted.failure(Code::DiskFailed, Errno::NOSPC, reason));
    }
    let (on, start) = match hash_partition {
        Some((partition, has_superblock)) => (partition, has_superblock.into()),
        None => (data, verity.behind_the_data()),
    };
    if verity.end_of_tree(start).is_some_and(|end| end <= on.size) {
        return Ok(HashTree { path: on.path, start });
    }
    let (path, available) = (Shown(on.path), on.size);
    let length = verity.hash_blocks().saturating_mul(verity.hash_block_size());
    let reason = match hash_partition {
        Some(_) => format_args!("partition 2, {path}, has {available} bytes, and the hash tree {length}"),
        None => format_args!(
            "neither has it a partition 2, nor {path}, with {available} bytes, the {length} bytes of a hash tree \
             behind its {} bytes of data",
            verity.data_size()
        ),
    };
    Err(wanted.failure(Code::HashTreeMissing, Errno::NOENT, reason))
}

/// The first bytes of a device.
pub fn first_bytes(path: &[u8]) -> io::Result<[u8; Superblock::SIZE]> {
    let mut bytes = [0; Superblock::SIZE];
    let device = open_disk(path)?;
    match io::retry_on_intr(|| io::pread(&device, &mut bytes, 0))? {
        Superblock::SIZE => Ok(bytes),
        _ => Err(Errno::IO),
    }
}
