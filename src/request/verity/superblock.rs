//! The superblock that veritysetup writes in front of a hash tree.

use core::fmt;

use super::{Algorithm, LONGEST_SALT, Verity, string};

/// A superblock of veritysetup, which stands in the block in front of a hash tree (struct verity_sb in cryptsetup's
/// lib/verity/verity.c).
#[derive(Debug)]
pub struct Superblock {
    algorithm: Algorithm,
    salt: heapless::String<LONGEST_SALT>,
    data_blocks: u64,
    data_block_size: u32,
    hash_block_size: u32,
}

impl Superblock {
    /// The size, in bytes.
    pub const SIZE: usize = 512;

    const SIGNATURE: &'static [u8] = b"verity\0\0";

    /// Whether a device that begins with these bytes has a superblock.
    pub fn is_one(bytes: &[u8; Self::SIZE]) -> bool {
        bytes.starts_with(Self::SIGNATURE)
    }

    /// Reads a superblock. The error says in words what is wrong.
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self, &'static str> {
        const DAMAGED: &str = "its superblock is damaged";
        fn at<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], &'static str> {
            bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().ok_or(DAMAGED)
        }
        if !Self::is_one(bytes) {
            return Err("it has no superblock of veritysetup");
        }
        let (version, hash_type) = (u32::from_le_bytes(at(bytes, 8)?), u32::from_le_bytes(at(bytes, 12)?));
        if (version, hash_type) != (1, 1) {
            return Err("its superblock has another version or another type of hash than 1");
        }
        let algorithm: [u8; 32] = at(bytes, 32)?;
        let name = algorithm.split(|&b| b == 0).next().unwrap_or_default();
        let algorithm = Algorithm::ALL.into_iter().find(|known| known.name().as_bytes() == name);
        let length = usize::from(u16::from_le_bytes(at(bytes, 80)?));
        let salt = bytes.get(88..88 + 256).and_then(|salt| salt.get(..length)).ok_or(DAMAGED)?;
        Ok(Self {
            algorithm: algorithm.ok_or("its superblock has another hash function than sha256 and sha512")?,
            salt: string(Hex(salt)),
            data_block_size: u32::from_le_bytes(at(bytes, 64)?),
            hash_block_size: u32::from_le_bytes(at(bytes, 68)?),
            data_blocks: u64::from_le_bytes(at(bytes, 72)?),
        })
    }

    /// The parameters, with the root hash of `roothash=`. The error says in words what is wrong.
    pub fn verity<'a>(&'a self, root_hash: &'a [u8]) -> Result<Verity<'a>, &'static str> {
        let Self { algorithm, salt, data_blocks, data_block_size, hash_block_size } = self;
        Verity {
            algorithm: *algorithm,
            root_hash,
            salt: salt.as_str().as_bytes(),
            data_blocks: *data_blocks,
            data_block_size: *data_block_size,
            hash_block_size: *hash_block_size,
        }
        .checked()
    }
}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
