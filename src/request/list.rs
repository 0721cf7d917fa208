//! The grammar of module lists.
//!
//! ```text
//! # what pod 7 needs            a comment: `#` at the start of a line
//! e1000e EEE=1; ?i915           entries end at `;` or at the end of the line; `?`: may fail
//! snd id="a; b"                 quotes keep blanks and `;` inside a value
//! @devices=pci,usb              the drivers that this VM's devices ask for
//! ```
//! Kata's configuration file has a list as an array of strings, `["e1000e EEE=1", "i915"]`. An array is read as well:
//! each string is a list. As in TOML, an array may have several lines, and a comment at the end of each.

use core::fmt;

use crate::failure::{Code, Failure};
use crate::request::devices::Devices;
use crate::request::name::Name;
use crate::text::Shown;

/// An entry of a list. It displays as its name, or as `@devices` with its buses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A module.
    Module(ModuleEntry<'a>),
    /// The drivers that this VM's devices ask for.
    Devices(Devices<'a>),
}

/// An entry for a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleEntry<'a> {
    /// The name of the module, or an alias.
    pub name: Name<'a>,
    /// The parameters as they were written, without the blanks around them.
    pub parameters: &'a [u8],
    /// Whether the name has a `?` before it. A failure of the entry is then logged and passed over.
    pub optional: bool,
}

impl<'a> Entry<'a> {
    /// The module that the entry is for. `None`: it is for devices.
    pub const fn module(&self) -> Option<&ModuleEntry<'a>> {
        match self {
            Self::Module(module) => Some(module),
            Self::Devices(_) => None,
        }
    }

    /// The devices that the entry is for. `None`: it is for a module.
    pub const fn devices(&self) -> Option<&Devices<'a>> {
        match self {
            Self::Module(_) => None,
            Self::Devices(devices) => Some(devices),
        }
    }

    /// Whether a failure of the entry is logged and passed over. A driver that fails always is.
    pub fn is_optional(&self) -> bool {
        self.module().is_none_or(|module| module.optional)
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(module) => module.name.fmt(f),
            Self::Devices(devices) => devices.fmt(f),
        }
    }
}

/// Reads a list. `visit` is called with each entry, or with the reason why a text is no entry. Failures name the list
/// as `source`.
///
/// Failures: [`Code::BadEntry`], [`Code::UnbalancedQuote`].
///
/// ```
/// use guest_init::request::list;
///
/// let mut names = Vec::new();
/// list::read(b"# pod 7\ne1000e EEE=1; ?i915", "pod.list", &mut |entry| match entry {
///     Ok(entry) => names.push(entry.to_string()),
///     Err(failure) => eprintln!("{failure}"),
/// });
/// assert_eq!(names, ["e1000e", "i915"]);
/// ```
pub fn read<'a>(text: &'a [u8], source: &str, visit: &mut dyn FnMut(Result<Entry<'a>, Failure>)) {
    // Editors on Windows begin a file with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    match skip_comments(text).strip_prefix(b"[") {
        Some(array) => read_array(array, source, visit),
        None => read_plain(text, source, visit),
    }
}

/// Reads entries that `;` and newlines separate.
fn read_plain<'a>(text: &'a [u8], source: &str, visit: &mut dyn FnMut(Result<Entry<'a>, Failure>)) {
    let has_lines = text.contains(&b'\n');
    for line in text.split(|&b| b == b'\n') {
        let trimmed = trim(line);
        if trimmed.starts_with(b"#") {
            continue;
        }
        // In modules-load.d(5) this is a comment. On the command line, the text before `;` may have been empty.
        if has_lines && trimmed.starts_with(b";") && trimmed.iter().any(|&b| b != b';' && !is_blank(b)) {
            visit(Err(bad(trimmed, source, "a comment begins with `#`, and an entry does not begin with `;`")));
            continue;
        }
        let mut in_quotes = false;
        for text in line.split(|&b| {
            in_quotes ^= b == b'"';
            !in_quotes && b == b';'
        }) {
            let text = trim(text);
            if !text.is_empty() {
                visit(entry(text, source));
            }
        }
    }
}

/// Reads an array, of which each string is a list. `array` begins after the `[`.
fn read_array<'a>(array: &'a [u8], source: &str, visit: &mut dyn FnMut(Result<Entry<'a>, Failure>)) {
    let mut rest = array;
    loop {
        rest = skip_comments(rest);
        let Some((&quote @ (b'"' | b'\''), text)) = rest.split_first() else { break };
        let Some(end) = text.iter().position(|&b| b == quote) else {
            return visit(Err(Failure::new(Code::UnbalancedQuote, source, "a string of the array has no end")));
        };
        let (text, after) = text.split_at(end);
        if quote == b'"' && text.contains(&b'\\') {
            return visit(Err(bad(text, source, "a `\\` in an array's string: write a plain list instead")));
        }
        read_plain(text, source, visit);
        rest = skip_comments(after.get(1..).unwrap_or_default());
        match rest.strip_prefix(b",") {
            Some(next) => rest = next,
            None => break,
        }
    }
    if !rest.strip_prefix(b"]").is_some_and(|behind| skip_comments(behind).is_empty()) {
        visit(Err(bad(rest, source, "an array is `[\"entry\", \"entry\"]`")));
    }
}

/// Reads one entry. `text` has no blanks around it.
fn entry<'a>(text: &'a [u8], source: &str) -> Result<Entry<'a>, Failure> {
    if text.iter().filter(|&&b| b == b'"').count() % 2 == 1 {
        let subject = format_args!("{source} `{}`", Shown(text));
        return Err(Failure::new(Code::UnbalancedQuote, subject, "a quote in the entry has no end on its line"));
    }
    if str::from_utf8(text).is_err() {
        return Err(bad(text, source, "the entry is not UTF-8"));
    }
    if text.iter().any(|&b| b.is_ascii_control() && b != b'\t') {
        return Err(bad(text, source, "the entry holds a control character"));
    }
    let (optional, text) = match text.strip_prefix(b"?") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let entry = match text {
        [b'@', ..] if optional => Err("a driver of @devices that fails is passed over without `?`"),
        [b'@', ..] => Devices::parse(text).map(Entry::Devices),
        _ => module(text, optional).map(Entry::Module),
    };
    entry.map_err(|reason| bad(text, source, reason))
}

/// Reads an entry for a module.
fn module(text: &[u8], optional: bool) -> Result<ModuleEntry<'_>, &'static str> {
    let end = text.iter().position(|&b| is_blank(b)).unwrap_or(text.len());
    let (name, parameters) = text.split_at(end);
    Ok(ModuleEntry { name: Name::new(name)?, parameters: trim(parameters), optional })
}

fn bad(text: &[u8], source: &str, reason: &str) -> Failure {
    Failure::new(Code::BadEntry, format_args!("{source} `{}`", Shown(text)), reason)
}

/// Removes blanks, newlines and comments before a text, and blanks behind it.
fn skip_comments(text: &[u8]) -> &[u8] {
    let mut rest = trim(text);
    while rest.starts_with(b"#") {
        let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        rest = trim(rest.get(end..).unwrap_or_default());
    }
    rest
}

/// Removes blanks around an entry or an array. The carriage returns of a file from Windows are blanks as well.
fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
