//! PARTUUIDs: read from the partition table, because only recent kernels show them in sysfs.
//!
//! The kernel has accepted the table before (block/partitions/efi.c, block/partitions/msdos.c). An entry counts only if
//! it has the start of the partition that the kernel made of it, so a table that was changed since names no partition.
//! Both tables are little-endian on every architecture. A DASD's own table (block/partitions/ibm.c) has no PARTUUIDs.

extern crate alloc;

use alloc::format;
use alloc::string::String;

use rustix::fd::AsFd;
use rustix::io;

use super::file_system::dashed;

/// A partition as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The number, counted from 1.
    pub number: u32,
    /// The first sector on its disk. A sector has 512 bytes, whatever the disk's blocks have.
    pub start: u64,
}

/// The size of a sector of sysfs and of an MBR, in bytes.
const SECTOR: u64 = 512;
/// The shortest entry of a GPT, in bytes (UEFI 2.10, 5.3.2). Longer ones are powers of two.
const SHORTEST_ENTRY: u32 = 128;
/// The type of the partition in an MBR that stands for a GPT.
const PROTECTIVE: u8 = 0xee;

impl Partition {
    /// The PARTUUID in lower case. `disk` is the whole disk, and `block` the size of its blocks in bytes. `None`: the
    /// disk can't be read, or its table does not have the partition.
    pub fn uuid(self, disk: impl AsFd, block: u64) -> Option<String> {
        let mbr: [u8; 512] = bytes_at(&disk, 0)?;
        if mbr.get(0x1fe..)? != b"\x55\xaa" {
            return None;
        }
        let types = [0x1c2, 0x1d2, 0x1e2, 0x1f2].map(|at| mbr.get(at).copied());
        match types.contains(&Some(PROTECTIVE)) {
            true => self.guid(disk, block),
            false => {
                let signature = u32::from_le_bytes(at(&mbr, 0x1b8)?);
                Some(format!("{signature:08x}-{:02x}", self.number))
            }
        }
    }

    /// The GUID in the GPT: the header in block 1 says where the entries are, and how long each is.
    fn guid(self, disk: impl AsFd, block: u64) -> Option<String> {
        let header: [u8; 92] = bytes_at(&disk, block)?;
        let entries = u64::from_le_bytes(at(&header, 72)?);
        let (count, length) = (u32::from_le_bytes(at(&header, 80)?), u32::from_le_bytes(at(&header, 84)?));
        let index = self.number.checked_sub(1).filter(|index| *index < count)?;
        if !header.starts_with(b"EFI PART") || length < SHORTEST_ENTRY {
            return None;
        }
        let offset = entries.checked_mul(block)?.checked_add(u64::from(index) * u64::from(length))?;
        let entry: [u8; 128] = bytes_at(disk, offset)?;
        let start = u64::from_le_bytes(at(&entry, 32)?).checked_mul(block)?;
        // The first three groups of a GUID are numbers in little-endian order.
        let [a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16] = at(&entry, 16)?;
        let mut guid = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
        guid.last_chunk_mut::<8>()?.copy_from_slice(&rest);
        (start == self.start.checked_mul(SECTOR)?).then(|| dashed(&guid, &[4, 2, 2, 2, 6]))
    }
}

/// Reads so many bytes of a disk.
fn bytes_at<const N: usize>(disk: impl AsFd, offset: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = io::retry_on_intr(|| io::pread(&disk, &mut bytes, offset)).ok()?;
    (length == N).then_some(bytes)
}

/// So many bytes of a structure.
fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}
