//! Compressed modules.

use std::borrow::Cow;

use guest_init::guest::modules::unpack::Format;

use super::check_printable;

/// Input: a file, whose first bytes say which of the formats it has.
pub fn unpack(input: &[u8]) {
    /// The most bytes that unpack promises to return.
    const LARGEST: usize = 256 << 20;
    let Some(format) = Format::of(input) else { return };
    match format.unpack(Cow::Owned(input.to_vec())) {
        Ok(unpacked) => assert!(unpacked.len() <= LARGEST),
        Err(reason) => check_printable(reason.as_str()),
    }
}
