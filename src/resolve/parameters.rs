//! The parameters that a module is loaded with (MODPROBE.md 8), and the check that the module has them.

use core::fmt;

use crate::failure::{Code, Failure};
use crate::request::kernel::words::{Word, words};
use crate::request::name::same;
use crate::resolve::command::Argument;
use crate::resolve::lookup::lookup;
use crate::resolve::modinfo::ModInfo;
use crate::resolve::nearest::Nearest;
use crate::resolve::plan::{Plan, Step};
use crate::resolve::tree::Sources;
use crate::resolve::tree::config::Directive;
use crate::resolve::tree::module::Module;
use crate::text::{Shown, Text};

/// All parameters of a step: the options that the configuration has for its module, then those of its entry
/// (MODPROBE.md 8.1, 8.2). The kernel applies them from left to right, so the entry wins (MODPROBE.md 8.3).
///
/// If a call of an install command loads the module, the parameters in the call take the place of the entry's. The call
/// may pass on the parameters of the module that the command is for (MODPROBE.md 5.6).
#[derive(Clone, Copy)]
pub struct Parameters<'p, 'a> {
    pub(super) plan: &'p Plan<'a>,
    pub(super) step: &'p Step<'a>,
}

impl Parameters<'_, '_> {
    /// Passes the text to `push`, piece by piece, so that no room for the whole is needed. The text is that of
    /// modprobe: one blank between two options, and blanks for the tabs of the configuration (MODPROBE.md 8.2).
    pub fn each_piece(&self, push: &mut dyn FnMut(&[u8])) {
        let mut text = Joined { push, is_empty: true };
        self.options(&mut text);
        self.arguments(&mut text);
    }

    /// Adds the options of the configuration.
    fn options(&self, text: &mut Joined<'_>) {
        for directive in self.plan.sources().config {
            let pieces = match directive {
                Directive::Options { module, text } if self.are_for(module) => [text, &b""[..], b""],
                Directive::QuotedOption { module, parameter, value } if self.are_for(module) => {
                    [parameter, &b"=\""[..], value]
                }
                _ => continue,
            };
            text.separate();
            pieces.into_iter().for_each(|piece| with_blanks(piece, text.push));
        }
    }

    /// Adds the parameters of the entry, or those of the call that loads the module.
    fn arguments(&self, text: &mut Joined<'_>) {
        match self.step.is_called() && self.step.asked_for {
            true => self.arguments_of_call(text),
            false if self.step.entry_parameters.is_empty() => {}
            false => text.add(self.step.entry_parameters),
        }
    }

    /// Adds the parameters of the call that loads the module. Out of line, because few modules are loaded by a call.
    #[inline(never)]
    fn arguments_of_call(&self, text: &mut Joined<'_>) {
        let Some((command, call)) = self.plan.call_of(self.step) else { return };
        for argument in call.arguments() {
            match argument {
                Argument::Written(word) => text.add(word),
                Argument::Parameters => {
                    let passed_on = Parameters { plan: self.plan, step: command };
                    // With -i the module is most often the command's own, and has these options already.
                    if !command.module.is(&self.step.module) {
                        passed_on.options(text);
                    }
                    passed_on.arguments(text);
                }
            }
        }
    }

    /// Whether options for `name` are for the module: it is the module's name, or the alias that it was found by.
    fn are_for(&self, name: &[u8]) -> bool {
        let module = &self.step.module;
        same(name, module.name) || module.alias().is_some_and(|alias| same(name, alias))
    }
}

/// A text of which each part is passed on, with a blank between two parts.
struct Joined<'f> {
    push: &'f mut dyn FnMut(&[u8]),
    is_empty: bool,
}

impl Joined<'_> {
    fn separate(&mut self) {
        if !core::mem::take(&mut self.is_empty) {
            (self.push)(b" ");
        }
    }

    fn add(&mut self, part: &[u8]) {
        self.separate();
        (self.push)(part);
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
/// The last `of_entry` bytes of the text are the parameters of an entry. If one of them names a module, the entry
/// should most likely have ended before it, so that is a [`Code::BadEntry`]. Without `sources` nothing is known about
/// modules.
///
/// The words behind `--` are [`after_end`]'s.
pub fn unknown(
    module: &Module<'_>,
    text: &[u8],
    of_entry: usize,
    info: &ModInfo<'_>,
    sources: Option<&Sources<'_>>,
    found: &mut dyn FnMut(Failure),
) {
    const EVERY_MODULES: [&[u8]; 2] = [b"dyndbg", b"async_probe"];
    for word in words(text).take_while(|word| !word.is_end()) {
        if info.has_parameter(word.name) || EVERY_MODULES.contains(&word.name) {
            continue;
        }
        if sources.is_some_and(|sources| is_module_of_entry(&word, text, of_entry, sources)) {
            let reason = "the module has no such parameter, but there is a module of that name: entries end at `;`";
            found(failure(Code::BadEntry, module, &word, &reason));
            continue;
        }
        let mut nearest = Nearest::to(word.name);
        info.parameters().chain(EVERY_MODULES).for_each(|name| nearest.consider(name, ""));
        let quote = if word.raw.contains(&b'\'') { "; `'` is no quote, `\"` is" } else { "" };
        let reason = format_args!("the module has no such parameter{quote}{nearest}");
        found(failure(Code::UnknownParameter, module, &word, &reason));
    }
}

/// The failure of the first word behind `--`, because the kernel ignores those words (MODPROBE.md 8.3).
pub fn after_end(module: &Module<'_>, text: &[u8]) -> Option<Failure> {
    let word = words(text).skip_while(|word| !word.is_end()).nth(1)?;
    Some(failure(Code::UnknownParameter, module, &word, &"the kernel ignores the words after `--`"))
}

/// Whether a word of the entry's own parameters, which are the last `of_entry` bytes of the text, names a module. Then
/// [`unknown`] may find a [`Code::BadEntry`].
pub fn may_be_bad_entry(text: &[u8], of_entry: usize, sources: &Sources<'_>) -> bool {
    let mut words = words(text).take_while(|word| !word.is_end());
    words.any(|word| is_module_of_entry(&word, text, of_entry, sources))
}

/// Whether a word of `text` has no value, belongs to the last `of_entry` bytes, and names a module.
fn is_module_of_entry(word: &Word<'_>, text: &[u8], of_entry: usize, sources: &Sources<'_>) -> bool {
    let is_of_entry = word.offset_in(text) + of_entry >= text.len();
    is_of_entry && word.value.is_none() && lookup(sources, word.name).is_ok_and(|found| !found.is_empty())
}

/// The failure of a word of a module's parameters.
fn failure(code: Code, module: &Module<'_>, word: &Word<'_>, reason: &dyn fmt::Display) -> Failure {
    Failure::new(code, Text::<256>::of(format_args!("{module} {}", Shown(word.raw))), reason)
}

impl fmt::Display for Parameters<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.each_piece(&mut |piece| result = result.and_then(|()| Shown(piece).fmt(f)));
        result
    }
}
