//! The parameters that a module is loaded with (MODPROBE.md 8), and the check that the module has them.

use core::fmt;

use crate::failure::{Code, Failure};
use crate::request::kernel::words::words;
use crate::request::name::same;
use crate::resolve::modinfo::ModInfo;
use crate::resolve::nearest::Nearest;
use crate::resolve::tree::config::Directive;
use crate::resolve::tree::module::Module;
use crate::text::{Shown, Text};

/// All parameters of a step: the options that the configuration has for its module, then those of its entry
/// (MODPROBE.md 8.1, 8.2). The kernel applies them from left to right, so the entry wins (MODPROBE.md 8.3).
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    pub(super) config: &'a [Directive<'a>],
    pub(super) module: Module<'a>,
    pub(super) entry_parameters: &'a [u8],
}

impl<'a> Parameters<'a> {
    /// Passes the text to `push`, piece by piece, so that no room for the whole is needed. The text is that of
    /// modprobe: one blank between two options, and blanks for the tabs of the configuration (MODPROBE.md 8.2).
    pub fn each_piece(&self, push: &mut dyn FnMut(&[u8])) {
        let mut first = true;
        let mut separate = |push: &mut dyn FnMut(&[u8])| {
            if !core::mem::take(&mut first) {
                push(b" ");
            }
        };
        for directive in self.config {
            let pieces = match directive {
                Directive::Options { module, text } if self.are_for(module) => [text, &b""[..], b""],
                Directive::QuotedOption { module, parameter, value } if self.are_for(module) => {
                    [parameter, &b"=\""[..], value]
                }
                _ => continue,
            };
            separate(push);
            pieces.into_iter().for_each(|piece| with_blanks(piece, push));
        }
        if !self.entry_parameters.is_empty() {
            separate(push);
            push(self.entry_parameters);
        }
    }

    /// Whether options for `name` are for the module: it is the module's name, or the alias that it was found by.
    fn are_for(&self, name: &[u8]) -> bool {
        same(name, self.module.name) || self.module.alias.is_some_and(|alias| same(name, alias))
    }
}

/// Passes `text` to `push`, with blanks for tabs.
fn with_blanks(text: &[u8], push: &mut dyn FnMut(&[u8])) {
    for (number, run) in text.split(|&b| b == b'\t').enumerate() {
        if number > 0 {
            push(b" ");
        }
        push(run);
    }
}

/// Finds the words of `text` that name no parameter of the module. `found` is called with a failure for each, which
/// proposes the nearest names (MODPROBE.md 12.5). Every module has `dyndbg` and `async_probe` (MODPROBE.md 8.4).
///
/// The kernel ignores what follows `--` (MODPROBE.md 8.3), so that is one more failure.
pub fn unknown(module: &Module<'_>, text: &[u8], info: &ModInfo<'_>, found: &mut dyn FnMut(Failure)) {
    const EVERY_MODULES: [&[u8]; 2] = [b"dyndbg", b"async_probe"];
    let mut words = words(text);
    for word in words.by_ref().take_while(|word| !word.is_end()) {
        if info.has_parameter(word.name) || EVERY_MODULES.contains(&word.name) {
            continue;
        }
        let mut nearest = Nearest::to(word.name);
        info.parameters().chain(EVERY_MODULES).for_each(|name| nearest.consider(name, ""));
        let subject = Text::<256>::of(format_args!("{module} {}", Shown(word.raw)));
        let reason = Text::<256>::of(format_args!("the module has no such parameter{nearest}"));
        found(Failure::new(Code::UnknownParameter, subject, reason));
    }
    if let Some(word) = words.next() {
        let subject = Text::<256>::of(format_args!("{module} {}", Shown(word.raw)));
        found(Failure::new(Code::UnknownParameter, subject, "the kernel ignores the words after `--`"));
    }
}

impl fmt::Display for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.each_piece(&mut |piece| result = result.and_then(|()| Shown(piece).fmt(f)));
        result
    }
}
