//! The parts of a disk, and its verification: the sizes by PID 1's own code, and each block as the kernel would.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use guest_init::failure::{Code, Failure};
use guest_init::guest::places::disk::corruption::Corruption;
use guest_init::guest::places::disk::layout::{Part, place_of_tree};
use guest_init::guest::places::disk::verity::WRONG_ROOT_HASH;
use guest_init::guest::places::disk::wanted::WantedDisk;
use guest_init::request::verity::Verity;
use guest_init::request::verity::superblock::Superblock;
use rustix::io::Errno;

use super::table::{Partition, partitions};
use crate::shared::hash_tree::{self, Geometry, HASH, Mismatch};
use crate::shared::hex;

/// A part of a file: a partition, or all of it.
#[derive(Debug)]
pub struct Extent {
    /// The file's path, and behind it the number of the partition, as sfdisk names partitions.
    name: String,
    file: File,
    /// The first byte.
    start: u64,
    /// In bytes.
    size: u64,
}

/// The parts of a disk.
#[derive(Debug)]
pub struct DiskParts {
    /// The first partition, or the whole disk if it has none.
    pub data: Extent,
    /// Partition 2 if the data are on partition 1.
    pub hash_partition: Option<Extent>,
}

impl Extent {
    fn partition(path: &Path, file: &File, partition: Partition) -> io::Result<Self> {
        let Partition { number, start, size } = partition;
        Ok(Self { name: format!("{}{number}", path.display()), file: file.try_clone()?, start, size })
    }

    /// A reader of all its bytes.
    pub fn reader(&self) -> io::Result<Take<&File>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.start))?;
        Ok(file.take(self.size))
    }

    fn part(&self) -> Part<'_> {
        Part { path: self.name.as_bytes(), size: self.size }
    }

    fn at(&self, offset: u64) -> hash_tree::Part<'_> {
        hash_tree::Part { file: &self.file, offset: self.start + offset }
    }

    fn has_superblock(&self) -> io::Result<bool> {
        let mut bytes = [0; Superblock::SIZE];
        self.file.read_exact_at(&mut bytes, self.start).map(|()| Superblock::is_one(&bytes))
    }
}

impl DiskParts {
    /// The parts of the disk in a file.
    pub fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let partitions = partitions(&file)?;
        let extent = |partition| Extent::partition(path, &file, partition);
        let (data, hash) = match partitions[..] {
            [] => {
                let name = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
                let size = file.metadata()?.len();
                return Ok(Self { data: Extent { name, file, start: 0, size }, hash_partition: None });
            }
            [first] => (first, None),
            [first, second, ..] => (first, Some(second).filter(|_| (first.number, second.number) == (1, 2))),
        };
        Ok(Self { data: extent(data)?, hash_partition: hash.map(extent).transpose()? })
    }

    /// Verifies all blocks. The inner error is the failure of the first guest that reads a wrong one.
    ///
    /// Failures: [`Code::HashTreeMissing`], [`Code::DiskFailed`], [`Code::WrongRootHash`], [`Code::HashTreeCorrupted`],
    /// [`Code::DataCorrupted`].
    pub fn verify(&self, verity: &Verity<'_>, wanted: &WantedDisk<'_>) -> io::Result<Result<(), Failure>> {
        let hash = match &self.hash_partition {
            Some(partition) => Some((partition.part(), partition.has_superblock()?)),
            None => None,
        };
        let start = match place_of_tree(verity, self.data.part(), hash, wanted) {
            Ok(tree) => tree.start,
            Err(failure) => return Ok(Err(failure)),
        };
        let on = self.hash_partition.as_ref().unwrap_or(&self.data);
        let tree = on.at(start * verity.hash_block_size());
        let sizes = [verity.data_block_size().into(), verity.hash_block_size()].map(|size: u64| size as usize);
        let geometry = Geometry::new(verity.data_blocks(), sizes[0], sizes[1]);
        // The request has checked the digits.
        let [root, salt] = [verity.root_hash(), verity.salt()].map(|digits| hex::bytes_of(digits).unwrap_or_default());
        let root = root.first_chunk::<HASH>().copied().unwrap_or_default();
        let corrupted = |block, is_tree| {
            let found = Corruption { device: self.data.name.clone().into(), block, is_tree };
            wanted.failure(found.code(), Errno::BADMSG, found)
        };
        Ok(match hash_tree::verify(&geometry, &salt, &root, tree, self.data.at(0))? {
            None => Ok(()),
            Some(Mismatch::Root) => Err(wanted.failure(Code::WrongRootHash, Errno::BADMSG, WRONG_ROOT_HASH)),
            // The kernel counts from the start of the device.
            Some(Mismatch::HashBlock(block)) => Err(corrupted(start + block, true)),
            Some(Mismatch::DataBlock(block)) => Err(corrupted(block, false)),
        })
    }
}
