//! The words of a simple command: its operands, without options and redirections.

/// The words of a simple command, without redirections to /dev/null and between stdout and stderr.
#[derive(Clone)]
pub(super) struct Words<'a>(pub &'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let start = self.0.iter().position(|&b| !is_blank(b))?;
            let text = self.0.get(start..)?;
            let end = text.iter().position(|&b| is_blank(b)).unwrap_or(text.len());
            let (word, rest) = text.split_at_checked(end)?;
            self.0 = rest;
            match redirection(word) {
                Some(b"/dev/null" | b"&1" | b"&2") => {}
                Some(b"") => {
                    let mut behind = self.clone();
                    if behind.next() != Some(b"/dev/null") {
                        return Some(word);
                    }
                    *self = behind;
                }
                _ => return Some(word),
            }
        }
    }
}

/// The words of a call that are no options: the module's name and parameters.
pub(super) struct Operands<'a> {
    pub words: Words<'a>,
    /// Whether `--` came before.
    pub ended: bool,
}

impl<'a> Iterator for Operands<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            match self.words.next()? {
                b"--" if !self.ended => self.ended = true,
                [b'-', _, ..] if !self.ended => {}
                word => return Some(word),
            }
        }
    }
}

/// The target of a redirection: the text behind `>`, `>>`, `<`, `2>` or `&>`. `None`: the word is no redirection.
fn redirection(word: &[u8]) -> Option<&[u8]> {
    let word =
        word.strip_prefix(b"1").or_else(|| word.strip_prefix(b"2")).or_else(|| word.strip_prefix(b"&")).unwrap_or(word);
    let target = word.strip_prefix(b">").or_else(|| word.strip_prefix(b"<"))?;
    Some(target.strip_prefix(b">").unwrap_or(target))
}

/// Whether a word means itself to a shell.
pub(super) fn is_plain(word: &[u8]) -> bool {
    word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:=,+@%^".contains(byte))
}

pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
