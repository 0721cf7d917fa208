//! Where a module's steps are among all: a chain for each hash of a name, from the last step back to the first.
//!
//! So a long list takes hardly longer for each of its modules than a short one.

use crate::request::name::underscore;

/// How many hashes names have.
const HASHES: usize = 256;

/// The next of a chain: one more than its number, or 0 where the chain ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link(u16);

impl Link {
    /// The link to a number below 65,535.
    pub fn to(number: usize) -> Self {
        Self(u16::try_from(number + 1).unwrap_or_default())
    }

    /// The number, unless the chain ends.
    pub fn number(self) -> Option<usize> {
        usize::from(self.0).checked_sub(1)
    }
}

/// The beginnings of all by_name.
#[derive(Debug)]
pub struct StepsByName([Link; HASHES]);

impl StepsByName {
    /// Every chain without a link.
    pub const EMPTY: Self = Self([Link(0); HASHES]);

    /// Where the chain with this name begins.
    pub fn of(&self, name: &[u8]) -> Link {
        self.0.get(hash(name)).copied().unwrap_or_default()
    }

    /// Has it begin there.
    pub fn begin(&mut self, name: &[u8], link: Link) {
        if let Some(first) = self.0.get_mut(hash(name)) {
            *first = link;
        }
    }
}

/// The hash of a name, however its dashes are written: less than [`HASHES`].
fn hash(name: &[u8]) -> usize {
    name.iter().fold(0_u8, |hash, byte| hash.wrapping_mul(31).wrapping_add(underscore(*byte))).into()
}
