//! File systems as a disk shows them: the type, the UUID and the label in the superblock.
//!
//! A disk is hostile. Only the bytes at fixed offsets are read, and they are only compared.

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use rustix::fd::AsFd;
use rustix::io;

use crate::request::kernel::disk_name::{By, DiskName};

/// A type of file system: how it is recognised, and where its names are.
#[derive(Debug)]
pub struct FileSystem {
    /// The type, as mount(2) takes it.
    pub fs_type: &'static [u8],
    /// The offset of the signature on the disk, in bytes.
    offset: u64,
    signature: &'static [u8],
    /// The option of a read-only mount without which the kernel replays a journal, which writes to the disk. Empty: the
    /// file system has no journal.
    pub no_replay: &'static [u8],
    /// `None`: the file system has no UUID.
    uuid: Option<(u64, Uuid)>,
    /// `None`: the file system has no label.
    label: Option<(u64, Label)>,
}

/// The form of a UUID.
#[derive(Clone, Copy, Debug)]
enum Uuid {
    /// 16 bytes, written as 8-4-4-4-12 digits.
    Bytes,
    /// The serial number of a FAT volume: a number of 32 bits in little-endian order, written as 4-4 digits.
    Serial,
}

/// The form of a label.
#[derive(Clone, Copy, Debug)]
enum Label {
    /// So many bytes at most. The label ends at a NUL.
    Bytes(usize),
    /// So many bytes, filled up with blanks.
    Padded(usize),
    /// So many UTF-16 units in little-endian order at most.
    Utf16(usize),
}

/// The longest field of a superblock that is read, in bytes: the label of f2fs.
const LONGEST: usize = 1024;

/// The text in the label's place on a FAT volume without a label.
const NO_LABEL: &[u8] = b"NO NAME";

/// All types that are recognised. Offsets are those of the superblocks in the kernel's sources: fs/ext4/ext4.h,
/// fs/xfs/libxfs/xfs_format.h, include/uapi/linux/btrfs_tree.h, fs/erofs/erofs_fs.h, fs/squashfs/squashfs_fs.h,
/// include/linux/f2fs_fs.h, include/uapi/linux/msdos_fs.h, include/uapi/linux/iso_fs.h.
const FILE_SYSTEMS: [FileSystem; 9] = [
    FileSystem {
        fs_type: b"ext4",
        offset: 0x438,
        signature: b"\x53\xef",
        no_replay: b"noload",
        uuid: Some((0x468, Uuid::Bytes)),
        label: Some((0x478, Label::Bytes(16))),
    },
    FileSystem {
        fs_type: b"xfs",
        offset: 0,
        signature: b"XFSB",
        no_replay: b"norecovery",
        uuid: Some((32, Uuid::Bytes)),
        label: Some((108, Label::Bytes(12))),
    },
    FileSystem {
        fs_type: b"btrfs",
        offset: 0x1_0040,
        signature: b"_BHRfS_M",
        no_replay: b"rescue=nologreplay",
        uuid: Some((0x1_0020, Uuid::Bytes)),
        label: Some((0x1_012b, Label::Bytes(256))),
    },
    FileSystem {
        fs_type: b"erofs",
        offset: 0x400,
        signature: b"\xe2\xe1\xf5\xe0",
        no_replay: b"",
        uuid: Some((0x430, Uuid::Bytes)),
        label: Some((0x440, Label::Bytes(16))),
    },
    FileSystem { fs_type: b"squashfs", offset: 0, signature: b"hsqs", no_replay: b"", uuid: None, label: None },
    FileSystem {
        fs_type: b"f2fs",
        offset: 0x400,
        signature: b"\x10\x20\xf5\xf2",
        no_replay: b"norecovery",
        uuid: Some((0x46c, Uuid::Bytes)),
        label: Some((0x47c, Label::Utf16(512))),
    },
    FileSystem {
        fs_type: b"iso9660",
        offset: 0x8001,
        signature: b"CD001",
        no_replay: b"",
        uuid: None,
        label: Some((0x8028, Label::Padded(32))),
    },
    // FAT32, then FAT12 and FAT16, whose first sectors differ.
    FileSystem {
        fs_type: b"vfat",
        offset: 0x52,
        signature: b"FAT32   ",
        no_replay: b"",
        uuid: Some((0x43, Uuid::Serial)),
        label: Some((0x47, Label::Padded(11))),
    },
    FileSystem {
        fs_type: b"vfat",
        offset: 0x36,
        signature: b"FAT1",
        no_replay: b"",
        uuid: Some((0x27, Uuid::Serial)),
        label: Some((0x2b, Label::Padded(11))),
    },
];

impl FileSystem {
    /// The file system on a disk. `None`: no signature is known.
    ///
    /// Error: that of reading the disk.
    pub fn on(disk: impl AsFd) -> io::Result<Option<&'static Self>> {
        for known in &FILE_SYSTEMS {
            let mut bytes = [0; 8];
            if field(&disk, known.offset, &mut bytes)?.starts_with(known.signature) {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// Whether a disk with this file system has a name by UUID or by label.
    pub fn is(&self, disk: impl AsFd, name: &DiskName<'_>) -> bool {
        match name.by {
            By::Uuid => self.uuid(disk).is_some_and(|uuid| name.is(uuid.as_bytes())),
            By::Label => self.label(disk).is_some_and(|label| name.is(&label)),
            By::Path | By::PartUuid | By::PartLabel | By::Serial => false,
        }
    }

    /// The UUID as text, in lower case.
    pub fn uuid(&self, disk: impl AsFd) -> Option<String> {
        let (offset, form) = self.uuid?;
        let mut bytes = [0; 16];
        let bytes: [u8; 16] = field(disk, offset, &mut bytes).ok()?.try_into().ok()?;
        Some(match form {
            Uuid::Bytes => dashed(&bytes, &[4, 2, 2, 2, 6]),
            Uuid::Serial => {
                let [a, b, c, d, ..] = bytes;
                dashed(&[d, c, b, a], &[2, 2])
            }
        })
    }

    /// The label, in UTF-8 as far as the file system knows it.
    pub fn label(&self, disk: impl AsFd) -> Option<Vec<u8>> {
        let (offset, form) = self.label?;
        let mut bytes = [0; LONGEST];
        let length = match form {
            Label::Bytes(length) | Label::Padded(length) => length,
            Label::Utf16(units) => units * 2,
        };
        let bytes = field(disk, offset, bytes.get_mut(..length)?).ok()?;
        let label = match form {
            Label::Bytes(_) => bytes.split(|&b| b == 0).next()?.to_vec(),
            Label::Padded(_) => bytes.trim_ascii_end().to_vec(),
            Label::Utf16(_) => utf16(bytes).into_bytes(),
        };
        Some(label).filter(|label| !label.is_empty() && label != NO_LABEL)
    }
}

/// Reads a field of a disk. A disk that ends before the field has less of it.
fn field(disk: impl AsFd, offset: u64, bytes: &mut [u8]) -> io::Result<&[u8]> {
    let length = io::retry_on_intr(|| io::pread(&disk, &mut *bytes, offset))?;
    Ok(bytes.get(..length).unwrap_or_default())
}

/// Bytes as hexadecimal digits, with a dash between groups of so many bytes.
pub fn dashed(bytes: &[u8], groups: &[usize]) -> String {
    let (mut text, mut rest) = (String::new(), bytes.iter());
    for (number, length) in groups.iter().enumerate() {
        if number > 0 {
            text.push('-');
        }
        for byte in rest.by_ref().take(*length) {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// Text in UTF-16, up to a NUL. A unit that is no character becomes U+FFFD.
fn utf16(bytes: &[u8]) -> String {
    let units = bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0);
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
