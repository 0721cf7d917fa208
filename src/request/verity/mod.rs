//! dm-verity: the parameters that a disk is verified by. Three dialects become one value, which displays as a table of
//! the device mapper (Documentation/admin-guide/device-mapper/verity.rst of the kernel).
//!
//! | dialect | where the values are |
//! | --- | --- |
//! | guest-init's | `guest_init.verity=DISK,FIELDS` |
//! | Kata's | `kata.extension.NAME.verity_params=FIELDS` |
//! | systemd's | `roothash=`, and the superblock in front of the hash tree |
//!
//! Whatever a superblock says, a disk passes only if its hash tree fits the root hash.

pub mod discovery;
pub mod superblock;
pub mod table;

use core::fmt;

use crate::request::keys::number;

/// The sizes that a block may have, in bytes. The kernel permits no more than a page for blocks of data, and a page has
/// at most 64 KiB.
const BLOCK_SIZES: core::ops::RangeInclusive<u32> = 512..=64 << 10;
/// The longest salt, in digits (V_SALT_SIZE in cryptsetup's lib/verity/verity.h is 256 bytes).
const LONGEST_SALT: usize = 512;
/// The most bytes of data: what a file offset can have.
const MOST_BYTES: u64 = i64::MAX as u64;
/// The size of a sector of the device mapper, in bytes.
const SECTOR: u64 = 512;

/// The parameters of a hash tree. The borrowed texts are hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verity<'a> {
    algorithm: Algorithm,
    root_hash: &'a [u8],
    salt: &'a [u8],
    data_blocks: u64,
    /// In bytes, as is the next.
    data_block_size: u32,
    hash_block_size: u32,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256, with 32 bytes.
    Sha256,
    /// SHA-512, with 64 bytes.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of a hash, in bytes.
    pub const fn length(self) -> u32 {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl<'a> Verity<'a> {
    /// Reads the fields of a command line, `root_hash=…,salt=…,data_blocks=…,data_block_size=…,hash_block_size=…`, in
    /// any order and each once. The salt may be empty or `-`. The hash function is SHA-256. The error says in words
    /// what is wrong.
    ///
    /// ```
    /// use guest_init::request::verity::Verity;
    ///
    /// let root_hash = "ab".repeat(32);
    /// let fields = format!("root_hash={root_hash},salt=-,data_blocks=300,data_block_size=4096,hash_block_size=4096");
    /// let verity = Verity::parse(fields.as_bytes())?;
    /// assert_eq!((verity.data_size(), verity.hash_blocks()), (300 * 4096, 3 + 1));
    /// # Ok::<(), &str>(())
    /// ```
    pub fn parse(fields: &'a [u8]) -> Result<Self, &'static str> {
        let [mut root_hash, mut salt, mut data_blocks, mut data_block_size, mut hash_block_size] = [None; 5];
        for field in fields.split(|&b| b == b',') {
            let mut parts = field.splitn(2, |&b| b == b'=');
            let slot = match parts.next().unwrap_or_default() {
                b"root_hash" => &mut root_hash,
                b"salt" => &mut salt,
                b"data_blocks" => &mut data_blocks,
                b"data_block_size" => &mut data_block_size,
                b"hash_block_size" => &mut hash_block_size,
                _ => return Err(FIELDS),
            };
            if slot.replace(parts.next().ok_or(FIELDS)?).is_some() {
                return Err("a field of the verity parameters stands twice");
            }
        }
        let (Some(root_hash), Some(salt), Some(data_blocks), Some(data_block_size), Some(hash_block_size)) =
            (root_hash, salt, data_blocks, data_block_size, hash_block_size)
        else {
            return Err(FIELDS);
        };
        Self {
            algorithm: Algorithm::Sha256,
            root_hash,
            salt: if salt == b"-" { b"" } else { salt },
            data_blocks: number(data_blocks).ok_or(DATA_BLOCKS)?,
            data_block_size: block_size(data_block_size)?,
            hash_block_size: block_size(hash_block_size)?,
        }
        .checked()
    }

    /// Returns the parameters if each is within its bounds.
    fn checked(self) -> Result<Self, &'static str> {
        let is_hex = |text: &[u8]| text.iter().all(u8::is_ascii_hexdigit);
        let is_block_size = |size: u32| BLOCK_SIZES.contains(&size) && size.is_power_of_two();
        let is_root_hash = is_hex(self.root_hash) && self.root_hash.len() == 2 * self.algorithm.length() as usize;
        let size = self.data_blocks.checked_mul(self.data_block_size.into());
        match () {
            () if !is_root_hash && self.algorithm == Algorithm::Sha256 => {
                Err("a root hash of SHA-256 has 64 hexadecimal digits")
            }
            () if !is_root_hash => Err("a root hash of SHA-512 has 128 hexadecimal digits"),
            () if !is_hex(self.salt) || !self.salt.len().is_multiple_of(2) || self.salt.len() > LONGEST_SALT => {
                Err("a salt has hexadecimal digits, two a byte, for at most 256 bytes")
            }
            () if !is_block_size(self.data_block_size) || !is_block_size(self.hash_block_size) => Err(BLOCK_SIZE),
            () if self.data_blocks == 0 || size.is_none_or(|size| size > MOST_BYTES) => Err(DATA_BLOCKS),
            () => Ok(self),
        }
    }

    /// The hash function.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits of the root hash.
    pub const fn root_hash(&self) -> &'a [u8] {
        self.root_hash
    }

    /// The digits of the salt. There may be none.
    pub const fn salt(&self) -> &'a [u8] {
        self.salt
    }

    /// The number of blocks of data, at least 1.
    pub const fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// The size of a block of data, in bytes.
    pub const fn data_block_size(&self) -> u32 {
        self.data_block_size
    }

    /// The size of the data, in bytes.
    pub fn data_size(&self) -> u64 {
        self.data_blocks * u64::from(self.data_block_size)
    }

    /// The size of the data, in sectors of 512 bytes.
    pub fn sectors(&self) -> u64 {
        self.data_size() / SECTOR
    }

    /// The size of a block of the hash tree, in bytes.
    pub fn hash_block_size(&self) -> u64 {
        self.hash_block_size.into()
    }

    /// The number of blocks of the hash tree (verity_ctr in drivers/md/dm-verity-target.c). One block of data has no
    /// tree: the root hash is its own.
    pub fn hash_blocks(&self) -> u64 {
        let hashes = u64::from(self.hash_block_size / self.algorithm.length());
        let (mut level, mut blocks) = (self.data_blocks, 0);
        while level > 1 {
            level = level.div_ceil(hashes);
            blocks += level;
        }
        blocks
    }

    /// The first block of a hash tree that is right behind the data on the same device.
    pub fn behind_the_data(&self) -> u64 {
        self.data_size().div_ceil(self.hash_block_size())
    }

    /// The size of a device, in bytes, that holds the hash tree from this block on. `None`: no device is as long.
    pub fn end_of_tree(&self, start: u64) -> Option<u64> {
        start.checked_add(self.hash_blocks())?.checked_mul(self.hash_block_size())
    }
}

/// Reads the size of a block.
fn block_size(digits: &[u8]) -> Result<u32, &'static str> {
    number::<u64>(digits).and_then(|size| size.try_into().ok()).ok_or(BLOCK_SIZE)
}

/// The five fields, for someone whose text lacks one, or has another.
const FIELDS: &str = "the fields are root_hash=,salt=,data_blocks=,data_block_size=,hash_block_size=, each once";
const BLOCK_SIZE: &str = "a block size is a power of two from 512 to 65536";
const DATA_BLOCKS: &str = "data_blocks is a number from 1, and all blocks have less than 2^63 bytes";

/// The text of a value that displays as at most `N` bytes.
fn string<const N: usize>(value: impl fmt::Display) -> heapless::String<N> {
    let mut text = heapless::String::new();
    let _ = fmt::Write::write_fmt(&mut text, format_args!("{value}"));
    text
}
