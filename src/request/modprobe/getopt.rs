//! getopt_long with kmod's table for modprobe: how arguments become options and operands, and what is said of a mistake.
//!
//! Options may stand among the operands, up to `--`; short ones may be bundled, long ones cut short where that means one thing.
//! What loading takes is understood; options that would remove modules, or show other things, are named and refused.

use core::fmt;

use crate::text::Shown;

/// Why a call can't be followed. It displays as the line that follows the program's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageError<'a> {
    /// No such short option.
    Short(u8),
    /// No such long option.
    Long(&'a [u8]),
    /// A long option is cut so short that it means several.
    Ambiguous(&'a [u8]),
    /// A short option that needs a value has none.
    ShortNeeds(u8),
    /// A long option that needs a value has none.
    LongNeeds(&'static str),
    /// A long option that takes no value has one.
    LongTakesNone(&'static str),
    /// An option of kmod's that is not for us.
    Unsupported(u8),
    /// No module is named.
    NoName,
}

impl UsageError<'_> {
    /// Whether getopt_long says it, which names the program as it was called.
    pub const fn is_getopts(&self) -> bool {
        !matches!(self, Self::Unsupported(_) | Self::NoName)
    }
}

impl fmt::Display for UsageError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Short(option) => write!(f, "invalid option -- '{}'", Shown(&[option])),
            Self::Long(text) => write!(f, "unrecognized option '--{}'", Shown(text)),
            Self::Ambiguous(text) => {
                write!(f, "option '--{}' is ambiguous; possibilities:", Shown(text))?;
                possible(text).try_for_each(|long| write!(f, " '--{}'", long.name))
            }
            Self::ShortNeeds(option) => write!(f, "option requires an argument -- '{}'", Shown(&[option])),
            Self::LongNeeds(name) => write!(f, "option '--{name}' requires an argument"),
            Self::LongTakesNone(name) => write!(f, "option '--{name}' doesn't allow an argument"),
            Self::Unsupported(option) => {
                let long = LONG.iter().find(|long| long.option == option).map_or("", |long| long.name);
                write!(f, "--{long} is not supported: guest-init only loads modules.")
            }
            Self::NoName => f.write_str("missing parameters. See -h."),
        }
    }
}

/// A long option: the short one that it is, or a number of its own.
struct Long {
    name: &'static str,
    option: u8,
}

/// `--first-time`, which has no short form.
pub const FIRST_TIME: u8 = 3;
/// Short options, and those of them that take a value.
const SHORT: &[u8] = b"arwRibfDcnCdSsqvVh";
const WITH_VALUE: &[u8] = b"wCdS";
const UNSUPPORTED: &[u8] = b"rwfc\x01\x02\x04\x05\x06";

const fn long(name: &'static str, option: u8) -> Long {
    Long { name, option }
}

/// kmod's table, in its order.
const LONG: [Long; 29] = [
    long("all", b'a'),
    long("remove", b'r'),
    long("remove-dependencies", 5),
    long("remove-holders", 5),
    long("wait", b'w'),
    long("resolve-alias", b'R'),
    long("first-time", FIRST_TIME),
    long("ignore-install", b'i'),
    long("ignore-remove", b'i'),
    long("use-blacklist", b'b'),
    long("force", b'f'),
    long("force-modversion", 2),
    long("force-vermagic", 1),
    long("show-depends", b'D'),
    long("showconfig", b'c'),
    long("show-config", b'c'),
    long("show-modversions", 4),
    long("dump-modversions", 4),
    long("show-exports", 6),
    long("dry-run", b'n'),
    long("show", b'n'),
    long("config", b'C'),
    long("dirname", b'd'),
    long("set-version", b'S'),
    long("syslog", b's'),
    long("quiet", b'q'),
    long("verbose", b'v'),
    long("version", b'V'),
    long("help", b'h'),
];

/// What a long option that is cut short may mean: the first that begins so, and those that mean something else.
fn possible(text: &[u8]) -> impl Iterator<Item = &'static Long> {
    let name = name_of(text);
    let begin = move || LONG.iter().filter(move |long| long.name.as_bytes().starts_with(name));
    let first = begin().next();
    begin().take(1).chain(begin().filter(move |long| first.is_some_and(|first| first.option != long.option)))
}

/// What stands before the `=`.
fn name_of(text: &[u8]) -> &[u8] {
    text.split(|&b| b == b'=').next().unwrap_or_default()
}

/// One part of a call: an option with its value, empty for those that take none, or an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The short option, or the number of one without, and its value.
    Option(u8, &'a [u8]),
    /// A name or a parameter.
    Operand(&'a [u8]),
}

/// The parts of a call, the program's name gone.
pub fn parts<'a>(arguments: &'a [&'a [u8]]) -> Parts<'a> {
    Parts { rest: arguments.iter(), bundle: b"", ended: false }
}

/// The parts in the order of the arguments, up to the first that is wrong.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    rest: core::slice::Iter<'a, &'a [u8]>,
    /// Short options behind the one that was read last.
    bundle: &'a [u8],
    /// Whether `--` was read.
    ended: bool,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, UsageError<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bundle.is_empty() {
            let argument = *self.rest.next()?;
            match argument {
                _ if self.ended => return Some(Ok(Part::Operand(argument))),
                b"--" => {
                    self.ended = true;
                    return self.next();
                }
                [b'-', b'-', long @ ..] => return Some(self.long(long)),
                [b'-', bundle @ ..] if !bundle.is_empty() => self.bundle = bundle,
                _ => return Some(Ok(Part::Operand(argument))),
            }
        }
        let (&option, rest) = self.bundle.split_first()?;
        self.bundle = rest;
        Some(self.short(option))
    }
}

impl<'a> Parts<'a> {
    fn short(&mut self, option: u8) -> Result<Part<'a>, UsageError<'a>> {
        if !SHORT.contains(&option) {
            return Err(UsageError::Short(option));
        }
        if !WITH_VALUE.contains(&option) {
            return supported(Part::Option(option, b""));
        }
        let value = match core::mem::take(&mut self.bundle) {
            [] => *self.rest.next().ok_or(UsageError::ShortNeeds(option))?,
            value => value,
        };
        supported(Part::Option(option, value))
    }

    fn long(&mut self, text: &'a [u8]) -> Result<Part<'a>, UsageError<'a>> {
        let name = name_of(text);
        let exact = LONG.iter().find(|long| long.name.as_bytes() == name);
        let Some(long) = exact.or(possible(text).next()) else { return Err(UsageError::Long(text)) };
        if exact.is_none() && possible(text).count() > 1 {
            return Err(UsageError::Ambiguous(text));
        }
        let value = text.get(name.len() + 1..);
        let value = match (WITH_VALUE.contains(&long.option), value) {
            (false, Some(_)) => return Err(UsageError::LongTakesNone(long.name)),
            (false, None) => b"",
            (true, Some(value)) => value,
            (true, None) => *self.rest.next().ok_or(UsageError::LongNeeds(long.name))?,
        };
        supported(Part::Option(long.option, value))
    }
}

fn supported(part: Part<'_>) -> Result<Part<'_>, UsageError<'_>> {
    match part {
        Part::Option(option, _) if UNSUPPORTED.contains(&option) => Err(UsageError::Unsupported(option)),
        part => Ok(part),
    }
}
