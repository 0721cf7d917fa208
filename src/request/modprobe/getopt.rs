//! The arguments of modprobe as options and operands. It reads them as getopt_long(3) does with kmod's table
//! (MODPROBE.md 9.2), and has getopt_long's messages for mistakes.
//!
//! Options may stand among the operands, up to `--`. Short options may be bundled, as in `-qn`. A long option may be
//! abbreviated as long as it is unambiguous.

/// A mistake in the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageError<'a> {
    /// There is no such short option.
    Short(u8),
    /// There is no such long option.
    Long(&'a [u8]),
    /// An abbreviation fits several long options.
    Ambiguous(&'a [u8]),
    /// A short option lacks its value.
    ShortNeeds(u8),
    /// A long option lacks its value.
    LongNeeds(&'static str),
    /// A long option has a value, and takes none.
    LongTakesNone(&'static str),
    /// An option of kmod's modprobe that guest-init does not support.
    Unsupported(u8),
    /// The name of a module is missing.
    NoName,
}

impl UsageError<'_> {
    /// Whether getopt_long prints the message. It puts the program's path before it, and modprobe puts `modprobe:
    /// ERROR`.
    pub const fn is_getopts(&self) -> bool {
        !matches!(self, Self::Unsupported(_) | Self::NoName)
    }

    /// Passes to `push` the pieces of the message that getopt_long or modprobe prints after the program's name.
    /// Arguments stand in it as they are, whatever bytes they have.
    pub fn each_piece(&self, push: &mut dyn FnMut(&[u8])) {
        let [before, argument, after]: [&[u8]; 3] = match self {
            Self::Short(option) => [b"invalid option -- '", core::slice::from_ref(option), b"'"],
            Self::Long(text) => [b"unrecognized option '--", text, b"'"],
            Self::Ambiguous(text) => [b"option '--", text, b"' is ambiguous; possibilities:"],
            Self::ShortNeeds(option) => [b"option requires an argument -- '", core::slice::from_ref(option), b"'"],
            Self::LongNeeds(name) => [b"option '--", name.as_bytes(), b"' requires an argument"],
            Self::LongTakesNone(name) => [b"option '--", name.as_bytes(), b"' doesn't allow an argument"],
            Self::Unsupported(option) => {
                let long = LONG.iter().find(|long| long.option == *option).map_or("", |long| long.name);
                [b"--", long.as_bytes(), b" is not supported: guest-init only loads modules."]
            }
            Self::NoName => [b"missing parameters. See -h.", b"", b""],
        };
        [before, argument, after].into_iter().for_each(&mut *push);
        if let Self::Ambiguous(text) = self {
            possible(text).for_each(|long| [b" '--", long.name.as_bytes(), b"'"].into_iter().for_each(&mut *push));
        }
    }
}

/// A long option. `option` is the short option with the same meaning, or a number below 32 if there is none.
struct Long {
    name: &'static str,
    option: u8,
}

/// The number of `--first-time`, which has no short form.
pub const FIRST_TIME: u8 = 3;
/// All short options (`cmdopts_s` of kmod's tools/modprobe.c).
const SHORT: &[u8] = b"arwRibfDcnCdSsqvVh";
/// The options that take a value.
const WITH_VALUE: &[u8] = b"wCdS";
/// `--showconfig`, which takes no name.
pub const SHOW_CONFIG: u8 = b'c';
/// The options that are refused: those that remove modules, force a load, or print other things.
pub const UNSUPPORTED: &[u8] = b"rwfc\x01\x02\x04\x05\x06";

const fn long(name: &'static str, option: u8) -> Long {
    Long { name, option }
}

/// All long options, in the order of kmod's table, in which getopt_long lists them (`cmdopts` of kmod's
/// tools/modprobe.c).
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

/// The long options that an abbreviation may mean: the first that begins with it, and those after it with another
/// meaning.
fn possible(text: &[u8]) -> impl Iterator<Item = &'static Long> {
    let name = name_of(text);
    let begin = move || LONG.iter().filter(move |long| long.name.as_bytes().starts_with(name));
    let first = begin().next();
    begin().take(1).chain(begin().filter(move |long| first.is_some_and(|first| first.option != long.option)))
}

/// The part of a long option before its `=`.
fn name_of(text: &[u8]) -> &[u8] {
    text.split(|&b| b == b'=').next().unwrap_or_default()
}

/// A part of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// An option, as its short option or its number, and its value. The value is empty if the option takes none.
    Option(u8, &'a [u8]),
    /// An operand: a name or a parameter.
    Operand(&'a [u8]),
}

/// The parts of a call. `arguments` begins after the program's name.
pub fn parts<'a>(arguments: &'a [&'a [u8]]) -> Parts<'a> {
    Parts { rest: arguments.iter(), bundle: b"", ended: false }
}

/// Iterator over the parts of a call, in the order of the arguments. The parts after a mistake have no meaning.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    rest: core::slice::Iter<'a, &'a [u8]>,
    /// The short options of the current argument that are still to be read.
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
            return Ok(Part::Option(option, b""));
        }
        let value = match core::mem::take(&mut self.bundle) {
            [] => *self.rest.next().ok_or(UsageError::ShortNeeds(option))?,
            value => value,
        };
        Ok(Part::Option(option, value))
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
        Ok(Part::Option(long.option, value))
    }
}
