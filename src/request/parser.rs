//! The words of a command line that are ours: each `guest_init.KEY=VALUE` is found in [`super::keys`] and taken.

use crate::failure::{Code, Failure, Report};
use crate::request::Request;
use crate::request::kernel::words::Word;
use crate::request::keys::{KEYS, Refusal, TAKEN, Times};
use crate::request::name::same;
use crate::text::Shown;

const PREFIX: &[u8] = b"guest_init.";

/// A request in the making.
pub(super) struct Parser<'p, 'a, 't> {
    request: &'p mut Request<'a>,
    report: &'p mut Report<'t>,
    /// Which keys stood already, in the order of the table.
    seen: [bool; KEYS.len()],
}

impl<'p, 'a, 't> Parser<'p, 'a, 't> {
    /// Before the first word.
    pub(super) const fn new(request: &'p mut Request<'a>, report: &'p mut Report<'t>) -> Self {
        Self { request, report, seen: [false; KEYS.len()] }
    }

    /// Takes a word if its name is `guest_init.KEY`. `-` and `_` are the same, as they are in the kernel's own names.
    pub(super) fn word(&mut self, word: &Word<'a>) {
        self.check_quotes(word);
        let (prefix, key) = word.name.split_at_checked(PREFIX.len()).unwrap_or_default();
        if !same(prefix, PREFIX) {
            return;
        }
        if let Err((code, reason)) = self.key(key, word.value) {
            self.report.add(Failure::new(code, Shown(word.raw), reason));
        }
    }

    /// Reports a quote that does not close. It swallows what follows, and a key in there would be lost.
    pub(super) fn check_quotes(&mut self, word: &Word<'a>) {
        if !word.closed {
            let reason = "a quote opens here and never closes";
            self.report.add(Failure::new(Code::UnbalancedQuote, Shown(word.raw), reason));
        }
    }

    fn key(&mut self, key: &[u8], value: Option<&'a [u8]>) -> Result<(), Refusal> {
        let known = TAKEN.iter().zip(&mut self.seen).find(|(known, _)| same(known.name.as_bytes(), key));
        let (known, seen) = known.ok_or((Code::UnknownKey, "there is no such key"))?;
        let value = value.ok_or((Code::BadValue, "the key needs `=` and a value"))?;
        let is_again = core::mem::replace(seen, true) && known.times == Times::Once;
        (known.take)(self.request, value, self.report)?;
        if is_again { Err((Code::RepeatedKey, "the key may stand only once")) } else { Ok(()) }
    }
}
