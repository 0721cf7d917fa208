//! Patterns of aliases: fnmatch(3) with no flags, as libkmod calls it, with `-` as `_` on both sides.

use crate::request::name::underscore;

/// Whether all of `name` matches `pattern`: `*`, `?`, `[a-z]`, `[!a-z]`, `[^a-z]`, and `\` before a plain character.
///
/// Time is at most the product of the lengths. A bracket that is never closed matches a `[`, as in glibc.
#[inline]
pub fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        // Most patterns are other plain names.
        (Some(first), Some(other)) if first.is_ascii_alphanumeric() && first != other => false,
        _ => matches(pattern, name),
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // Where to go on when what follows the last `*` does not match: that `*` then takes a byte more.
    let mut retry = None;
    loop {
        if let Some(behind) = pattern.strip_prefix(b"*") {
            pattern = behind;
            retry = Some((pattern, name));
            continue;
        }
        match (name.split_first(), pattern.is_empty()) {
            (None, true) => return true,
            (Some((&byte, behind)), false) => {
                if let Some(rest) = one(pattern, underscore(byte)) {
                    (pattern, name) = (rest, behind);
                    continue;
                }
            }
            _ => {}
        }
        let Some((star, from)) = retry else { return false };
        let Some((_, from)) = from.split_first() else { return false };
        (pattern, name) = (star, from);
        retry = Some((star, from));
    }
}

/// What remains of `pattern` once its first element has matched `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (&first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some(rest),
        b'[' => match bracket(rest, byte) {
            Some((matches, rest)) => matches.then_some(rest),
            None => (byte == b'[').then_some(rest),
        },
        b'\\' => {
            let (&escaped, rest) = rest.split_first()?;
            (underscore(escaped) == byte).then_some(rest)
        }
        plain => (underscore(plain) == byte).then_some(rest),
    }
}

/// A bracket expression behind its `[`: whether it holds `byte`, and what follows its `]`. `None`: no `]`.
fn bracket(set: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let negated = matches!(set.first(), Some(b'!' | b'^'));
    let mut set = if negated { set.get(1..)? } else { set };
    let mut holds = false;
    let mut first = true;
    loop {
        let (&low, mut rest) = set.split_first()?;
        if low == b']' && !first {
            return Some((holds != negated, rest));
        }
        first = false;
        let mut low = low;
        if low == b'\\' {
            (low, rest) = rest.split_first().map(|(&b, rest)| (b, rest))?;
        }
        let mut high = low;
        if let [b'-', end, behind @ ..] = rest
            && *end != b']'
        {
            (high, rest) = (*end, behind);
            if high == b'\\' {
                (high, rest) = rest.split_first().map(|(&b, rest)| (b, rest))?;
            }
        }
        holds |= (low..=high).contains(&byte);
        set = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        let yes = [
            ("", ""),
            ("*", ""),
            ("*", "a/.b"),
            ("a*b*c", "aXbYbZc"),
            ("a?c", "a/c"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[^a-c]x", "dx"),
            ("[]a]x", "]x"),
            ("a\\*", "a*"),
            ("a\\-b", "a_b"),
            ("a-b", "a_b"),
            ("a_b", "a-b"),
            ("a[_]b", "a-b"),
            ("[a-c", "[a_c"),
            ("pci:v00008086d*sv*sd*bc*sc*i*", "pci:v00008086d000010D3sv0sd0bc02sc00i00"),
            ("[\\]]", "]"),
            ("*a", "aaa"),
        ];
        let no = [
            ("", "a"),
            ("?", ""),
            ("a", ""),
            ("[a-c]x", "dx"),
            ("[!a-c]x", "bx"),
            ("a*b", "aXc"),
            ("A", "a"),
            ("a\\", "a"),
            ("*a*b", "bbba"),
        ];
        for (pattern, name) in yes {
            assert!(glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in no {
            assert!(!glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!glob(&b"*a".repeat(60), &b"a".repeat(200).iter().copied().chain(*b"b").collect::<std::vec::Vec<_>>()));
    }
}
