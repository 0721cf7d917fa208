//! A call of modprobe: what its arguments and MODPROBE_OPTIONS ask for (MODPROBE.md 9.1, 9.2, 9.3).
//!
//! Leaves to `getopt` how arguments become options and operands, and to `guest` what a call does.

use crate::request::modprobe::getopt::{FIRST_TIME, Part, SHOW_CONFIG, UNSUPPORTED, UsageError, parts};

/// A call that is about modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// `-a`: every operand is a name. Otherwise only the first operand is, and the others are its parameters.
    pub all: bool,
    /// `-R`: the modules that the names mean are printed, and nothing is loaded.
    pub resolve: bool,
    /// `-D`: modules count as if none were in the kernel yet.
    pub ignore_loaded: bool,
    /// `-n`, `-D`: nothing is loaded.
    pub dry_run: bool,
    /// `--first-time`: a module that is in the kernel already is a failure.
    pub first_time: bool,
    /// `-i`: the module's own install command and soft dependencies are passed over.
    pub ignore_install: bool,
    /// `-b`: the blacklist counts for names as well.
    pub use_blacklist: bool,
    /// `-s`: messages go to the kernel log in place of stderr.
    pub syslog: bool,
    /// The least important priority that is printed, in syslog's numbers: [`WARNING`] at first, 0 with `-q`, one more
    /// for each `-v`.
    pub verbosity: i32,
    /// `-d`: the directory that holds `lib/modules`.
    pub root: Option<&'a [u8]>,
    /// `-S`: the kernel release, in place of the running kernel's.
    pub release: Option<&'a [u8]>,
    arguments: &'a [&'a [u8]],
}

/// The kinds of call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// `-h`
    Help,
    /// `-V`
    Version,
    /// Modules
    Modules(Call<'a>),
}

/// The priority of failures that end modprobe, in syslog's numbers.
pub const FATAL: i32 = 2;
/// The priority of errors, in syslog's numbers.
pub const ERROR: i32 = 3;
/// The priority of warnings, in syslog's numbers. It is modprobe's verbosity at first.
pub const WARNING: i32 = 4;

impl<'a> Call<'a> {
    /// Reads a call. `arguments` begins after the program's name.
    pub fn parse(arguments: &'a [&'a [u8]]) -> Result<Asked<'a>, UsageError<'a>> {
        let mut call = Self::new(arguments);
        let mut unsupported = None;
        for part in parts(arguments) {
            match part? {
                Part::Operand(_) => {}
                Part::Option(b'h', _) => return Ok(Asked::Help),
                Part::Option(b'V', _) => return Ok(Asked::Version),
                Part::Option(option, _) if UNSUPPORTED.contains(&option) => _ = unsupported.get_or_insert(option),
                Part::Option(option, value) => call.option(option, value),
            }
        }
        match (call.operands().next(), unsupported) {
            (None, None) => Err(UsageError::NoName),
            (None, Some(option)) if option != SHOW_CONFIG => Err(UsageError::NoName),
            (_, Some(option)) => Err(UsageError::Unsupported(option)),
            (Some(_), None) => Ok(Asked::Modules(call)),
        }
    }

    const fn new(arguments: &'a [&'a [u8]]) -> Self {
        Self {
            all: false,
            resolve: false,
            ignore_loaded: false,
            dry_run: false,
            first_time: false,
            ignore_install: false,
            use_blacklist: false,
            syslog: false,
            verbosity: WARNING,
            root: None,
            release: None,
            arguments,
        }
    }

    fn option(&mut self, option: u8, value: &'a [u8]) {
        match option {
            b'a' => self.all = true,
            b'R' => self.resolve = true,
            b'D' => (self.ignore_loaded, self.dry_run) = (true, true),
            b'n' => self.dry_run = true,
            FIRST_TIME => self.first_time = true,
            b'i' => self.ignore_install = true,
            b'b' => self.use_blacklist = true,
            b's' => self.syslog = true,
            b'q' => self.verbosity = 0,
            b'v' => self.verbosity = self.verbosity.saturating_add(1),
            b'd' => self.root = Some(value),
            b'S' => self.release = Some(value),
            // -C may repeat. `config` reads it.
            _ => {}
        }
    }

    /// The operands in order: the names, or a name and its parameters.
    pub fn operands(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        parts(self.arguments).filter_map(|part| match part {
            Ok(Part::Operand(operand)) => Some(operand),
            _ => None,
        })
    }

    /// `-C`: files and directories with configuration. If there are any, they take the place of the usual directories.
    pub fn config(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        parts(self.arguments).filter_map(|part| match part {
            Ok(Part::Option(b'C', path)) => Some(path),
            _ => None,
        })
    }

    /// Whether the arguments have `-s`, even if they are no call for another reason.
    pub fn asks_for_log(arguments: &[&[u8]]) -> bool {
        parts(arguments).any(|part| matches!(part, Ok(Part::Option(b's', _))))
    }

    /// Whether each step is printed.
    pub const fn shows(&self) -> bool {
        self.ignore_loaded || self.verbosity > WARNING
    }
}

/// Cuts the text of MODPROBE_OPTIONS into words, which stand before the arguments (MODPROBE.md 9.1).
///
/// Words end at single blanks, so two blanks have an empty word between them. A word that begins with a quote ends at
/// the next one. Quotes inside a word are removed.
pub fn environment_words<'a>(text: &'a mut [u8], push: &mut dyn FnMut(&'a [u8])) {
    let (mut rest, mut at, mut quote) = (text, 0, None);
    while let Some(&byte) = rest.get(at) {
        let closes = quote.filter(|&start| rest.get(start) == Some(&byte));
        match (quote, closes) {
            (None, _) if matches!(byte, b'"' | b'\'') => (quote, at) = (Some(at), at + 1),
            (_, Some(start)) if start > 0 => {
                // Remove both quotes: the bytes between them and after them move up.
                rest.copy_within(start + 1..at, start);
                rest.copy_within(at + 1.., at - 1);
                let length = rest.len() - 2;
                rest = rest.split_at_mut(length).0;
                (quote, at) = (None, at - 1);
            }
            (None, _) if byte != b' ' => at += 1,
            (Some(_), None) => at += 1,
            _ => {
                let (word, behind) = rest.split_at_mut(at);
                push(word.get(usize::from(quote.is_some())..).unwrap_or_default());
                rest = behind.get_mut(1..).unwrap_or_default();
                (quote, at) = (None, 0);
            }
        }
    }
    if !rest.is_empty() {
        push(rest);
    }
}

/// The pieces of a parameter as modprobe passes it on: a value that holds a blank is quoted, unless it begins with a
/// quote (MODPROBE.md 9.2).
pub fn quoted(parameter: &[u8]) -> [&[u8]; 4] {
    let end = parameter.iter().position(|&b| b == b'=').map_or(parameter.len(), |equals| equals + 1);
    let (name, value) = parameter.split_at_checked(end).unwrap_or((parameter, b""));
    match value {
        [b'"' | b'\'', ..] => [name, b"", value, b""],
        _ if value.contains(&b' ') => [name, b"\"", value, b"\""],
        _ => [name, b"", value, b""],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Shown;
    use std::string::ToString;
    use std::vec::Vec;

    /// Reads a call, words at single blanks, and hands it to `check`.
    fn call<T>(line: &str, check: impl FnOnce(Result<Asked<'_>, UsageError<'_>>) -> T) -> T {
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        check(Call::parse(&words))
    }

    fn wrong(line: &str) -> std::string::String {
        let mut text = Vec::new();
        call(line, |asked| {
            asked.expect_err("it is wrong").each_piece(&mut |piece| text.extend_from_slice(piece));
        });
        text.escape_ascii().to_string().replace("\\'", "'")
    }

    /// Options as letters, then operands, then -C, -d and -S.
    fn read(line: &str) -> std::string::String {
        call(line, |asked| {
            let Ok(Asked::Modules(call)) = asked else { panic!("{line}: {asked:?}") };
            let flags = [
                (call.all, 'a'),
                (call.resolve, 'R'),
                (call.ignore_loaded, 'D'),
                (call.dry_run, 'n'),
                (call.first_time, '1'),
                (call.ignore_install, 'i'),
                (call.use_blacklist, 'b'),
                (call.syslog, 's'),
            ];
            let flags: std::string::String = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
            let mut text = std::format!("{flags}{}", call.verbosity);
            for operand in call.operands() {
                text += &std::format!(" {}", Shown(operand));
            }
            for (name, value) in call.config().map(|path| ('C', path)).chain(call.root.map(|root| ('d', root))) {
                text += &std::format!(" {name}:{}", Shown(value));
            }
            text + &call.release.map_or_else(Default::default, |release| std::format!(" S:{}", Shown(release)))
        })
    }

    #[test]
    fn options_stand_anywhere_and_bundle() {
        let cases = [
            ("-q -- fs-ext4", "0 fs-ext4"),
            ("ext4 -v debug=1 -n", "n5 ext4 debug=1"),
            ("-vv x", "6 x"),
            ("-qv x", "1 x"),
            ("-vq x", "0 x"),
            ("-abiRs x y", "aRibs4 x y"),
            ("-D x", "Dn4 x"),
            ("-nC/a -d /b -S c x", "n4 x C:/a d:/b S:c"),
            ("-C a --config=b --config c --con=d x", "4 x C:a C:b C:c C:d"),
            ("--dirname=/b --set-version 6 x", "4 x d:/b S:6"),
            ("--first-time --show --use-blacklist --ignore-install --all x", "an1ib4 x"),
            ("--ig --dry --verb --q --sy --resolve x", "Rnis0 x"),
            ("-- -x --y -- z", "4 -x --y -- z"),
            ("- x", "4 - x"),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_getopt_says_it() {
        assert_eq!(wrong("-x y"), "invalid option -- 'x'");
        assert_eq!(wrong("-nC"), "option requires an argument -- 'C'");
        assert_eq!(wrong("--config"), "option '--config' requires an argument");
        assert_eq!(wrong("--all=1 x"), "option '--all' doesn't allow an argument");
        assert_eq!(wrong("--nosuch=1 x"), "unrecognized option '--nosuch=1'");
        assert_eq!(wrong("--ver x"), "option '--ver' is ambiguous; possibilities: '--verbose' '--version'");
        assert_eq!(wrong("-v"), "missing parameters. See -h.");
        assert_eq!(wrong("-ä"), "invalid option -- '\\xc3'");
        assert_eq!(wrong("-r"), "missing parameters. See -h.");
        assert_eq!(wrong("-c"), "--showconfig is not supported: guest-init only loads modules.");
        assert_eq!(wrong("-r x -z"), "invalid option -- 'z'");
        assert_eq!(wrong("-r x"), "--remove is not supported: guest-init only loads modules.");
        assert_eq!(wrong("--remove-h x"), "--remove-dependencies is not supported: guest-init only loads modules.");
        assert_eq!(
            wrong("--show-modversions x"),
            "--show-modversions is not supported: guest-init only loads modules."
        );
    }

    #[test]
    fn help_and_version_come_before_what_follows_them() {
        assert!(call("-vh -x", |asked| asked == Ok(Asked::Help)));
        assert!(call("--version", |asked| asked == Ok(Asked::Version)));
    }

    #[test]
    fn the_environment_is_cut_as_kmod_cuts_it() {
        let cut = |text: &str| {
            let mut words = Vec::new();
            environment_words(&mut text.as_bytes().to_vec(), &mut |word| words.push(word.escape_ascii().to_string()));
            words
        };
        assert_eq!(cut(""), [""; 0]);
        assert_eq!(cut("-q"), ["-q"]);
        assert_eq!(cut("-q -C /a "), ["-q", "-C", "/a"]);
        assert_eq!(cut("-q  -v"), ["-q", "", "-v"]);
        assert_eq!(cut("'a b'c \"d\""), ["a b", "c", "d"]);
        assert_eq!(cut("-C/'a b'\"c\"d e"), ["-C/a bcd", "e"]);
        assert_eq!(cut("a \"b c"), ["a", "\"b c"].map(|word| word.replace('"', "\\\"")));
    }

    #[test]
    fn a_value_with_a_blank_is_quoted_once() {
        let text = |parameter: &str| quoted(parameter.as_bytes()).concat();
        assert_eq!(text("a=b c"), b"a=\"b c\"");
        for same in ["a=\"b c\"", "a='b c'", "a=b", "a b", "a", "", "=", "a=b=c"] {
            assert_eq!(text(same), same.as_bytes());
        }
    }
}
