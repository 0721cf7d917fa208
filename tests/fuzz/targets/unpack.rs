//! Compressed modules.

use std::borrow::Cow;

use guest_init::guest::modules::unpack::Format;

use super::check_printable;

/// A file, of whichever of the three formats its first bytes say.
pub fn unpack(input: &[u8]) {
    /// What unpack promises, in bytes.
    const LARGEST: usize = 256 << 20;
    let Some(format) = Format::of(input) else { return };
    match format.unpack(Cow::Owned(input.to_vec())) {
        Ok(unpacked) => assert!(unpacked.len() <= LARGEST),
        Err(reason) => check_printable(reason.as_str()),
    }
}
