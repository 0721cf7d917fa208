//! The words of a kernel command line, or of a module's parameters, cut as the kernel cuts them (`next_arg` of
//! lib/cmdline.c, MODPROBE.md 7.1).

/// A word, `name` or `name=value`, without the quotes that the kernel removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The part before the first `=`, or the whole word if it has none.
    pub name: &'a [u8],
    /// The part after the first `=`.
    pub value: Option<&'a [u8]>,
    /// The word as it stands on the command line.
    pub raw: &'a [u8],
    /// Whether every quote of the word is closed. The rest of the line belongs to a word with an open quote.
    pub closed: bool,
}

impl<'a> Word<'a> {
    /// The argument that the kernel passes to init for this word, in three parts (`repair_env_string` of init/main.c).
    pub fn argument(&self) -> [&'a [u8]; 3] {
        match self.value {
            Some(value) => [self.name, b"=", value],
            None => [self.name, b"", b""],
        }
    }

    /// The offset of the word in `line`, from which it was cut, in bytes.
    pub fn offset_in(&self, line: &[u8]) -> usize {
        self.raw.as_ptr().addr().saturating_sub(line.as_ptr().addr())
    }

    /// Whether this is the `--` that ends the kernel's part: the words after it are arguments of init
    /// (MODPROBE.md 7.2).
    pub fn is_end(&self) -> bool {
        self.name == b"--" && self.value.is_none()
    }
}

/// The words of `line`. They include `--` and the words after it.
///
/// ```
/// use guest_init::request::kernel::words::words;
///
/// let mut line = words(br#"quiet root="a b" -- x"#);
/// assert_eq!(line.next().map(|word| word.name), Some(&b"quiet"[..]));
/// assert_eq!(line.next().and_then(|word| word.value), Some(&b"a b"[..]));
/// assert!(line.next().is_some_and(|word| word.is_end()));
/// ```
pub const fn words(line: &[u8]) -> Words<'_> {
    Words(line)
}

/// Iterator of [`words`].
#[derive(Clone, Debug)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let start = self.0.iter().position(|&b| !is_space(b))?;
        let line = self.0.get(start..)?;
        let mut in_quotes = false;
        let end = line.iter().position(|&byte| {
            in_quotes ^= byte == b'"';
            !in_quotes && is_space(byte)
        });
        let (raw, rest) = line.split_at_checked(end.unwrap_or(line.len()))?;
        self.0 = rest;
        Some(word(raw, !in_quotes))
    }
}

/// Splits a word at its `=` and removes the quotes around the word, or around the value, as the kernel does.
fn word(raw: &[u8], closed: bool) -> Word<'_> {
    let whole = raw.strip_prefix(b"\"");
    let inner = whole.unwrap_or(raw);
    // To the kernel, position 0 means that no `=` was seen. So a leading `=` belongs to the name.
    let Some(equals) = inner.iter().skip(1).position(|&b| b == b'=').map(|at| at + 1) else {
        let name = if whole.is_some() { unquoted_end(inner) } else { inner };
        return Word { name, value: None, raw, closed };
    };
    let (name, value) = inner.split_at(equals);
    let value = value.get(1..).unwrap_or_default();
    let value = match value.strip_prefix(b"\"") {
        Some(value) => unquoted_end(value),
        None if whole.is_some() => unquoted_end(value),
        None => value,
    };
    Word { name, value: Some(value), raw, closed }
}

fn unquoted_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\"").unwrap_or(bytes)
}

/// The kernel's isspace: the six of ASCII, and the no-break space of Latin-1 (lib/ctype.c).
pub const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}
