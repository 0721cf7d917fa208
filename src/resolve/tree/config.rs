//! The configuration of modprobe: lines of modprobe.d and of modules.softdep, and words of the kernel command line
//! (MODPROBE.md 6, 7).
//!
//! Owns how a line or a word becomes a [`Directive`], and the questions that a plan asks about a module. Leaves to
//! `guest` which files are read, and in which order.

use crate::request::kernel::ModuleWords;
use crate::request::name::{is_key, same};
use crate::resolve::tree::glob::glob;
use crate::resolve::tree::module::{FoundBy, Module};

/// One line of the configuration. Names are kept as written, and compared with `-` equal to `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive<'a> {
    /// `alias PATTERN MODULE`
    Alias {
        /// The names that the alias stands for.
        pattern: &'a [u8],
        /// The module that the names mean. It is not looked up as an alias again.
        module: &'a [u8],
    },
    /// `blacklist MODULE`, or a name of `modprobe.blacklist=`
    Blacklist(&'a [u8]),
    /// `options MODULE TEXT`, or `module.parameter=value` on the kernel command line
    Options {
        /// The name of a module, or an alias that it may be found by.
        module: &'a [u8],
        /// The parameters.
        text: &'a [u8],
    },
    /// `"module.parameter=value"` on the kernel command line: the opening quote belongs before the value
    /// (MODPROBE.md 7.4).
    QuotedOption {
        /// The name of a module, or an alias that it may be found by.
        module: &'a [u8],
        /// The parameter's name.
        parameter: &'a [u8],
        /// The parameter's value, with the closing quote.
        value: &'a [u8],
    },
    /// `install PATTERN COMMAND`
    Install {
        /// The modules for which the command replaces the load.
        pattern: &'a [u8],
        /// The command.
        command: &'a [u8],
    },
    /// `remove PATTERN COMMAND`. Only the pattern matters here: a lookup of this very name finds it (MODPROBE.md 4.3).
    Remove(&'a [u8]),
    /// `softdep PATTERN [pre: MODULE…] [post: MODULE…]`
    Softdep {
        /// The modules that have these soft dependencies.
        pattern: &'a [u8],
        /// The rest of the line, which [`softdeps`] cuts into names.
        modules: &'a [u8],
    },
}

/// Whether a soft dependency is loaded before its module or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `pre:`
    Before,
    /// `post:`
    After,
}

/// Joins continued lines in place, and removes backslashes, also one at the end of the text (MODPROBE.md 6.3). Returns
/// the new length of the text, which is at the start of `text`.
pub fn unfold(text: &mut [u8]) -> usize {
    if !text.contains(&b'\\') {
        return text.len();
    }
    let (mut read, mut written) = (0, 0);
    while let Some(&byte) = text.get(read) {
        let kept = if byte == b'\\' { text.get(read + 1).copied().filter(|&b| b != b'\n') } else { Some(byte) };
        read += if byte == b'\\' { 2 } else { 1 };
        if let Some((kept, slot)) = kept.zip(text.get_mut(written)) {
            *slot = kept;
            written += 1;
        }
    }
    written
}

/// The directives of a file that was [unfolded](unfold). Other lines are ignored, as modprobe ignores them
/// (MODPROBE.md 6.4, 6.5). A line ends at a NUL byte (MODPROBE.md 6.9).
pub fn directives(text: &[u8]) -> impl Iterator<Item = Directive<'_>> {
    let lines = text.split(|&b| b == b'\n').map(|line| line.split(|&b| b == 0).next().unwrap_or_default());
    lines.filter(|line| !line.starts_with(b"#")).filter_map(directive)
}

fn directive(line: &[u8]) -> Option<Directive<'_>> {
    let mut rest = line;
    let command = token(&mut rest)?;
    let name = token(&mut rest).filter(|name| is_key(name));
    // The rest after the one blank that ends the name, further blanks included.
    let text = Some(rest).filter(|rest| !rest.is_empty());
    Some(match command {
        b"alias" => {
            let module = token(&mut rest).filter(|module| is_key(module));
            Directive::Alias { pattern: name?, module: module? }
        }
        b"blacklist" => Directive::Blacklist(name?),
        b"options" => Directive::Options { module: name?, text: text? },
        b"install" => Directive::Install { pattern: name?, command: text? },
        b"remove" => text.and(name).map(Directive::Remove)?,
        b"softdep" => Directive::Softdep { pattern: name?, modules: text? },
        _ => return None,
    })
}

/// The next word, as strtok(3) finds it: skips all blanks before the word, and one blank after it.
fn token<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = rest.iter().position(|&b| !is_blank(b))?;
    let line = rest.get(start..)?;
    let end = line.iter().position(|&b| is_blank(b)).unwrap_or(line.len());
    *rest = line.get(end + 1..).unwrap_or_default();
    line.get(..end)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The directives that a kernel command line stands for: `module.parameter[=value]` and `modprobe.blacklist=a,b`
/// (MODPROBE.md 7.3, 7.4, 7.5, 7.6).
///
/// Quotes around a name of the blacklist are removed (MODPROBE.md 12.1).
pub fn command_line<'a>(modules: ModuleWords<'a>) -> impl Iterator<Item = Directive<'a>> {
    modules.words().filter(|word| word.closed).flat_map(|word| {
        let quoted = word.raw.starts_with(b"\"");
        let (blacklist, option) = match (word.name, word.value) {
            (b"modprobe.blacklist", Some(names)) => (names, None),
            _ => (&b""[..], option(word.raw.strip_prefix(b"\"").unwrap_or(word.raw), quoted)),
        };
        let names = blacklist.split(|&b| b == b',').map(unquoted).filter(|name| is_key(name) && !name.is_empty());
        names.map(Directive::Blacklist).chain(option)
    })
}

fn unquoted(name: &[u8]) -> &[u8] {
    let name = name.strip_prefix(b"\"").unwrap_or(name);
    name.strip_suffix(b"\"").unwrap_or(name)
}

/// The options that a word stands for, if any. libkmod cuts words by rules of its own (MODPROBE.md 7.3). `quoted`: the
/// whole word was quoted; its opening quote is removed from `word`, and its closing quote is not.
fn option(word: &[u8], quoted: bool) -> Option<Directive<'_>> {
    let head = word.split(|&b| b == b'=').next()?;
    let dot = head.iter().position(|&b| b == b'.')?;
    let (module, parameter) = (head.get(..dot)?, head.get(dot + 1..)?);
    let plain = |part: &[u8]| !part.iter().any(|&b| b == b'.' || b == b'"' || is_space(b));
    if !plain(module) || !plain(parameter) || !is_key(module) {
        return None;
    }
    match word.get(head.len() + 1..) {
        Some(value) if quoted => Some(Directive::QuotedOption { module, parameter, value }),
        _ => word.get(dot + 1..).filter(|text| !text.is_empty()).map(|text| Directive::Options { module, text }),
    }
}

/// The lines that the soft dependencies of a module are taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SoftdepLines {
    /// The first line whose pattern matches the module's name, as in modprobe (MODPROBE.md 6.6, 6.7).
    #[default]
    First,
    /// All lines that match. A file system has a line for each of its checksums, and a disk may need any of them.
    All,
}

/// The soft dependencies of a module.
pub fn softdeps<'a, 'm>(config: &'a [Directive<'a>], module: &'m [u8], lines: SoftdepLines) -> Softdeps<'a, 'm> {
    let most = match lines {
        SoftdepLines::First => 1,
        SoftdepLines::All => usize::MAX,
    };
    let mut softdeps = Softdeps { config: config.iter(), module, most, words: b"", side: None };
    // The first line is looked for once, although the iterator is cloned for each side.
    if softdeps.next_line().is_none() {
        softdeps.most = 0;
    }
    softdeps
}

/// Iterator of [`softdeps`]: the names, each with its side.
#[derive(Clone, Debug)]
pub struct Softdeps<'a, 'm> {
    config: core::slice::Iter<'a, Directive<'a>>,
    module: &'m [u8],
    /// The number of lines that may still be taken.
    most: usize,
    /// The rest of the present line.
    words: &'a [u8],
    side: Option<Side>,
}

impl<'a> Iterator for Softdeps<'a, '_> {
    type Item = (Side, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match (self.word(), self.side) {
                (None, _) => self.next_line()?,
                (Some(b"pre:"), _) => self.side = Some(Side::Before),
                (Some(b"post:"), _) => self.side = Some(Side::After),
                (Some(name), Some(side)) => return Some((side, name)),
                (Some(_), None) => {}
            }
        }
    }
}

impl<'a> Softdeps<'a, '_> {
    /// Goes to the next line whose pattern matches. `None`: there is none, or enough were taken.
    fn next_line(&mut self) -> Option<()> {
        self.most = self.most.checked_sub(1)?;
        let module = self.module;
        self.words = self.config.find_map(|directive| match directive {
            Directive::Softdep { pattern, modules } if glob(pattern, module) => Some(*modules),
            _ => None,
        })?;
        self.side = None;
        // If exactly one blank stands before the first word, libkmod takes it as part of the word, so even `pre:` is
        // lost.
        if matches!(self.words, [a, b, ..] if is_space(*a) && !is_space(*b)) {
            self.word();
        }
        Some(())
    }

    /// The next word of the line.
    fn word(&mut self) -> Option<&'a [u8]> {
        let start = self.words.iter().position(|&b| !is_space(b))?;
        let words = self.words.get(start..)?;
        let end = words.iter().position(|&b| is_space(b)).unwrap_or(words.len());
        let (word, rest) = words.split_at_checked(end)?;
        self.words = rest;
        Some(word)
    }
}

/// C's isspace.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The install command of a module: the one that the module was found by, or that of the first line whose pattern
/// matches (MODPROBE.md 4.3, 6.7).
pub fn install<'a>(config: &[Directive<'a>], module: &Module<'a>) -> Option<&'a [u8]> {
    match module.found_by {
        FoundBy::Command(command) => Some(command),
        _ => config.iter().find_map(|directive| match directive {
            Directive::Install { pattern, command } if glob(pattern, module.name) => Some(*command),
            _ => None,
        }),
    }
}

/// Whether the module is blacklisted (MODPROBE.md 6.8).
pub fn is_blacklisted(config: &[Directive<'_>], module: &[u8]) -> bool {
    config.iter().any(|directive| matches!(directive, Directive::Blacklist(name) if same(name, module)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::kernel::KernelWords;
    use std::vec::Vec;

    fn unfolded(text: &str) -> Vec<u8> {
        let mut text = text.as_bytes().to_vec();
        let length = unfold(&mut text);
        text.truncate(length);
        text
    }

    #[test]
    fn continued_lines_are_joined() {
        assert_eq!(unfolded("options a \\\n b=1\nx\\y\\\\z\\"), b"options a  b=1\nxy\\z");
    }

    #[test]
    fn lines_are_cut_as_libkmod_cuts_them() {
        let text = b"  alias a-b\tc d\n#alias x y\n # alias x y\nalias z\noptions m \noptions m  p=1\nsoftdep s pre: a\nweakdep a b\nblacklist q\nalias ] x\ninstall i /bin/true\nremove r x\n";
        let expected = [
            Directive::Alias { pattern: b"a-b", module: b"c" },
            Directive::Options { module: b"m", text: b" p=1" },
            Directive::Softdep { pattern: b"s", modules: b"pre: a" },
            Directive::Blacklist(b"q"),
            Directive::Install { pattern: b"i", command: b"/bin/true" },
            Directive::Remove(b"r"),
        ];
        assert_eq!(directives(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_command_line_speaks_of_modules() {
        let line =
            br#"quiet m. a-b.c=1 a.b.c=1 x=a.b "m.p=a b" m.q="a b" flag.on modprobe.blacklist=x-y,"z" root=/dev/vda1.x"#;
        let expected = [
            Directive::Options { module: b"a-b", text: b"c=1" },
            Directive::QuotedOption { module: b"m", parameter: b"p", value: b"a b\"" },
            Directive::Options { module: b"m", text: b"q=\"a b\"" },
            Directive::Options { module: b"flag", text: b"on" },
            Directive::Blacklist(b"x-y"),
            Directive::Blacklist(b"z"),
        ];
        let modules = KernelWords::read(line, &mut |_| {}).0.modules;
        assert_eq!(command_line(modules).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_first_softdep_line_counts_or_all_do() {
        let config: Vec<_> = directives(b"softdep a x pre: b c post: d\nsoftdep a pre: e").collect();
        let found = |lines| softdeps(&config, b"a", lines).collect::<Vec<_>>();
        let first = [(Side::Before, &b"b"[..]), (Side::Before, b"c"), (Side::After, b"d")];
        assert_eq!(found(SoftdepLines::First), first);
        assert_eq!(found(SoftdepLines::All), [&first[..], &[(Side::Before, b"e")]].concat());
        let blanks: Vec<_> = directives(b"softdep two  pre: b\nsoftdep three   pre: c").collect();
        let count = |module| softdeps(&blanks, module, SoftdepLines::First).count();
        assert_eq!((count(b"two"), count(b"three")), (0, 1));
    }
}
