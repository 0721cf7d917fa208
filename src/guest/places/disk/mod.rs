//! Disks: those that the VM has, and the one that a name means.
//!
//! Every block device of /sys/class/block counts, partitions among them, but for those without contents.

extern crate alloc;

pub mod corruption;
mod device_mapper;
pub mod file_system;
pub mod layout;
pub mod partition;
pub mod verified;
pub mod verity;
pub mod wanted;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, open, readlink, stat};
use rustix::io;

use crate::guest::system::files::{Directory, read};
use crate::request::kernel::disk_name::{By, DiskName};
use file_system::FileSystem;
use partition::Partition;

/// The directory with a link for each block device.
const BLOCK: &str = "/sys/class/block";
/// The longest attribute of a device that is read, in bytes.
const LONGEST: usize = 1 << 12;

/// The disks that exist, by their names below /dev and in the order of the names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Disks(Vec<String>);

/// The disks that fit a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Fitting {
    /// There is none.
    None,
    /// There is one. Its path below /dev.
    One(Vec<u8>),
    /// There are several.
    Several(Disks),
}

impl Disks {
    /// The disks that exist now. Memory disks and loop devices without contents are left out.
    pub fn list() -> Self {
        let mut names = Directory::open(BLOCK).and_then(|block| block.names()).unwrap_or_default();
        names.retain(|name| number(name, "size").is_some_and(|size| size > 0));
        Self(names)
    }

    /// The disks that fit a name.
    pub fn fitting(&self, name: &DiskName<'_>) -> Fitting {
        if name.by == By::Path {
            let file = stat(name.value);
            let exists = file.is_ok_and(|file| FileType::from_raw_mode(file.st_mode) == FileType::BlockDevice);
            return if exists { Fitting::One(name.value.to_vec()) } else { Fitting::None };
        }
        let fitting = self.those(&|disk| self.fits(disk, name));
        match &fitting.0[..] {
            [] => Fitting::None,
            [one] => Fitting::One(path(one).into_bytes()),
            _ => Fitting::Several(fitting),
        }
    }

    /// The disks for which this is true.
    fn those(&self, wanted: &dyn Fn(&str) -> bool) -> Self {
        let mut names = Vec::new();
        for name in &self.0 {
            if wanted(name) {
                names.push(name.clone());
            }
        }
        Self(names)
    }

    /// The partitions of the disk at a path.
    pub fn partitions_of(&self, disk: &[u8]) -> Self {
        self.those(&|name| whole_disk(name).is_some_and(|whole| path(&whole).as_bytes() == disk))
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a disk has a name. The contents of a disk with partitions are those of its partitions.
    fn fits(&self, disk: &str, name: &DiskName<'_>) -> bool {
        match name.by {
            By::Path => false,
            By::PartUuid => part_uuid(disk).is_some_and(|uuid| name.is(uuid.as_bytes())),
            By::PartLabel => part_label(disk).is_some_and(|label| name.is(&label)),
            By::Serial => {
                path(disk).strip_prefix("/dev/").is_some_and(|path| path.as_bytes() == name.value)
                    || serial(disk).is_some_and(|serial| name.is(&serial))
            }
            By::Uuid | By::Label => {
                let path = path(disk);
                let device = open_disk(path.as_bytes()).ok().filter(|_| self.partitions_of(path.as_bytes()).is_empty());
                device.is_some_and(|device| match FileSystem::on(&device) {
                    Ok(Some(file_system)) => file_system.is(&device, name),
                    _ => false,
                })
            }
        }
    }
}

/// Names with commas between them, or `none`.
impl fmt::Display for Disks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => f.write_str("none"),
            names => f.write_str(&names.join(", ")),
        }
    }
}

/// Opens a disk to read it.
pub fn open_disk(path: &[u8]) -> io::Result<OwnedFd> {
    open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

/// The path of a disk. A `/` in it is a `!` in its name.
fn path(disk: &str) -> String {
    format!("/dev/{}", disk.replace('!', "/"))
}

/// Whether the disk at a path has a name by serial number, or by its path below /dev.
fn has_name(disk: &[u8], name: &DiskName<'_>) -> bool {
    sysfs_name(disk).is_some_and(|disk| Disks::default().fits(&disk, name))
}

/// The name in sysfs of the disk at a path.
fn sysfs_name(path: &[u8]) -> Option<String> {
    Some(str::from_utf8(path.strip_prefix(b"/dev/")?).ok()?.replace('/', "!"))
}

/// The path of the whole disk that the device at a path is on, or is.
fn whole_path(disk: &[u8]) -> Vec<u8> {
    let whole = sysfs_name(disk).and_then(|name| whole_disk(&name));
    whole.map_or_else(|| disk.to_vec(), |whole| path(&whole).into_bytes())
}

/// The partitions of the disk at a path: their numbers and paths.
fn partitions(disk: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let Disks(names) = Disks::list().partitions_of(disk);
    names.iter().filter_map(|name| Some((number(name, "partition")?, path(name).into_bytes()))).collect()
}

/// The size of the device at a path, in bytes. 0 if sysfs does not have it.
fn size(disk: &[u8]) -> u64 {
    sysfs_name(disk).and_then(|name| number(&name, "size")).map_or(0, |sectors| sectors.saturating_mul(512))
}

/// The serial number of a disk: virtio-blk's, NVMe's and MMC's is text, SCSI's is page 0x80 of the vital product data,
/// with a head of 4 bytes (SPC-4, 7.8.14). ATA and USB disks have SCSI's.
fn serial(disk: &str) -> Option<Vec<u8>> {
    let text = || attribute(disk, "serial").or_else(|| attribute(disk, "device/serial"));
    let page = || attribute(disk, "device/vpd_pg80")?.get(4..).map(<[u8]>::to_vec);
    let serial = text().or_else(page)?.trim_ascii().to_vec();
    Some(serial).filter(|serial| !serial.is_empty())
}

/// The PARTUUID of a partition.
fn part_uuid(disk: &str) -> Option<String> {
    let partition = Partition { number: number(disk, "partition")?.try_into().ok()?, start: number(disk, "start")? };
    let whole = whole_disk(disk)?;
    let block = number(&whole, "queue/logical_block_size")?;
    partition.uuid(open_disk(path(&whole).as_bytes()).ok()?, block)
}

/// The name that a GPT gives to a partition, as the kernel shows it.
fn part_label(disk: &str) -> Option<Vec<u8>> {
    let uevent = attribute(disk, "uevent")?;
    uevent.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"PARTNAME=")).map(<[u8]>::to_vec)
}

/// The whole disk that a partition is on. `None`: the name is no partition's.
fn whole_disk(partition: &str) -> Option<String> {
    number(partition, "partition")?;
    let link = readlink(format!("{BLOCK}/{partition}").as_str(), [0; 256]).ok()?;
    let mut parts = link.to_str().ok()?.rsplit('/');
    parts.nth(1).map(ToString::to_string)
}

/// A number in sysfs.
fn number(disk: &str, name: &str) -> Option<u64> {
    str::from_utf8(attribute(disk, name)?.trim_ascii()).ok()?.parse().ok()
}

/// The bytes of a file in sysfs.
fn attribute(disk: &str, name: &str) -> Option<Vec<u8>> {
    let file = Directory::open(format!("{BLOCK}/{disk}")).and_then(|disk| disk.regular(name)).ok()?;
    read(file, LONGEST).ok()
}
