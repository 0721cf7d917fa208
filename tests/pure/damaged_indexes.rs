//! Damaged and malicious indexes: each look-up ends soon, with a value, without one, or with [`Code::CorruptIndex`].
//!
//! Needs `as` and depmod, which make the small tree whose indexes are damaged here.

use std::cell::Cell;
use std::fs;

use guest_init::failure::{Code, Failure};
use guest_init::resolve::tree::index::{Index, IndexKind};
use tempfile::TempDir;

use crate::random::Random;
use crate::small_tree::SmallTree;

/// The names to look up: names of the tree, names that its patterns match, and names that it does not have.
const NAMES: [&[u8]; 10] = [
    b"",
    b"e1",
    b"eta_9",
    b"core_a",
    b"nu",
    b"symbol:sym_3",
    b"fs_mu",
    b"bus:v000e1d01sv7",
    b"usb:v1Dp1d0adc",
    b"aaaaaaaaaaaaaaaaaaaaaaaa",
];

#[test]
fn a_damaged_byte_never_panics_a_look_up() {
    let (mut damaged, mut noticed) = (0, 0);
    for (kind, bytes) in small_indexes() {
        assert!(look_up(kind, &bytes).expect("a sound index") > 0, "{kind:?}");
        let mut copy = bytes.clone();
        for (offset, byte) in bytes.iter().enumerate() {
            let flipped = (0..8).map(|bit| byte ^ (1 << bit));
            for other in flipped.chain([0, 1, 0x7f, 0xff, byte.wrapping_add(1), byte.wrapping_sub(1)]) {
                copy[offset] = other;
                damaged += 1;
                noticed += usize::from(look_up(kind, &copy).is_err());
            }
            copy[offset] = *byte;
        }
    }
    assert!(damaged > 20_000 && noticed > damaged / 20, "{noticed} of {damaged}");
}

#[test]
fn a_cut_never_panics_a_look_up() {
    for (kind, bytes) in small_indexes() {
        let noticed = (1..bytes.len()).filter(|length| look_up(kind, &bytes[..*length]).is_err()).count();
        assert!(noticed > bytes.len() / 2, "{kind:?}: {noticed} of {}", bytes.len());
        // A depmod that fails leaves an empty file, which is an index without entries.
        assert_eq!(look_up(kind, b"").expect("no index"), 0);
    }
}

#[test]
fn a_node_that_is_its_own_child_is_corrupt() {
    // All children of the root, from `*` to `a`, are the root itself: a walk along a key never leaves it.
    let children: Vec<u8> = (b'*'..=b'a').flat_map(|_| reference(CHILDREN, 12)).collect();
    let index = [head(CHILDREN, 12), vec![b'*', b'a'], children].concat();
    assert!(exact(&index, b"aaaa").expect("an end").is_none());
    assert_eq!(look_up(IndexKind::Alias, &index).expect_err("a loop").code, Code::CorruptIndex);

    // The same with a prefix, by literal characters alone.
    let index = [head(PREFIX | CHILDREN, 12), b"a\0aa".to_vec(), reference(PREFIX | CHILDREN, 12)].concat();
    assert!(exact(&index, &b"a".repeat(255)).expect("an end").is_none());
    assert_eq!(look_up(IndexKind::Dep, &index).expect_err("a loop").code, Code::CorruptIndex);
}

#[test]
fn nodes_that_share_their_children_are_corrupt() {
    // On each of ten levels all 128 characters lead to the one node of the next level: 128 to the 10th keys.
    const LEVELS: usize = 10;
    const SIZE: usize = 2 + 128 * 4;
    let mut index = head(CHILDREN, 12);
    for level in 1..=LEVELS {
        let flags = if level == LEVELS { VALUES } else { CHILDREN };
        index.extend([0, 127]);
        index.extend(reference(flags, 12 + level * SIZE).repeat(128));
    }
    let values = 1_000_u32;
    index.extend(values.to_be_bytes());
    index.extend(b"\0\0\0\0v\0".repeat(values as usize));
    assert_eq!(exact(&index, &[b'a'; LEVELS]).expect("a value"), Some(b"v".to_vec()));
    assert_eq!(look_up(IndexKind::Alias, &index).expect_err("too much").code, Code::CorruptIndex);
}

#[test]
fn a_pattern_longer_than_any_name_matches_nothing_and_damages_nothing() {
    // `*` has a child of 3,000 bytes, and `?` is a pattern of its own.
    let long = 12 + 2 + (b'?' - b'*' + 1) as usize * 4;
    let text = [&b"a".repeat(3000)[..], b"\0"].concat();
    let value = b"\0\0\0\x01\0\0\0\0v\0";
    let mut index = [head(CHILDREN, 12), vec![b'*', b'?']].concat();
    for byte in b'*'..=b'?' {
        index.extend(match byte {
            b'*' => reference(PREFIX | VALUES, long),
            b'?' => reference(VALUES, long + text.len() + value.len()),
            _ => reference(0, 0),
        });
    }
    index.extend([&text[..], value, value].concat());
    let index = Index::binary(IndexKind::Alias, &index).expect("an index");
    let mut found = Vec::new();
    let mut find = |name: &[u8]| index.matching(name, &mut |key, _, _| found.push(key.to_vec()));
    find(b"x").and_then(|()| find(&b"a".repeat(2000))).expect("no damage");
    assert_eq!(found, [b"?"]);
}

const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;

fn head(flags: u32, root: usize) -> Vec<u8> {
    [&0xB007_F457_u32.to_be_bytes()[..], &0x0002_0001_u32.to_be_bytes(), &reference(flags, root)].concat()
}

fn reference(flags: u32, offset: usize) -> Vec<u8> {
    (flags | offset as u32).to_be_bytes().to_vec()
}

fn exact(bytes: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    Ok(Index::binary(IndexKind::Dep, bytes)?.exact(key)?.map(<[u8]>::to_vec))
}

/// Looks up all names in every way, and returns how many values were found. Panics if they are more than the file can
/// hold.
fn look_up(kind: IndexKind, bytes: &[u8]) -> Result<usize, Failure> {
    let found = Cell::new(0);
    let check = |result: Result<(), Failure>| {
        assert!(found.get() <= bytes.len() * NAMES.len() * 8, "{kind:?}: {} values", found.get());
        result.inspect_err(|failure| assert_eq!(failure.code, Code::CorruptIndex, "{failure}"))
    };
    let index = Index::binary(kind, bytes).inspect_err(|failure| assert_eq!(failure.code, Code::CorruptIndex))?;
    let mut visit = |_: &[u8], _, _: &[u8]| found.set(found.get() + 1);
    // After a failure the other look-ups are tried as well.
    let mut outcome = check(index.each(&mut visit));
    for name in NAMES {
        outcome = outcome.and(check(index.matching(name, &mut visit)));
        outcome = outcome.and(check(index.exact(name).map(|_| ())));
    }
    outcome.map(|()| found.get())
}

/// The indexes that depmod makes for a small tree.
fn small_indexes() -> Vec<(IndexKind, Vec<u8>)> {
    let tree = SmallTree::new(TempDir::new().expect("a directory"), &mut Random::new(1));
    let read = |kind: IndexKind| fs::read(tree.directory().join(kind.files()[0])).expect("an index");
    IndexKind::ALL.map(|kind| (kind, read(kind))).into()
}
