//! The parser of the `guest_init.KEY=VALUE` words of a command line. [`super::keys`] has the keys, and reads the
//! values.

use crate::failure::{Code, Failure, Report};
use crate::request::Request;
use crate::request::extension::Extension;
use crate::request::kernel::words::Word;
use crate::request::keys::{KEYS, READERS, Refusal, Times};
use crate::request::name::same;
use crate::request::notify::Channel;
use crate::text::Shown;

const PREFIX: &[u8] = b"guest_init.";

/// A request that is being read.
pub(super) struct Parser<'p, 'a, 't> {
    request: &'p mut Request<'a>,
    report: &'p mut Report<'t>,
    /// Which keys occurred already, in the order of the table.
    seen: [bool; KEYS.len()],
    /// The word before, if it is a list without quotes.
    unquoted_list: Option<&'a [u8]>,
}

impl<'p, 'a, 't> Parser<'p, 'a, 't> {
    /// Creates a parser that has read nothing.
    pub(super) const fn new(request: &'p mut Request<'a>, report: &'p mut Report<'t>) -> Self {
        Self { request, report, seen: [false; KEYS.len()], unquoted_list: None }
    }

    /// Reads a word if its name is `guest_init.KEY`, with `-` equal to `_` as in the kernel. Other words are ignored.
    pub(super) fn word(&mut self, word: &Word<'a>) {
        self.check_quotes(word);
        let key = key_of(word);
        self.check_list_before(word, key);
        let read = match key {
            Some(key) => self.key(key, word.value),
            None => self.word_of_others(word),
        };
        if let Err((code, reason)) = read {
            self.report.add(Failure::new(code, Shown(word.raw), reason));
        }
    }

    /// Reads a word about one of Kata's extensions, or systemd's credential that names the host's channel. Other words
    /// are ignored. If `guest_init.notify=` stands as well, that counts.
    fn word_of_others(&mut self, word: &Word<'a>) -> Result<(), Refusal> {
        if let Some(channel) = Channel::of_credential(word) {
            self.request.notify.get_or_insert(channel);
        }
        let Some(extension) = Extension::parse(word) else { return Ok(()) };
        let extension = extension.map_err(|reason| (Code::BadValue, reason))?;
        if self.request.extensions.iter().any(|known| known.name == extension.name) {
            return Err((Code::RepeatedKey, "the word may stand only once for each extension"));
        }
        self.request.extensions.push(extension).map_err(|_| (Code::TooMany, "a VM takes at most 16 extensions"))
    }

    /// Reports a quote that does not close. The rest of the line belongs to its word, so a key there would be lost.
    pub(super) fn check_quotes(&mut self, word: &Word<'a>) {
        if !word.closed {
            let reason = "a quote opens here and never closes";
            self.report.add(Failure::new(Code::UnbalancedQuote, Shown(word.raw), reason));
        }
    }

    /// Reports a list whose quotes were forgotten: the kernel ends an unquoted list at a blank, and a `;` on either
    /// side of the blank, or at the end of the next word, shows that the list was to go on. `key` is that of `word`,
    /// which comes after the list.
    fn check_list_before(&mut self, word: &Word<'a>, key: Option<&[u8]>) {
        let is_unquoted_list = key.is_some_and(|key| same(key, b"modules")) && !word.raw.ends_with(b"\"");
        let before = core::mem::replace(&mut self.unquoted_list, is_unquoted_list.then_some(word.raw));
        let Some(list) = before else { return };
        let goes_on = word.raw.starts_with(b";") || word.raw.ends_with(b";") && key.is_none();
        if list.ends_with(b";") || goes_on {
            let subject = format_args!("{} {}", Shown(list), Shown(word.raw));
            let reason = "the list ends at the blank, because it has no quotes: write guest_init.modules=\"...; ...\"";
            self.report.add(Failure::new(Code::BadValue, subject, reason));
        }
    }

    /// Reads the value of a key.
    fn key(&mut self, key: &[u8], value: Option<&'a [u8]>) -> Result<(), Refusal> {
        let known = READERS.iter().zip(&mut self.seen).find(|(known, _)| same(known.name.as_bytes(), key));
        let (known, seen) = known.ok_or((Code::UnknownKey, "there is no such key"))?;
        let value = value.ok_or((Code::BadValue, "the key needs `=` and a value"))?;
        let is_again = core::mem::replace(seen, true) && known.times == Times::Once;
        (known.read)(self.request, value, self.report)?;
        if is_again { Err((Code::RepeatedKey, "the key may stand only once")) } else { Ok(()) }
    }
}

/// KEY of a word whose name is `guest_init.KEY`, with `-` equal to `_` as in the kernel.
pub(super) fn key_of<'a>(word: &Word<'a>) -> Option<&'a [u8]> {
    let (prefix, key) = word.name.split_at_checked(PREFIX.len())?;
    same(prefix, PREFIX).then_some(key)
}
