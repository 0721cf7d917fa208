//! The writer of depmod's binary index; `guest_init::resolve::tree::trie`, its reader, draws the format (MODPROBE.md
//! 3.1).
//!
//! Children are written before their node, as depmod does up to kmod 33. So each reference is known when it is written,
//! and no second pass is needed. The same entries make the same bytes as that depmod's.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use guest_init::resolve::tree::trie::{CHILDREN, MAGIC, MAJOR, OFFSET, PREFIX, VALUES};
use guest_init::text::Shown;

const VERSION: u32 = MAJOR << 16 | 1;
/// The offset of the root's reference, behind the magic number and the version.
const ROOT: usize = 8;

/// The values of a key, each with its priority, sorted by priority.
type Values = Vec<(u32, Vec<u8>)>;

/// The entries of an index.
#[derive(Debug, Default)]
pub struct Entries(BTreeMap<Vec<u8>, Values>);

impl Entries {
    /// Adds a value to a key. A key's values are sorted by priority. Values of equal priority keep the order of
    /// insertion.
    pub fn insert(&mut self, key: &[u8], priority: u32, value: &[u8]) {
        let values = self.0.entry(key.to_vec()).or_default();
        let at = values.partition_point(|(other, _)| *other <= priority);
        values.insert(at, (priority, value.to_vec()));
    }

    /// All entries, sorted by priority and then by key, which is depmod's order of lines.
    pub fn by_priority(&self) -> Vec<(&[u8], &[u8])> {
        let entries = self.0.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|(_, (priority, _))| *priority);
        entries.into_iter().map(|(key, (_, value))| (&key[..], &value[..])).collect()
    }

    /// The index file.
    ///
    /// Error: the format can't hold a key that is not ASCII, a NUL byte, or a file of more than 256 MiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut writer = Writer { bytes: Vec::new() };
        [MAGIC, VERSION, 0].into_iter().for_each(|word| writer.u32(word));
        if !self.0.is_empty() {
            let entries: Vec<_> = self.0.iter().map(|(key, values)| (&key[..], &values[..])).collect();
            let root = writer.node(&entries, 0)?;
            writer.bytes[ROOT..ROOT + 4].copy_from_slice(&root.to_be_bytes());
        }
        Ok(writer.bytes)
    }
}

/// A key with its values.
type Entry<'a> = (&'a [u8], &'a [(u32, Vec<u8>)]);

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Writes the node of `entries` and all nodes below it. The entries are sorted, and their keys share the first
    /// `depth` bytes. Returns the node's reference.
    fn node(&mut self, entries: &[Entry<'_>], depth: usize) -> Result<u32> {
        // depmod gives the root no prefix.
        let shared = if depth == 0 { 0 } else { common(entries, depth) };
        let end = depth + shared;
        // If keys share their first bytes and are sorted, only the first can end behind them.
        let (own, longer) = entries.split_at(usize::from(entries[0].0.len() == end));
        let children = self.children(longer, end)?;

        let offset = u32::try_from(self.bytes.len()).ok().filter(|offset| *offset <= OFFSET);
        ensure!(offset.is_some(), "the index would have more than 256 MiB, which its format can't hold");
        let mut reference = offset.unwrap_or_default();
        if shared > 0 {
            reference |= PREFIX;
            self.string(&entries[0].0[depth..end])?;
        }
        if let ([(first, _), ..], [.., (last, _)]) = (&children[..], &children[..]) {
            reference |= CHILDREN;
            self.bytes.extend([*first, *last]);
            self.references(*first, *last, &children);
        }
        if let [(_, values)] = own {
            reference |= VALUES;
            self.values(values)?;
        }
        Ok(reference)
    }

    /// Writes a node for each byte that follows the first `end` bytes of the keys.
    fn children(&mut self, entries: &[Entry<'_>], end: usize) -> Result<Vec<(u8, u32)>> {
        let groups = entries.chunk_by(|(a, _), (b, _)| a[end] == b[end]);
        let mut child = |group: &[Entry<'_>]| {
            let (key, _) = group[0];
            ensure!(matches!(key[end], 1..=127), "an index can't hold the key {}", Shown(key));
            Ok((key[end], self.node(group, end + 1)?))
        };
        groups.map(&mut child).collect()
    }

    /// Writes a reference for every byte from `first` to `last`. It is 0 if the byte has no child.
    fn references(&mut self, first: u8, last: u8, children: &[(u8, u32)]) {
        let mut children = children.iter().peekable();
        for byte in first..=last {
            let child = children.next_if(|(of, _)| *of == byte);
            self.u32(child.map_or(0, |(_, reference)| *reference));
        }
    }

    fn values(&mut self, values: &[(u32, Vec<u8>)]) -> Result<()> {
        self.u32(u32::try_from(values.len())?);
        values.iter().try_for_each(|(priority, value)| {
            self.u32(*priority);
            self.string(value)
        })
    }

    fn string(&mut self, text: &[u8]) -> Result<()> {
        ensure!(!text.contains(&0), "an index can't hold the NUL byte in {}", Shown(text));
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        Ok(())
    }

    fn u32(&mut self, word: u32) {
        self.bytes.extend_from_slice(&word.to_be_bytes());
    }
}

/// How many bytes behind `depth` all keys share. If keys are sorted, that is what the first and the last share.
fn common(entries: &[Entry<'_>], depth: usize) -> usize {
    let [(first, _), .., (last, _)] = entries else { return entries[0].0.len() - depth };
    first[depth..].iter().zip(&last[depth..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest_init::resolve::tree::glob::glob;
    use guest_init::resolve::tree::trie::Trie;
    use proptest::collection::vec;
    use proptest::prelude::*;

    type Listed = Vec<(Vec<u8>, u32, Vec<u8>)>;

    fn entries(listed: &Listed) -> Entries {
        let mut entries = Entries::default();
        listed.iter().for_each(|(key, priority, value)| entries.insert(key, *priority, value));
        entries
    }

    /// The entries that the reader visits, sorted by key only, so that the order of a key's values is compared as well.
    fn gather<'a>(walk: impl FnOnce(guest_init::resolve::tree::trie::Visit<'_, 'a>)) -> Listed {
        let mut found = Vec::new();
        walk(&mut |key, priority, value| found.push((key.to_vec(), priority, value.to_vec())));
        found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        found
    }

    #[test]
    fn a_file_byte_by_byte() {
        let mut entries = Entries::default();
        entries.insert(b"ab", 2, b"y");
        entries.insert(b"ab", 1, b"x");
        entries.insert(b"abcd", 3, b"");
        let expected = [
            &b"\xb0\x07\xf4\x57\0\x02\0\x01\x20\0\0\x2f"[..],
            b"d\0\0\0\0\x01\0\0\0\x03\0", // 12: prefix d, one value
            b"b\0cc\xc0\0\0\x0c\0\0\0\x02\0\0\0\x01x\0\0\0\0\x02y\0", // 23: prefix b, child c, two values
        ];
        let expected = [&expected.concat()[..], b"aa\xe0\0\0\x17"].concat();
        assert_eq!(entries.to_bytes().unwrap(), expected);
    }

    #[test]
    fn what_the_format_can_not_hold_is_an_error() {
        for (key, value) in [("ä", ""), ("a\0b", ""), ("a", "\0")] {
            let entries = entries(&vec![(key.into(), 0, value.into())]);
            assert!(entries.to_bytes().is_err(), "{key:?} {value:?}");
        }
    }

    #[test]
    fn an_index_of_nothing_is_one() {
        let bytes = Entries::default().to_bytes().unwrap();
        let trie = Trie::new(&bytes).unwrap();
        assert_eq!(trie.exact(b"").unwrap(), None);
        assert!(gather(|visit| trie.each(visit).unwrap()).is_empty());
    }

    proptest! {
        /// The reader lists, looks up and matches the written entries. The keys have few letters, so that they share
        /// their first bytes.
        #[test]
        fn the_reader_finds_what_was_written(
            listed in vec(("[ab_*?]{0,6}", 0..4u32, "[xy]{0,2}"), 0..40),
            names in vec("[ab_]{0,6}", 0..20),
        ) {
            let listed: Listed = listed.into_iter().map(|(k, p, v)| (k.into(), p, v.into())).collect();
            let mut sorted = listed.clone();
            sorted.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));

            let bytes = entries(&listed).to_bytes().unwrap();
            let trie = Trie::new(&bytes).unwrap();
            prop_assert_eq!(&gather(|visit| trie.each(visit).unwrap()), &sorted);
            for name in names.iter().map(String::as_bytes) {
                let first = sorted.iter().find(|(key, ..)| key == name).map(|(.., value)| &value[..]);
                prop_assert_eq!(trie.exact(name).unwrap(), first);
                let matching: Listed = sorted.iter().filter(|(key, ..)| glob(key, name)).cloned().collect();
                prop_assert_eq!(&gather(|visit| trie.matching(name, visit).unwrap()), &matching);
            }
        }
    }
}
