//! Kata's extensions: disks that the kernel command line names by `kata.extension.NAME.verity_params=` (Kata
//! Containers' docs/design/composable-vm-images.md).

use core::fmt;

use crate::failure::Code;
use crate::request::kernel::words::Word;
use crate::request::keys::Refusal;
use crate::request::verity::Verity;
use crate::text::Shown;

/// The directory with a mount point for each extension.
pub const MOUNT_POINTS: &str = "/run/kata-extensions";
/// How the serial number of an extension's disk begins. The name follows.
pub const SERIAL: &[u8] = b"extension-";

const PREFIX: &[u8] = b"kata.extension.";
const PROPERTY: &[u8] = b".verity_params";

/// An extension that is to be mounted. It displays as its word begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The name, of letters, digits, `_` and `-`.
    pub name: &'a [u8],
    /// The parameters that its disk is verified by. `None`: the disk has no hash tree.
    pub verity: Option<Verity<'a>>,
}

impl<'a> Extension<'a> {
    /// Reads a word of the kernel command line. `None`: the word is none about an extension. A value that is empty or
    /// missing means an extension without verification. The error says in words what is wrong.
    ///
    /// ```
    /// use guest_init::request::extension::Extension;
    /// use guest_init::request::kernel::words::words;
    ///
    /// let word = words(b"kata.extension.gpu.verity_params=").next().unwrap();
    /// assert_eq!(Extension::parse(&word), Some(Ok(Extension { name: b"gpu", verity: None })));
    /// ```
    pub fn parse(word: &Word<'a>) -> Option<Result<Self, &'static str>> {
        let name = word.name.strip_prefix(PREFIX)?.strip_suffix(PROPERTY)?;
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if name.is_empty() || !name.iter().all(is_part) {
            return Some(Err("an extension's name has letters, digits, `_` and `-` alone"));
        }
        let verity = word.value.filter(|value| !value.is_empty()).map(Verity::parse).transpose();
        Some(verity.map(|verity| Self { name, verity }))
    }

    /// The parameters that the extension's disk is verified by. `None`: it is mounted as it is. A hash partition and
    /// parameters must come together, so that nobody can turn verification off by removing one of the two.
    ///
    /// Failures: [`Code::HashTreeMissing`], [`Code::ParametersMissing`].
    pub const fn parameters_for(&self, has_hash_partition: bool) -> Result<Option<Verity<'a>>, Refusal> {
        match (self.verity, has_hash_partition) {
            (Some(verity), true) => Ok(Some(verity)),
            (None, false) => Ok(None),
            (Some(_), false) => {
                Err((Code::HashTreeMissing, "its disk has no partition 2, where the hash tree would be"))
            }
            (None, true) => {
                let reason = "partition 2 of its disk has a hash tree, but the word has no verity parameters";
                Err((Code::ParametersMissing, reason))
            }
        }
    }
}

impl fmt::Display for Extension<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kata.extension.{}", Shown(self.name))
    }
}
