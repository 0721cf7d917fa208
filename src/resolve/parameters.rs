//! The parameters that a module is loaded with (MODPROBE.md 8.1, 8.2).

use core::fmt;

use crate::failure::{Code, Failure};
use crate::request::kernel::words::words;
use crate::request::name::same;
use crate::resolve::lookup::Module;
use crate::resolve::modinfo::ModInfo;
use crate::resolve::nearest::Nearest;
use crate::resolve::tree::config::Directive;
use crate::text::{Shown, Text};

/// All parameters of a step: `options` lines and `module.parameter=` words whose name is the module's or that of the
/// alias it was found by, in their order, then what its entry says. The kernel applies them from left to right.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    pub(super) config: &'a [Directive<'a>],
    pub(super) module: Module<'a>,
    pub(super) entry_parameters: &'a [u8],
}

impl<'a> Parameters<'a> {
    /// Hands the text to `push` piece by piece, as modprobe joins it: with single blanks, tabs of the
    /// configuration and the command line as blanks.
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

    fn are_for(&self, name: &[u8]) -> bool {
        same(name, self.module.name) || self.module.alias.is_some_and(|alias| same(name, alias))
    }
}

/// `text` with blanks for tabs.
fn with_blanks(text: &[u8], push: &mut dyn FnMut(&[u8])) {
    for (number, run) in text.split(|&b| b == b'\t').enumerate() {
        if number > 0 {
            push(b" ");
        }
        push(run);
    }
}

/// Every word of `text` that names no parameter of the module, with the nearest names that there are.
///
/// `dyndbg` and `async_probe` are the kernel's own, for every module (`unknown_module_param_cb` in kernel/module).
pub fn unknown(module: &Module<'_>, text: &[u8], info: &ModInfo<'_>, tell: &mut dyn FnMut(Failure)) {
    const EVERY_MODULES: [&[u8]; 2] = [b"dyndbg", b"async_probe"];
    let mut words = words(text);
    for word in words.by_ref().take_while(|word| !word.is_end()) {
        if info.has_parameter(word.name) || EVERY_MODULES.iter().any(|name| same(name, word.name)) {
            continue;
        }
        let mut nearest = Nearest::to(word.name);
        info.parameters().chain(EVERY_MODULES).for_each(|name| nearest.consider(name, ""));
        let subject = Text::<256>::of(format_args!("{module} {}", Shown(word.raw)));
        let reason = Text::<256>::of(format_args!("the module has no such parameter{nearest}"));
        tell(Failure::new(Code::UnknownParameter, subject, reason));
    }
    if let Some(word) = words.next() {
        let subject = Text::<256>::of(format_args!("{module} {}", Shown(word.raw)));
        tell(Failure::new(Code::UnknownParameter, subject, "what stands behind `--` is passed over by the kernel"));
    }
}

impl fmt::Display for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.each_piece(&mut |piece| result = result.and_then(|()| Shown(piece).fmt(f)));
        result
    }
}
