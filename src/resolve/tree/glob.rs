//! Patterns of aliases: fnmatch(3) without flags (MODPROBE.md 1.4).
//!
//! Outside of brackets, `-` and `_` are equal in the pattern and in the name (MODPROBE.md 1.1, 1.2). libkmod replaces
//! dashes before it calls fnmatch; the comparison here does both at once and needs no copy.

use crate::request::name::underscore;

/// Whether all of `name` matches `pattern`, which may hold `*`, `?`, `[a-z]`, `[!a-z]`, `[^a-z]`, and `\` before a
/// character that stands for itself.
///
/// The time is at most proportional to the product of the two lengths. A `[` without `]` matches a `[`, as in glibc.
#[inline]
pub fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        // Most patterns begin with a character that the name does not begin with.
        (Some(first), Some(other)) if first.is_ascii_alphanumeric() && first != other => false,
        _ => matches(pattern, name),
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // The rest of the pattern after the last `*`, and the rest of the name that it is compared with. If they don't
    // match, the `*` takes one more byte of the name, and the comparison starts again.
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
                if let Some(rest) = match_one(pattern, underscore(byte)) {
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

/// Matches `byte` with the first element of `pattern`. Returns the rest of the pattern, or `None` if it does not match.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (&first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some(rest),
        b'[' => match match_bracket(rest, byte) {
            Some((is_in_set, rest)) => is_in_set.then_some(rest),
            None => (byte == b'[').then_some(rest),
        },
        b'\\' => {
            let (&escaped, rest) = rest.split_first()?;
            (underscore(escaped) == byte).then_some(rest)
        }
        plain => (underscore(plain) == byte).then_some(rest),
    }
}

/// Reads a bracket expression; `set` begins after its `[`. Returns whether it matches `byte`, and the pattern after its
/// `]`. `None`: there is no `]`.
fn match_bracket(set: &[u8], byte: u8) -> Option<(bool, &[u8])> {
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
