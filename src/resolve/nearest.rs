//! Proposals for a misspelt name: the names that exist and differ from it least.
//!
//! Two names differ by as many letters as must be changed, inserted, left out or swapped with their neighbour.

use core::fmt;

use crate::failure::{Code, Failure};
use crate::request::name::{Name, normal, same};
use crate::resolve::tree::Sources;
use crate::resolve::tree::config::is_blacklisted;
use crate::resolve::tree::index::IndexKind;
use crate::text::{Shown, Text};

/// The longest name that is compared, in bytes. The kernel's names have at most 55 (MODULE_NAME_LEN of linux/module.h).
const LONGEST: usize = 63;
/// The number of names that are proposed at most.
const PROPOSED: usize = 3;

type ShortName = heapless::Vec<u8, LONGEST>;

/// The names nearest to a misspelt one. It displays as `; nearest: a, b`, or as nothing if no name is near.
#[derive(Clone, Debug)]
pub struct Nearest {
    wrong: ShortName,
    /// The nearest first.
    names: heapless::Vec<Proposal, PROPOSED>,
}

#[derive(Clone, Debug)]
struct Proposal {
    distance: usize,
    name: ShortName,
    note: &'static str,
}

impl Nearest {
    /// Starts the search for names near to `wrong`. A name of more than 63 bytes counts as empty.
    pub fn to(wrong: &[u8]) -> Self {
        let wrong = normal(wrong, |key| ShortName::from_slice(key).ok()).flatten().unwrap_or_default();
        Self { wrong, names: heapless::Vec::new() }
    }

    /// Considers a name that exists. It is near if at most a third of the letters, or one, differ. `note` is displayed
    /// after the name.
    pub fn consider(&mut self, name: &[u8], note: &'static str) {
        let Ok(name) = ShortName::from_slice(name) else { return };
        let most = (self.wrong.len() / 3).max(1);
        if name.len().abs_diff(self.wrong.len()) > most || self.names.iter().any(|known| same(&known.name, &name)) {
            return;
        }
        let distance = distance(&self.wrong, &name);
        if distance > most {
            return;
        }
        let at = self.names.iter().position(|other| other.distance > distance).unwrap_or(self.names.len());
        if self.names.is_full() && at < PROPOSED {
            self.names.pop();
        }
        let _ = self.names.insert(at, Proposal { distance, name, note });
    }
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Proposal { name, note, .. }) in self.names.iter().enumerate() {
            write!(f, "{}{}{note}", if n == 0 { "; nearest: " } else { ", " }, Shown(name))?;
        }
        Ok(())
    }
}

/// The failure for a name that means nothing, with the modules and built-ins whose names are near.
pub fn unknown_module(sources: &Sources<'_>, name: Name<'_>) -> Failure {
    let mut nearest = Nearest::to(name.as_bytes());
    for kind in [IndexKind::Dep, IndexKind::Builtin] {
        let note = |key: &[u8]| match kind {
            IndexKind::Builtin => " (built in)",
            _ if is_blacklisted(sources.config, key) => " (blacklisted)",
            _ => "",
        };
        let mut consider = |key: &[u8], _, _: &[u8]| nearest.consider(key, note(key));
        for tree in 0..sources.trees.count() {
            if let Err(failure) = sources.trees.index(tree, kind).and_then(|index| index.each(&mut consider)) {
                return failure;
            }
        }
    }
    // Some aliases contain a comma, so a name with one is only unknown, not malformed.
    let separator = if name.as_bytes().contains(&b',') { "; entries end at `;`, not at `,`" } else { "" };
    let release = Shown(sources.release.as_bytes());
    let reason = format_args!("no module, alias or built-in of {release}{separator}{nearest}");
    Failure::new(Code::UnknownModule, name, Text::<480>::of(reason))
}

/// The number of letters by which two names differ (the optimal string alignment distance). Takes a row of the table at
/// a time, and needs the two rows above it.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut above: [usize; LONGEST + 1] = [0; LONGEST + 1];
    let mut row: [usize; LONGEST + 1] = core::array::from_fn(|n| n);
    for (i, &x) in a.iter().enumerate() {
        let mut next = [i + 1; LONGEST + 1];
        let mut left = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let at = |row: &[usize; LONGEST + 1], n: usize| row.get(n).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&row, j) + usize::from(x != y)).min(at(&row, j + 1) + 1).min(left + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if swapped {
                best = best.min(at(&above, j - 1) + 1);
            }
            if let Some(slot) = next.get_mut(j + 1) {
                *slot = best;
            }
            left = best;
        }
        above = row;
        row = next;
    }
    row.get(b.len()).copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases = [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("e1000e", "e1000f", 1),
            ("i915", "i951", 1),
            ("abc", "acbd", 2),
        ];
        for (a, b, expected) in cases {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_come_first_and_the_far_not_at_all() {
        let mut nearest = Nearest::to(b"virtio-nte");
        for name in ["virtio_blk", "virtio_net", "virtio_nt", "virtio_net", "virtio_rte", "ext4", "virtio_not"] {
            nearest.consider(name.as_bytes(), "");
        }
        assert_eq!(Text::<99>::of(&nearest).as_str(), "; nearest: virtio_net, virtio_nt, virtio_rte");
        assert_eq!(Text::<99>::of(Nearest::to(b"x")).as_str(), "");
    }
}
