//! Disks that are only read through dm-verity: the hash tree is found, and the kernel makes a device that verifies.
//!
//! The device's path takes the place of the disk's. guest-init hashes nothing itself: each read of the device is
//! verified by the kernel. While guest-init reads, a block that fails is an error of the read, so that the last word
//! can name the block ([`super::corruption`]). Before the agent starts, [`VerityDevice::hand_over`] makes it a panic.

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use rustix::fs::stat;
use rustix::io::{self, Errno};

use super::corruption::{self, Corruption};
use super::device_mapper::DeviceMapper;
use super::open_disk;
use super::wanted::WantedDisk;
use crate::failure::{Code, Failure};
use crate::guest::places::drivers::Drivers;
use crate::guest::system::errno::strerror;
use crate::guest::watch::deadline::set_activity;
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::request::verity::Verity;
use crate::request::verity::table::{Device, Table};
use crate::text::Shown;

/// Where the hash tree of a disk is.
#[derive(Clone, Copy, Debug)]
pub struct HashTree<'h> {
    /// The path of the device that holds it.
    pub path: &'h [u8],
    /// The first block.
    pub start: u64,
}

/// The reason of [`Code::WrongRootHash`].
pub const WRONG_ROOT_HASH: &str = "the hash tree does not fit the root hash, or the salt";

/// A device that verifies what is read from it.
#[derive(Debug)]
pub struct VerityDevice {
    mapper: DeviceMapper,
    /// The path of the device with the data.
    data: Vec<u8>,
    /// The name to the device mapper.
    name: String,
    /// The number in `/dev/dm-N`.
    minor: u32,
    /// The size, in sectors.
    sectors: u64,
    /// The parameters of its table.
    table: String,
}

impl VerityDevice {
    /// Makes a device for the data at a path, and reads its first block.
    ///
    /// Failures: [`Code::DiskFailed`], [`Code::HashTreeMissing`], [`Code::NoVerity`], [`Code::VerityRefused`],
    /// [`Code::WrongRootHash`], [`Code::HashTreeCorrupted`], [`Code::DataCorrupted`], and those of loading the drivers.
    pub fn make(
        wanted: &WantedDisk<'_>,
        verity: Verity<'_>,
        data: &[u8],
        tree: HashTree<'_>,
        drivers: &mut Drivers<'_>,
    ) -> Result<Self, Failure> {
        set_activity(format_args!("verifying {}", wanted.subject));
        let numbers = |path| device_at(path).map_err(|error| unreadable(wanted, path, error));
        let table = Table { verity, data: numbers(data)?, hash: numbers(tree.path)?, start: tree.start };
        let algorithm = [b"crypto-", verity.algorithm().name().as_bytes()].concat();
        // The fast hash functions come first, because dm-verity takes the fastest that it finds. The kernel has a slow
        // one built in.
        drivers.load_named(&[&algorithm, b"dm_verity"])?;
        set_activity(format_args!("verifying {}", wanted.subject));
        let no_verity = |error| {
            let reason = "neither the kernel nor the module tree of the image has dm_verity";
            wanted.failure(Code::NoVerity, error, reason)
        };
        if stat(c"/sys/module/dm_verity").is_err() {
            return Err(no_verity(Errno::NODEV));
        }
        let mapper = DeviceMapper::open().map_err(no_verity)?;
        let mut messages = KernelMessages::open();
        messages.skip_to_end();
        let device = Self::with_table(mapper, data, &table).map_err(|error| {
            let message = messages.last_about(b"verity").unwrap_or_else(|| strerror(error).to_string());
            wanted.failure(Code::VerityRefused, error, format!("{}: {}", Shown(data), Shown(message.as_bytes())))
        })?;
        device.read_first_block(wanted, &table)?;
        log::info!("{}: verified by {}", wanted.subject, table);
        Ok(device)
    }

    /// Makes the device, and reads its table back.
    fn with_table(mapper: DeviceMapper, data: &[u8], table: &Table<'_>) -> io::Result<Self> {
        let name = format!("guest-init-{}", table.data);
        let minor = mapper.create(&name)?.minor;
        let (data, sectors) = (data.to_vec(), table.verity.sectors());
        let device = Self { mapper, data, name, minor, sectors, table: table.to_string() };
        device.replace_table("")?;
        Ok(device)
    }

    /// Gives the device its table, with options at its end, and reads it back.
    fn replace_table(&self, options: &str) -> io::Result<()> {
        let Self { mapper, name, sectors, table, .. } = self;
        let table = [table, options].concat();
        mapper.load(name, *sectors, &table)?;
        mapper.resume(name)?;
        match mapper.has(name, *sectors, &table)? {
            true => Ok(()),
            false => Err(Errno::BADMSG),
        }
    }

    /// Reads the first block of the data, which takes a block of each level of the hash tree.
    fn read_first_block(&self, wanted: &WantedDisk<'_>, table: &Table<'_>) -> Result<(), Failure> {
        let mut bytes = [0; 512];
        let path = self.path();
        let Err(error) = open_disk(&path).and_then(|device| io::retry_on_intr(|| io::pread(&device, &mut bytes, 0)))
        else {
            return Ok(());
        };
        Err(match corruption::last() {
            Some(Corruption { block, is_tree: true, .. }) if block == table.start => {
                wanted.failure(Code::WrongRootHash, Errno::BADMSG, WRONG_ROOT_HASH)
            }
            Some(found) => wanted.failure(found.code(), Errno::BADMSG, found),
            None => unreadable(wanted, &path, error),
        })
    }

    /// The path of the device with the data that are verified.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The path of the device's node, which the kernel makes.
    pub fn path(&self) -> Vec<u8> {
        format!("/dev/dm-{}", self.minor).into_bytes()
    }

    /// Leaves the device to the agent. If nobody uses it, it is removed. If somebody does, a block that differs from
    /// its hash panics the VM from now on.
    ///
    /// Failure: [`Code::VerityRefused`].
    pub fn hand_over(self) -> Result<(), Failure> {
        if self.mapper.remove(&self.name).is_ok() {
            return Ok(());
        }
        self.replace_table(Table::PANIC_ON_CORRUPTION).map_err(|error| {
            let reason = format!("the table can't be replaced by one with panic_on_corruption: {}", strerror(error));
            Failure::from_errno(Code::VerityRefused, Shown(&self.path()), error, reason)
        })?;
        let _ = self.mapper.remove_after_use(&self.name);
        Ok(())
    }
}

/// The failure of a device that can't be read.
fn unreadable(wanted: &WantedDisk<'_>, path: &[u8], error: Errno) -> Failure {
    wanted.failure(wanted.words.failed, error, format_args!("{} can't be read: {}", Shown(path), strerror(error)))
}

/// The numbers of a device.
fn device_at(path: &[u8]) -> io::Result<Device> {
    let number = stat(path)?.st_rdev;
    Ok(Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) })
}
