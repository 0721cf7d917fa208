//! The partitions that a root hash names.

use core::fmt;

use super::string;
use super::table::lower_case;

/// The PARTUUIDs of the partitions with the data and with the hash tree of a root: the first and the last 128 bits of
/// the root hash (systemd-veritysetup-generator(8)). The error says in words what is wrong with the hash.
///
/// ```
/// use guest_init::request::verity::discovery::uuids;
///
/// let hash = "0123456789ABCDEF0123456789abcdef".to_string() + "fedcba9876543210fedcba9876543210";
/// let [data, hash] = uuids(hash.as_bytes())?;
/// assert_eq!(data.as_str(), "01234567-89ab-cdef-0123-456789abcdef");
/// assert_eq!(hash.as_str(), "fedcba98-7654-3210-fedc-ba9876543210");
/// # Ok::<(), &str>(())
/// ```
pub fn uuids(root_hash: &[u8]) -> Result<[heapless::String<36>; 2], &'static str> {
    const ERROR: &str = "a root hash has 64 or 128 hexadecimal digits";
    let is_hash = matches!(root_hash.len(), 64 | 128) && root_hash.iter().all(u8::is_ascii_hexdigit);
    let (first, last) = root_hash.first_chunk().zip(root_hash.last_chunk()).filter(|_| is_hash).ok_or(ERROR)?;
    Ok([first, last].map(|digits| string(Uuid(digits))))
}

/// The digits of a UUID, which displays with its dashes.
struct Uuid<'a>(&'a [u8; 32]);

impl fmt::Display for Uuid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, digit) in self.0.iter().enumerate() {
            f.write_str(if matches!(number, 8 | 12 | 16 | 20) { "-" } else { "" })?;
            lower_case(&[*digit], f)?;
        }
        Ok(())
    }
}
