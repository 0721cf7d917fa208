//! Names of modules and aliases: which names a list may hold, and when two names are equal (MODPROBE.md 1.1, 1.2).

use crate::text::Shown;

/// The longest name or alias, in bytes. The modalias of a CPU may have over 1,000.
pub const LONGEST: usize = 2047;

/// The name of a module, or an alias, as it was written in a list.
///
/// It begins with a letter, a digit or `_`, so no program can take it for an option. It holds no `/`, so it can't be
/// taken for a path.
///
/// ```
/// use guest_init::request::name::Name;
///
/// assert_eq!(Name::new(b"snd-hda-intel")?.as_bytes(), b"snd-hda-intel");
/// assert_eq!(Name::new(b"--remove"), Err("a name begins with a letter, a digit or `_`"));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(Shown<'a>);

impl<'a> Name<'a> {
    /// Checks a name. The error says in words what is wrong with it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, &'static str> {
        match bytes {
            [] => Err("the name is missing"),
            _ if bytes.contains(&b'\'') => {
                Err("`'` is no quote here; the only quote is `\"`, as on the kernel command line")
            }
            [first, ..] if !first.is_ascii_alphanumeric() && *first != b'_' => {
                Err("a name begins with a letter, a digit or `_`")
            }
            _ if bytes.len() > LONGEST => Err("a name has at most 2,047 bytes"),
            _ if bytes.contains(&b'/') => Err("a name holds no `/`"),
            _ if !bytes.iter().all(|b| b.is_ascii_graphic() && *b != b'"') => {
                Err("a name is plain ASCII without quotes")
            }
            _ => Ok(Self(Shown(bytes))),
        }
    }

    /// The name as it was written.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0.0
    }
}

impl core::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Calls `then` with the normalised name: `-` is `_`, except inside `[...]`. Indexes are searched for normalised names.
///
/// `None` if the name can't be looked up: see [`is_key`].
pub fn normal<R>(name: &[u8], then: impl FnOnce(&[u8]) -> R) -> Option<R> {
    match is_key(name) {
        true if name.contains(&b'-') => without_dashes(name, then),
        true => Some(then(name)),
        false => None,
    }
}

/// The same for a name with a dash. Out of line, because most names have none, and need no room for the longest name on
/// the stack.
#[inline(never)]
fn without_dashes<R>(name: &[u8], then: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let mut room = heapless::Vec::<u8, LONGEST>::new();
    for byte in normalised(name) {
        room.push(byte).ok()?;
    }
    Some(then(&room))
}

/// The bytes of the normalised name.
pub fn normalised(name: &[u8]) -> impl Iterator<Item = u8> {
    let mut in_brackets = false;
    name.iter().map(move |&byte| {
        in_brackets = byte == b'[' || in_brackets && byte != b']';
        if in_brackets { byte } else { underscore(byte) }
    })
}

/// Whether `name` can be looked up: it has no `]` without `[`, no `[` without `]`, and at most [`LONGEST`] bytes.
pub fn is_key(name: &[u8]) -> bool {
    let mut brackets = name.iter().filter(|byte| matches!(byte, b'[' | b']'));
    let closed = brackets.try_fold(false, |open, byte| if *byte == b'[' { Some(true) } else { open.then_some(false) });
    name.len() <= LONGEST && closed == Some(false)
}

/// Whether two names without brackets are equal to modprobe.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| underscore(a) == underscore(b))
}

/// A byte of a name, with `_` for `-`.
pub const fn underscore(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_an_option_or_a_path() {
        for bad in ["", "-q", "--", "/etc/x", "a/b", "./a", "?a", ".a", "a\"b", "'a", "a'", "a\u{e4}", "*", "#a"] {
            assert!(Name::new(bad.as_bytes()).is_err(), "{bad}");
        }
        for good in ["e1000e", "8250", "_a", "pci:v00008086d*sv*", "fs-ext4", "a[b-c]d", "symbol:x", "i2c:a.b"] {
            assert!(Name::new(good.as_bytes()).is_ok(), "{good}");
        }
        assert!(Name::new(&[b'a'; LONGEST]).is_ok() && Name::new(&[b'a'; LONGEST + 1]).is_err());
    }

    #[test]
    fn a_dash_is_an_underscore_outside_brackets() {
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"a-b_c", Some(b"a_b_c")),
            (b"a-[b-c]-d", Some(b"a_[b-c]_d")),
            (b"a_b", Some(b"a_b")),
            (b"a]", None),
            (b"a[b", None),
            (&[b'a'; LONGEST + 1], None),
        ];
        for (name, expected) in cases {
            assert_eq!(normal(name, <[u8]>::to_vec).as_deref(), expected);
        }
        assert!(same(b"a-b_c", b"a_b-c") && !same(b"ab", b"abc"));
    }
}
