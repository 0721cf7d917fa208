//! The kernel's own report of a block that differs from its hash: the one place that says which block it was. The error
//! of the read is EIO, as for a disk that fails.

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

use rustix::fs::readlink;

use crate::failure::{Code, Failure};
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::request::{Request, keys};
use crate::text::Shown;

/// A block that differs from its hash.
#[derive(Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The numbers of the device with the data, `MAJOR:MINOR`.
    pub device: Vec<u8>,
    /// The block's number.
    pub block: u64,
    /// Whether the block is one of the hash tree.
    pub is_tree: bool,
}

/// The last block that the kernel reported.
pub fn last() -> Option<Corruption> {
    parse(&KernelMessages::open().last_about(b"verity")?)
}

/// Reads a message of `verity_handle_err` in drivers/md/dm-verity-target.c:
/// `device-mapper: verity: 254:1: data block 7 is corrupted`.
fn parse(message: &str) -> Option<Corruption> {
    let mut words = message.as_bytes().strip_suffix(b" is corrupted")?.rsplit(|&b| b == b' ');
    let (number, block, kind, device) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let is_tree = match kind {
        b"data" => false,
        b"metadata" => true,
        _ => return None,
    };
    let is_report = block == b"block" && words.next() == Some(b"verity:");
    let device = Vec::from(device.strip_suffix(b":")?);
    Some(Corruption { device, block: keys::number(number)?, is_tree }).filter(|_| is_report)
}

impl Corruption {
    /// The code of the failure.
    pub const fn code(&self) -> Code {
        if self.is_tree { Code::HashTreeCorrupted } else { Code::DataCorrupted }
    }

    /// The name of the device below /dev.
    fn name(&self) -> Option<Vec<u8>> {
        let link = readlink([b"/sys/dev/block/", &self.device[..]].concat(), [0; 256]).ok()?;
        link.to_bytes().rsplit(|&b| b == b'/').next().map(Vec::from)
    }
}

/// The reason of a failure.
impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_tree { "the hash tree" } else { "the data" };
        let name = self.name().unwrap_or_else(|| self.device.clone());
        write!(f, "block {} of {kind} of {} differs from its hash", self.block, Shown(&name))
    }
}

/// The failure behind another: a read that failed because a block differs from its hash. `None`: the request names no
/// disk that is verified, or the kernel reported no such block.
pub fn behind(failure: &Failure, request: &Request<'_>) -> Option<Failure> {
    let is_known = [Code::WrongRootHash, Code::HashTreeCorrupted, Code::DataCorrupted].contains(&failure.code);
    let verifies = !request.verity.is_empty()
        || request.extensions.iter().any(|extension| extension.verity.is_some())
        || request.kernel.root.is_some_and(|root| root.is_verified());
    if is_known || !verifies {
        return None;
    }
    let found = last()?;
    let reason = alloc::format!("{found}; so {} failed: {}", failure.code.stage(), failure.reason);
    Some(Failure::new(found.code(), &failure.subject, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_report_names_device_and_block() {
        let found = |device: &str, block, is_tree| Some(Corruption { device: device.into(), block, is_tree });
        assert_eq!(parse("device-mapper: verity: 254:1: data block 7 is corrupted"), found("254:1", 7, false));
        assert_eq!(parse("device-mapper: verity: 8:17: metadata block 0 is corrupted"), found("8:17", 0, true));
        for other in
            ["device-mapper: verity: sha256 using implementation \"sha256-ssse3\"", "verity: x is corrupted", ""]
        {
            assert_eq!(parse(other), None);
        }
    }
}
