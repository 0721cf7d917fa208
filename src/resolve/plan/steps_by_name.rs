//! A hash table from a module's name to its steps, so that the time for a module hardly grows with the plan.
//!
//! Each hash has a chain of steps, from the last back to the first. The table holds a link to the last step, and each
//! step holds a link to the one before it. Names with one hash share a chain, so a reader must compare names.

use crate::request::name::underscore;

/// The number of hashes.
const HASHES: usize = 256;

/// A link of a chain: the number of a step plus one, or 0 at the end of the chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link(u16);

impl Link {
    /// The link to a step. Its number must be below 65,535; a plan has at most 2,048 steps.
    pub fn to(number: usize) -> Self {
        Self(u16::try_from(number + 1).unwrap_or_default())
    }

    /// The number of the step. `None`: the chain ends.
    pub fn number(self) -> Option<usize> {
        usize::from(self.0).checked_sub(1)
    }
}

/// The table: for each hash, a link to the last step of its chain.
#[derive(Debug)]
pub struct StepsByName([Link; HASHES]);

impl StepsByName {
    /// The table of a plan without steps.
    pub const EMPTY: Self = Self([Link(0); HASHES]);

    /// The link to the last step of the chain for a name.
    pub fn of(&self, name: &[u8]) -> Link {
        self.0.get(hash(name)).copied().unwrap_or_default()
    }

    /// Makes `link` the beginning of the chain for a name.
    pub fn begin(&mut self, name: &[u8], link: Link) {
        if let Some(first) = self.0.get_mut(hash(name)) {
            *first = link;
        }
    }
}

/// The hash of a name, below [`HASHES`]. `-` and `_` have the same hash.
fn hash(name: &[u8]) -> usize {
    name.iter().fold(0_u8, |hash, byte| hash.wrapping_mul(31).wrapping_add(underscore(*byte))).into()
}
