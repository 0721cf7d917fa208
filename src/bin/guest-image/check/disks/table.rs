//! The partitions of a disk that is a file, as the kernel finds them (block/partitions/efi.c,
//! block/partitions/msdos.c).

use std::fs::File;
use std::io::{Result, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use gptman::{GPTHeader, GPTPartitionEntry};

/// The size of a sector, in bytes. A VMM gives a disk of an ordinary file sectors of this size.
const SECTOR: u64 = 512;
/// The offset of the four entries in an MBR, and the size of one, in bytes.
const ENTRIES: usize = 0x1be;
const ENTRY: usize = 16;
/// The type of the partition in an MBR that stands for a GPT.
const PROTECTIVE: u8 = 0xee;
/// The size of an entry of a GPT in bytes, and the most entries, which the kernel takes (`is_gpt_valid` in efi.c).
const GPT_ENTRY: u32 = 128;
const MOST_GPT_ENTRIES: u32 = (4 << 20) / GPT_ENTRY;

/// A partition, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Its first byte.
    pub start: u64,
    /// Its size.
    pub size: u64,
}

impl Partition {
    /// A partition by its sectors. `None`: it is empty, or leads out of the disk.
    fn new(number: u32, start: u64, sectors: u64, disk_size: u64) -> Option<Self> {
        let (start, size) = (start.checked_mul(SECTOR)?, sectors.checked_mul(SECTOR)?);
        let end = start.checked_add(size)?;
        (size > 0 && end <= disk_size).then_some(Self { number, start, size })
    }
}

/// The partitions of a disk, by number. A disk without a table has none, and neither has one whose table is damaged:
/// the kernel ignores such a table, and the copy of a GPT.
pub fn partitions(disk: &File) -> Result<Vec<Partition>> {
    let size = disk.metadata()?.len();
    let mut mbr = [0; SECTOR as usize];
    if size < SECTOR {
        return Ok(Vec::new());
    }
    disk.read_exact_at(&mut mbr, 0)?;
    let entries = mbr[ENTRIES..].as_chunks::<ENTRY>().0;
    // Code or data in the place of an MBR has other bytes where an entry says whether it is active.
    if !mbr.ends_with(b"\x55\xaa") || entries.iter().any(|entry| entry[0] & 0x7f != 0) {
        return Ok(Vec::new());
    }
    Ok(match entries.iter().any(|entry| entry[4] == PROTECTIVE) {
        true => {
            let entries = gpt_entries(disk, size).unwrap_or_default();
            (1..).zip(&entries).filter_map(|(number, entry)| of_gpt(number, entry, size)).collect()
        }
        false => (1..).zip(entries).filter_map(|(number, entry)| of_mbr(number, entry, size)).collect(),
    })
}

/// The entries of the GPT whose header is in sector 1. `None`: it is damaged.
fn gpt_entries(mut disk: &File, size: u64) -> Option<Vec<GPTPartitionEntry>> {
    disk.seek(SeekFrom::Start(SECTOR)).ok()?;
    let header = GPTHeader::read_from(&mut disk).ok()?;
    let GPTHeader { size_of_partition_entry, number_of_partition_entries, partition_entry_lba, .. } = header;
    let fits = size_of_partition_entry == GPT_ENTRY
        && number_of_partition_entries <= MOST_GPT_ENTRIES
        && partition_entry_lba < size / SECTOR;
    if fits { header.read_partitions(&mut disk, SECTOR).ok() } else { None }
}

fn of_gpt(number: u32, entry: &GPTPartitionEntry, disk_size: u64) -> Option<Partition> {
    let sectors = entry.ending_lba.checked_sub(entry.starting_lba)?.checked_add(1)?;
    Partition::new(number, entry.starting_lba, sectors, disk_size).filter(|_| entry.is_used())
}

fn of_mbr(number: u32, entry: &[u8; ENTRY], disk_size: u64) -> Option<Partition> {
    let number_at = |at: usize| entry[at..].first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)));
    Partition::new(number, number_at(8)?, number_at(12)?, disk_size).filter(|_| entry[4] != 0)
}

#[cfg(test)]
mod tests {
    use gptman::GPT;

    use super::*;

    const SIZE: u64 = 1 << 20;

    /// A disk with a GPT, whose header a function changes before the checksum is made.
    fn with_gpt(change: impl FnOnce(&mut GPTHeader)) -> File {
        let mut disk = tempfile::tempfile().unwrap();
        disk.set_len(SIZE).unwrap();
        GPT::write_protective_mbr_into(&mut disk, SECTOR).unwrap();
        let mut table = GPT::new_from(&mut disk, SECTOR, [1; 16]).unwrap();
        let entry = |guid, starting_lba, ending_lba| GPTPartitionEntry {
            partition_type_guid: [2; 16],
            unique_partition_guid: [guid; 16],
            starting_lba,
            ending_lba,
            ..GPTPartitionEntry::empty()
        };
        (table[2], table[5]) = (entry(3, 100, 109), entry(4, 200, 300));
        table.write_into(&mut disk).unwrap();
        let mut header = table.header;
        change(&mut header);
        header.update_crc32_checksum();
        let GPTHeader { crc32_checksum, partition_entry_lba, number_of_partition_entries, .. } = header;
        disk.write_all_at(&crc32_checksum.to_le_bytes(), SECTOR + 16).unwrap();
        disk.write_all_at(&partition_entry_lba.to_le_bytes(), SECTOR + 72).unwrap();
        disk.write_all_at(&number_of_partition_entries.to_le_bytes(), SECTOR + 80).unwrap();
        disk
    }

    #[test]
    fn a_gpt_is_read_as_far_as_the_kernel_takes_it() {
        let partition = |number, start, sectors| Partition { number, start: start * SECTOR, size: sectors * SECTOR };
        let disk = with_gpt(|_| {});
        assert_eq!(partitions(&disk).unwrap(), [partition(2, 100, 10), partition(5, 200, 101)]);
        // Partition 5 leads out of the disk.
        disk.set_len(250 * SECTOR).unwrap();
        assert_eq!(partitions(&disk).unwrap(), [partition(2, 100, 10)]);
        disk.write_all_at(b"?", SECTOR).unwrap();
        assert_eq!(partitions(&disk).unwrap(), []);
        assert_eq!(partitions(&with_gpt(|header| header.number_of_partition_entries = u32::MAX)).unwrap(), []);
        assert_eq!(partitions(&with_gpt(|header| header.partition_entry_lba = u64::MAX)).unwrap(), []);
        assert_eq!(partitions(&with_gpt(|header| header.number_of_partition_entries = 0)).unwrap(), []);
    }

    #[test]
    fn bytes_that_are_no_table_are_not_taken_for_one() {
        let disk = tempfile::tempfile().unwrap();
        for size in [0, 511, 512, 4096] {
            disk.set_len(size).unwrap();
            assert_eq!(partitions(&disk).unwrap(), []);
        }
        disk.write_all_at(&[0xeb; 510], 0).unwrap();
        disk.write_all_at(b"\x55\xaa", 510).unwrap();
        assert_eq!(partitions(&disk).unwrap(), []);
    }
}
