//! The word of the kernel command line that verifies a disk, and the names in it.

use std::fmt;
use std::str::FromStr;

use guest_init::request::disks::CUT;
use sha2::{Digest, Sha256};

use crate::shared::hex::{self, Hex};

/// The longest salt that the kernel takes, in bytes (`verity_parse_opt_args` in drivers/md/dm-verity-target.c).
const LONGEST_SALT: usize = 256;

/// The name of one of Kata's extensions.
#[derive(Clone, Debug)]
pub struct ExtensionName(String);

/// The serial number of a disk.
#[derive(Clone, Debug)]
pub struct Serial(String);

/// The salt of a hash tree. It may be empty.
#[derive(Clone, Debug)]
pub struct Salt(pub Vec<u8>);

/// All that the kernel needs to verify a disk.
#[derive(Clone, Debug)]
pub struct Verity {
    /// The hash of the topmost block of the tree.
    pub root_hash: [u8; 32],
    /// The salt of all hashes.
    pub salt: Salt,
    /// The number of blocks of data.
    pub data_blocks: u64,
    /// The size of a block of data and of the tree, in bytes.
    pub block_size: usize,
}

/// The word of the kernel command line.
#[derive(Debug)]
pub struct Word<'w> {
    /// The name of the extension. `None`: the word is guest-init's own.
    pub target: Option<&'w ExtensionName>,
    /// The disk's serial number.
    pub disk: &'w str,
    /// The parameters.
    pub verity: &'w Verity,
}

impl FromStr for ExtensionName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        name(text).map(Self)
    }
}

impl ExtensionName {
    /// The serial number of the extension's disk.
    pub fn serial(&self) -> String {
        format!("extension-{}", self.0)
    }
}

impl FromStr for Serial {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        name(text).map(Self)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a name of Kata's extensions. Serial numbers have the same letters, which need no quotes anywhere.
fn name(text: &str) -> Result<String, &'static str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(text.into()),
        false => Err("letters, digits, - and _"),
    }
}

impl FromStr for Salt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "-" {
            return Ok(Self(Vec::new()));
        }
        let bytes = hex::bytes_of(text.as_bytes()).filter(|bytes| (1..=LONGEST_SALT).contains(&bytes.len()));
        let wrong = || format!("two hexadecimal digits for each byte, at most {LONGEST_SALT} bytes; `-` is no salt");
        bytes.map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => f.write_str("-"),
            bytes => Hex(bytes).fmt(f),
        }
    }
}

/// The fields in Kata's order.
impl fmt::Display for Verity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root_hash, salt, data_blocks, block_size } = self;
        let root_hash = Hex(root_hash);
        write!(f, "root_hash={root_hash},salt={salt},data_blocks={data_blocks}")?;
        write!(f, ",data_block_size={block_size},hash_block_size={block_size}")
    }
}

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Some(ExtensionName(name)) => write!(f, "kata.extension.{name}.verity_params={}", self.verity),
            None => write!(f, "guest_init.verity={},{}", self.disk, self.verity),
        }
    }
}

/// The warning about a serial number that the guest does not see whole.
pub fn warning_about_serial(serial: &str) -> Option<String> {
    let seen = serial.get(..CUT).filter(|seen| *seen != serial)?;
    Some(format!(
        "{serial}: a guest sees only the first {CUT} bytes of a virtio-blk disk's serial number, {seen}; \
         guest-init compares those alone, other programs may not find the disk"
    ))
}

/// A GUID, by the bytes that its text shows.
#[derive(Clone, Copy, Debug)]
pub struct Guid([u8; 16]);

/// The GUID for some contents: the first half of their SHA-256, marked as a UUID of one's own making (RFC 9562, 5.8).
pub fn guid(contents: &[u8]) -> Guid {
    let mut guid = Guid::of_bytes(&Sha256::digest(contents));
    guid.0[6] = guid.0[6] & 0x0f | 0x80;
    guid.0[8] = guid.0[8] & 0x3f | 0x80;
    guid
}

impl Guid {
    /// The GUID whose text shows the first 16 of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut guid = [0; 16];
        guid.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self(guid)
    }

    /// The bytes on a disk: the first three groups are numbers in little-endian order (UEFI 2.10, appendix A).
    pub fn on_disk(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        let [i, j, k, l, m, n, o, p] = rest;
        [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, group) in
            [&self.0[..4], &self.0[4..6], &self.0[6..8], &self.0[8..10], &self.0[10..]].iter().enumerate()
        {
            let dash = if number == 0 { "" } else { "-" };
            write!(f, "{dash}{}", Hex(group))?;
        }
        Ok(())
    }
}
