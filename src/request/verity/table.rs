//! The table of the device mapper.

use core::fmt;

use super::Verity;

/// A block device by its numbers, as the device mapper names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The number of the driver.
    pub major: u32,
    /// The number of the device among those of the driver.
    pub minor: u32,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A table of the device mapper for one target, `verity`. It displays as the target's parameters, which the kernel
/// reports in the same form (verity_status in drivers/md/dm-verity-target.c).
///
/// ```
/// use guest_init::request::verity::Verity;
/// use guest_init::request::verity::table::{Device, Table};
///
/// let fields = format!("root_hash={},salt=0A,data_blocks=8,data_block_size=4096,hash_block_size=4096", "ab".repeat(32));
/// let (data, hash) = (Device { major: 254, minor: 1 }, Device { major: 254, minor: 2 });
/// let table = Table { verity: Verity::parse(fields.as_bytes())?, data, hash, start: 0 };
/// assert_eq!(table.to_string(), format!("1 254:1 254:2 4096 4096 8 0 sha256 {} 0a", "ab".repeat(32)));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table<'a> {
    /// The parameters of the hash tree.
    pub verity: Verity<'a>,
    /// The device with the data.
    pub data: Device,
    /// The device with the hash tree.
    pub hash: Device,
    /// The first block of the hash tree.
    pub start: u64,
}

impl Table<'_> {
    /// The end of the parameters with which a block that differs from its hash panics the VM. Without it, reading the
    /// block is an error.
    pub const PANIC_ON_CORRUPTION: &'static str = " 1 panic_on_corruption";
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, hash, start, verity } = self;
        let Verity { data_blocks, data_block_size, hash_block_size, algorithm, .. } = verity;
        let algorithm = algorithm.name();
        write!(f, "1 {data} {hash} {data_block_size} {hash_block_size} {data_blocks} {start} {algorithm} ")?;
        lower_case(verity.root_hash, f)?;
        f.write_str(if verity.salt.is_empty() { " -" } else { " " })?;
        lower_case(verity.salt, f)
    }
}

/// Writes digits as the kernel reports them.
pub(super) fn lower_case(digits: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    digits.iter().try_for_each(|digit| fmt::Write::write_char(f, digit.to_ascii_lowercase().into()))
}
