//! modprobe.d: the lines of configuration files, of modules.softdep, and of the kernel command line
//! (MODPROBE.md 6, 7).

use crate::request::kernel::words::words;
use crate::request::name::{is_key, same};
use crate::resolve::tree::glob::glob;

/// What one line says. Names are as written; they are compared with `-` as `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive<'a> {
    /// `alias PATTERN MODULE`
    Alias {
        /// Names that it stands for.
        pattern: &'a [u8],
        /// What they mean; not looked up as an alias again.
        module: &'a [u8],
    },
    /// `blacklist MODULE`: its internal aliases don't count.
    Blacklist(&'a [u8]),
    /// `options MODULE TEXT`
    Options {
        /// A module or an alias.
        module: &'a [u8],
        /// Its parameters.
        text: &'a [u8],
    },
    /// `module.parameter=value` of the kernel command line, the whole word quoted: the quote belongs before the value.
    QuotedOption {
        /// A module or an alias.
        module: &'a [u8],
        /// The parameter's name.
        parameter: &'a [u8],
        /// Its value, up to and with the closing quote.
        value: &'a [u8],
    },
    /// `install PATTERN COMMAND`
    Install {
        /// Modules that are not loaded but for which a command is run.
        pattern: &'a [u8],
        /// The command.
        command: &'a [u8],
    },
    /// `remove PATTERN COMMAND`: to us, no more than a name that exists.
    Remove(&'a [u8]),
    /// `softdep PATTERN [pre: MODULE…] [post: MODULE…]`
    Softdep {
        /// Modules that have it.
        pattern: &'a [u8],
        /// The rest of the line.
        modules: &'a [u8],
    },
}

/// Which side of a module a soft dependency is loaded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `pre:`
    Before,
    /// `post:`
    After,
}

/// Joins continued lines, as libkmod reads a file: a backslash goes, and takes a newline behind it along.
/// Returns the length of what remains, at the start of `text`.
pub fn unfold(text: &mut [u8]) -> usize {
    if !text.contains(&b'\\') {
        return text.len();
    }
    let (mut read, mut written) = (0, 0);
    while let Some(&byte) = text.get(read) {
        let escaped = (byte == b'\\').then(|| text.get(read + 1).copied()).flatten();
        read += if escaped.is_some() { 2 } else { 1 };
        if escaped != Some(b'\n')
            && let Some(slot) = text.get_mut(written)
        {
            *slot = escaped.unwrap_or(byte);
            written += 1;
        }
    }
    written
}

/// The lines of an unfolded file. What is no directive is passed over, as by modprobe.
pub fn directives(text: &[u8]) -> impl Iterator<Item = Directive<'_>> {
    text.split(|&b| b == b'\n').filter(|line| !line.starts_with(b"#")).filter_map(directive)
}

fn directive(line: &[u8]) -> Option<Directive<'_>> {
    let mut rest = line;
    let command = token(&mut rest)?;
    let name = token(&mut rest).filter(|name| is_key(name));
    // What follows the one blank behind the name, other blanks included.
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

/// strtok: passes over blanks, takes up to the next one, and passes over that one.
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

/// What a kernel command line, up to its ` -- `, sets for modules: `module.parameter[=value]`, and
/// `modprobe.blacklist=a,b`, whose names are normalised and whose quotes are gone (MODPROBE.md 12.1).
pub fn command_line(line: &[u8]) -> impl Iterator<Item = Directive<'_>> {
    words(line).filter(|word| word.closed).flat_map(|word| {
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

/// libkmod's own cut of a word, which is not the kernel's: one dot before the `=`, no quote before the value.
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

/// The soft dependencies of a module: those of the first line whose pattern matches its name, even if that has none.
pub fn softdeps<'a>(config: &'a [Directive<'a>], module: &[u8]) -> impl Iterator<Item = (Side, &'a [u8])> + Clone {
    let modules = config.iter().find_map(|directive| match directive {
        Directive::Softdep { pattern, modules } if glob(pattern, module) => Some(*modules),
        _ => None,
    });
    let modules = modules.unwrap_or_default();
    // To libkmod a lone blank in front is a part of the first word, which then is no `pre:` either.
    let lost = matches!(modules, [a, b, ..] if is_space(*a) && !is_space(*b));
    let words = modules.split(|&b| is_space(b)).filter(|word| !word.is_empty());
    let mut side = None;
    words.skip(usize::from(lost)).filter_map(move |word| {
        match word {
            b"pre:" => side = Some(Side::Before),
            b"post:" => side = Some(Side::After),
            _ => return Some((side?, word)),
        }
        None
    })
}

/// C's isspace.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The command of the first `install` line whose pattern matches a module, or, `by_name`, whose pattern is its name.
pub fn install<'a>(config: &[Directive<'a>], module: &[u8], by_name: bool) -> Option<&'a [u8]> {
    let lines = || {
        config.iter().filter_map(|directive| match directive {
            Directive::Install { pattern, command } => Some((*pattern, *command)),
            _ => None,
        })
    };
    let named = lines().find(|(pattern, _)| by_name && same(pattern, module));
    named.or_else(|| lines().find(|(pattern, _)| glob(pattern, module))).map(|(_, command)| command)
}

/// Whether a `blacklist` line names the module.
pub fn is_blacklisted(config: &[Directive<'_>], module: &[u8]) -> bool {
    config.iter().any(|directive| matches!(directive, Directive::Blacklist(name) if same(name, module)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn unfolded(text: &str) -> Vec<u8> {
        let mut text = text.as_bytes().to_vec();
        let length = unfold(&mut text);
        text.truncate(length);
        text
    }

    #[test]
    fn continued_lines_are_joined() {
        assert_eq!(unfolded("options a \\\n b=1\nx\\y\\\\z\\"), b"options a  b=1\nxy\\z\\");
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
        assert_eq!(command_line(line).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_the_first_softdep_line_counts() {
        let config: Vec<_> = directives(b"softdep a x pre: b c post: d\nsoftdep a pre: e").collect();
        let found: Vec<_> = softdeps(&config, b"a").collect();
        assert_eq!(found, [(Side::Before, &b"b"[..]), (Side::Before, b"c"), (Side::After, b"d")]);
        let blanks: Vec<_> = directives(b"softdep two  pre: b\nsoftdep three   pre: c").collect();
        assert_eq!((softdeps(&blanks, b"two").count(), softdeps(&blanks, b"three").count()), (0, 1));
    }
}
