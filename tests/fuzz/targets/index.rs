//! The indexes of a module tree, binary and text. Each look-up is compared with a naive search of the whole listing.

use std::collections::BTreeMap;

use guest_init::failure::{Code, Failure};
use guest_init::request::name::normal;
use guest_init::resolve::tree::glob::glob;
use guest_init::resolve::tree::index::{Index, IndexKind};

use super::writer::Entries;
use super::{check_failure, check_within, first_line};

/// The longest key that a binary index lists.
const LONGEST_KEY: usize = 1024;
/// The most keys that are looked up one by one.
const MOST_KEYS: usize = 64;

/// Key or pattern, priority, value.
type Found<'a> = (Vec<u8>, u32, &'a [u8]);

/// Input: a name on the first line, then a binary index, which may be damaged in any way.
pub fn trie(input: &[u8]) {
    let (name, bytes) = first_line(input);
    let Ok(index) = Index::binary(IndexKind::Alias, bytes).inspect_err(check_corrupt) else { return };
    let listed = check_index(&index, name, bytes);
    // The time is bounded, because no more values come out than the file can hold.
    let sizes = listed.unwrap_or_default().iter().map(|(_, _, value)| value.len() + 5).sum::<usize>();
    assert!(sizes <= bytes.len());
}

/// Input: a name on the first line, then text, which is read as each kind of index. guest-image's binary form of it
/// must read the same.
pub fn text_index(input: &[u8]) {
    let (name, text) = first_line(input);
    for kind in IndexKind::ALL {
        let index = Index::text(kind, text);
        let listed = check_index(&index, name, text).expect("text is never damaged");
        if let Some(bytes) = binary(&index) {
            let written = Index::binary(kind, &bytes).expect("what is written can be read");
            check_index(&written, name, &bytes).expect("what is written is sound");
            check_same(&index, &written, &listed, name);
        }
    }
}

/// The binary form of an index. `None`: there is none, or it would not mean the same, because only the text keeps its
/// keys as they were written.
pub fn binary(index: &Index<'_>) -> Option<Vec<u8>> {
    let (mut entries, mut fits) = (Entries::default(), true);
    let insert = &mut |key: &[u8], priority, value: &[u8]| {
        fits &= key.len() <= LONGEST_KEY && !key.contains(&b'[') && !key.contains(&b'\\');
        entries.insert(key, priority, value);
    };
    index.each(insert).ok()?;
    fits.then(|| entries.to_bytes().ok())?
}

/// Whether a name can also be a pattern. libkmod's search of a binary index finds some entries twice then.
pub fn is_wild(name: &[u8]) -> bool {
    name.iter().any(|b| b"*?[\\-".contains(b))
}

fn check_corrupt(failure: &Failure) {
    assert_eq!(failure.code, Code::CorruptIndex);
    check_failure(failure);
}

/// Looks up `name` and keys of the index in every way. Returns the whole listing if the index is sound.
fn check_index<'a>(index: &Index<'a>, name: &[u8], bytes: &[u8]) -> Option<Vec<Found<'a>>> {
    let exact = index.exact(name).inspect_err(check_corrupt);
    let matching = gather(|visit| index.matching(name, visit));
    let listed = gather(|visit| index.each(visit)).inspect_err(check_corrupt).ok()?;
    let matching = matching.expect("a sound index is sound from every side");
    exact.expect("a sound index is sound from every side");
    for (_, _, value) in listed.iter().chain(&matching) {
        check_within(value, bytes);
    }
    check_exact(index, &listed);
    check_matching(&listed, &matching, name);
    Some(listed)
}

fn gather<'a>(
    walk: impl FnOnce(guest_init::resolve::tree::trie::Visit<'_, 'a>) -> Result<(), Failure>,
) -> Result<Vec<Found<'a>>, Failure> {
    let mut found = Vec::new();
    walk(&mut |key, priority, value| found.push((key.to_vec(), priority, value)))?;
    Ok(found)
}

/// Asserts that for every key the first value is found.
fn check_exact(index: &Index<'_>, listed: &[Found<'_>]) {
    let mut first = BTreeMap::new();
    for (key, _, value) in listed {
        first.entry(key).or_insert(value);
    }
    for (key, value) in first.into_iter().take(MOST_KEYS) {
        let found = index.exact(key).expect("a sound index").expect("a key that is listed");
        assert!(found == *value || key.contains(&b'['), "{}", key.escape_ascii());
    }
}

/// Asserts that every match is listed and matches by a naive comparison, and that without doubtful characters nothing
/// else does.
fn check_matching(listed: &[Found<'_>], matching: &[Found<'_>], name: &[u8]) {
    // The text form returns patterns as they were written.
    let key = |(pattern, ..): &Found<'_>| normal(pattern, <[u8]>::to_vec);
    let keys: Vec<_> = matching.iter().map(key).collect();
    let is_one = |(pattern, p, v): &Found<'_>, key: Option<&[u8]>, (other, q, w): &Found<'_>| {
        (p, v) == (q, w) && (pattern == other || key == Some(&other[..]))
    };
    for (found, key) in matching.iter().zip(&keys) {
        let pattern = &found.0;
        assert!(matches(pattern, name), "{} {}", pattern.escape_ascii(), name.escape_ascii());
        assert!(listed.iter().any(|entry| is_one(found, key.as_deref(), entry)), "{}", pattern.escape_ascii());
    }
    let plain = |key: &[u8]| !key.iter().any(|b| b"\\-[".contains(b));
    for entry in listed.iter().filter(|(key, ..)| !is_wild(name) && plain(key) && glob(key, name)) {
        let is_found = matching.iter().zip(&keys).any(|(found, key)| is_one(found, key.as_deref(), entry));
        assert!(is_found, "{} {}", entry.0.escape_ascii(), name.escape_ascii());
    }
}

/// libkmod's comparison: the bytes that the search has walked along are equal, and the rest is matched as a pattern.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let equal = pattern.iter().zip(name).take_while(|(a, b)| a == b).count();
    (0..=equal).any(|from| glob(&pattern[from..], &name[from..]))
}

/// Asserts that both forms have the same entries, and that the same of them match.
fn check_same(text: &Index<'_>, binary: &Index<'_>, listed: &[Found<'_>], name: &[u8]) {
    let sorted = |mut found: Vec<Found<'_>>| {
        found.sort();
        found.iter().map(|(_, priority, value)| (*priority, value.to_vec())).collect::<Vec<_>>()
    };
    let all = gather(|visit| binary.each(visit)).expect("a sound index");
    assert_eq!(sorted(all), sorted(listed.to_vec()));
    for (key, ..) in listed.iter().take(MOST_KEYS) {
        assert_eq!(text.exact(key), binary.exact(key));
    }
    if !is_wild(name) {
        let by_priority = |index: &Index<'_>| {
            let mut found = gather(|visit| index.matching(name, visit)).expect("a sound index");
            found.sort_by_key(|(_, priority, _)| *priority);
            found.iter().map(|(_, priority, value)| (*priority, value.to_vec())).collect::<Vec<_>>()
        };
        assert_eq!(by_priority(text), by_priority(binary));
    }
}
