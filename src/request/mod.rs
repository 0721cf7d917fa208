//! What was asked: the kernel command line, read once, and the module lists that it holds or names.
//!
//! Pure: bytes in, a [`Request`] out, or a [`Report`] of all that is wrong with them.

pub mod kernel;
pub mod keys;
pub mod list;
pub mod location;
pub mod modprobe;
pub mod name;

use core::str::FromStr;
use core::time::Duration;

use log::LevelFilter;

use crate::failure::{Code, Failure, Report};
use crate::text::{Shown, Text};
use kernel::words::{Word, Words, words};
use list::Entry;
use location::Location;
use name::same;

/// Most entries that all lists together may have.
pub const MOST_ENTRIES: usize = 512;
/// Most files with lists.
pub const MOST_FILES: usize = 32;
/// Where module trees are, if `guest_init.module_dir` does not say otherwise.
pub const DEFAULT_MODULE_DIR: &[u8] = b"/lib/modules";
/// The agent where `guest_init.agent` names none.
pub const DEFAULT_AGENT: &[u8] = b"/sbin/agent";

/// Most modules that are loaded at once.
pub const MOST_JOBS: usize = 64;

/// How long the agent may take to be started where `guest_init.deadline` does not say.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// The longest deadline that can be asked for, in seconds: a day.
const LONGEST_DEADLINE: u64 = 86_400;

/// What this VM was asked for.
///
/// ```
/// use guest_init::failure::{Failure, Report};
/// use guest_init::request::Request;
///
/// let line = br#"quiet guest_init.modules="e1000e EEE=1; ?i915" guest_init.deadline=5 -- --verbose"#;
/// let mut tell = |failure: &Failure| eprintln!("{failure}");
/// let mut report = Report::new(&mut tell);
/// let request = Request::parse(line, &mut report);
/// report.verdict()?;
///
/// let entries: Vec<_> = request.entries.iter().map(|entry| (entry.name.as_bytes(), entry.optional)).collect();
/// assert_eq!(entries, [(&b"e1000e"[..], false), (&b"i915"[..], true)]);
/// assert_eq!(request.entries[0].parameters, b"EEE=1");
/// assert_eq!(request.deadline.as_secs(), 5);
/// assert_eq!(request.arguments.count(), 1);
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug)]
pub struct Request<'a> {
    /// The modules, in order.
    pub entries: Entries<'a>,
    /// The files with more of them, in order.
    pub files: heapless::Vec<ListFile<'a>, MOST_FILES>,
    /// The directory that holds `RELEASE/modules.dep`.
    pub module_dir: Location<'a>,
    /// The agent's path.
    pub agent: &'a [u8],
    /// What follows ` -- `, a word an argument.
    pub arguments: Words<'a>,
    /// How much is logged.
    pub log: LevelFilter,
    /// Whether a parameter that can't be applied is a failure.
    pub strict: bool,
    /// How many modules are loaded at once.
    pub jobs: Jobs,
    /// Whether the files of loaded modules stay in an initramfs.
    pub keep_modules: bool,
    /// Whether no more modules may be loaded once the agent runs.
    pub lock_modules: bool,
    /// How long the agent may take to be started; zero is for ever.
    pub deadline: Duration,
    /// The words before ` -- `: the kernel's own, and `module.parameter=value`.
    pub command_line: &'a [u8],
}

/// How many modules are loaded at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// So many, from 1 to [`MOST_JOBS`]; one at a time is the planned order exactly.
    Number(usize),
    /// As many as there are CPUs, up to [`MOST_JOBS`].
    Auto,
}

/// A file with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListFile<'a> {
    /// Where it is.
    pub location: Location<'a>,
    /// How many of the command line's own entries stand before it.
    pub after: usize,
}

impl<'a> Request<'a> {
    /// What an empty command line asks for.
    pub const fn new() -> Self {
        Self {
            entries: heapless::Vec::new(),
            files: heapless::Vec::new(),
            module_dir: Location::in_image(DEFAULT_MODULE_DIR),
            agent: DEFAULT_AGENT,
            arguments: words(b""),
            log: LevelFilter::Info,
            strict: false,
            jobs: Jobs::Number(1),
            keep_modules: false,
            lock_modules: false,
            deadline: DEFAULT_DEADLINE,
            command_line: b"",
        }
    }

    /// Reads a kernel command line. All that is wrong with it goes to `report`; what remains is then good for nothing.
    ///
    /// Failures: [`Code::UnknownKey`], [`Code::RepeatedKey`], [`Code::BadValue`], [`Code::UnbalancedQuote`],
    /// [`Code::BadEntry`], [`Code::TooMany`].
    pub fn parse(line: &'a [u8], report: &mut Report<'_>) -> Self {
        let mut request = Self::new();
        request.read(line, report);
        request
    }

    /// The same in place: with room for all entries a request is large, and most lists are short.
    pub fn read(&mut self, line: &'a [u8], report: &mut Report<'_>) {
        let mut words = words(line);
        let mut parser = Parser { request: self, report, seen: [false; Parser::KEYS.len()] };
        let mut command_line = line;
        for word in words.by_ref() {
            if word.is_end() {
                let before = word.raw.as_ptr().addr() - line.as_ptr().addr();
                command_line = line.get(..before).unwrap_or_default();
                break;
            }
            parser.word(&word);
        }
        words.clone().for_each(|word| parser.closed(&word));
        self.arguments = words;
        self.command_line = command_line;
    }

    /// Puts the entries of the files where the files stand. `texts` are the files' contents, in the same order; what is
    /// wrong with them goes to `report`.
    ///
    /// Failures: [`Code::BadEntry`], [`Code::UnbalancedQuote`], [`Code::TooMany`].
    pub fn insert_lists(&mut self, texts: &[&'a [u8]], report: &mut Report<'_>) {
        let mut inserted = 0;
        for (file, text) in self.files.iter().zip(texts) {
            let end = self.entries.len();
            read_list(&mut self.entries, text, Text::<320>::of(file.location).as_str(), report);
            let new = self.entries.len() - end;
            if let Some(behind) = self.entries.get_mut(file.after + inserted..) {
                behind.rotate_right(new);
            }
            inserted += new;
        }
    }
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self::new()
    }
}

type Entries<'a> = heapless::Vec<Entry<'a>, MOST_ENTRIES>;

fn read_list<'a>(entries: &mut Entries<'a>, text: &'a [u8], source: &str, report: &mut Report<'_>) {
    list::read(text, source, &mut |entry| match entry {
        Err(failure) => report.add(failure),
        Ok(entry) => {
            if entries.push(entry).is_err() {
                report.add(Failure::new(Code::TooMany, entry.name, "a VM takes at most 512 entries"));
            }
        }
    });
}

struct Parser<'p, 'a, 't> {
    request: &'p mut Request<'a>,
    report: &'p mut Report<'t>,
    /// Which keys stood already.
    seen: [bool; 10],
}

impl<'a> Parser<'_, 'a, '_> {
    const KEYS: [Key<Self, &'a [u8]>; 10] = [
        ("modules", Times::Any, Self::modules),
        ("modules_file", Times::Any, Self::modules_file),
        ("module_dir", Times::Once, Self::module_dir),
        ("agent", Times::Once, Self::agent),
        ("jobs", Times::Once, Self::jobs),
        ("strict", Times::Once, Self::strict),
        ("keep_modules", Times::Once, Self::keep_modules),
        ("lock_modules", Times::Once, Self::lock_modules),
        ("deadline", Times::Once, Self::deadline),
        ("log", Times::Once, Self::log),
    ];

    /// Takes a word if its name is `guest_init.KEY`, as to the kernel with `-` = `_`; others are not ours.
    fn word(&mut self, word: &Word<'a>) {
        self.closed(word);
        let (prefix, key) = word.name.split_at_checked(PREFIX.len()).unwrap_or_default();
        if !same(prefix, PREFIX) {
            return;
        }
        let known = Self::KEYS.iter().zip(&mut self.seen).find(|((name, ..), _)| same(name.as_bytes(), key));
        let outcome = match (known, word.value) {
            (None, _) => Err((Code::UnknownKey, "there is no such key")),
            (Some(_), None) => Err((Code::BadValue, "the key needs `=` and a value")),
            (Some(((_, times, take), seen)), Some(value)) => {
                let again = core::mem::replace(seen, true) && *times == Times::Once;
                take(self, value).and(if again {
                    Err((Code::RepeatedKey, "the key may stand only once"))
                } else {
                    Ok(())
                })
            }
        };
        if let Err((code, reason)) = outcome {
            self.report.add(Failure::new(code, Shown(word.raw), reason));
        }
    }

    /// An open quote swallows what follows; a key in there would be lost without a word.
    fn closed(&mut self, word: &Word<'a>) {
        if !word.closed {
            let reason = "a quote opens here and never closes";
            self.report.add(Failure::new(Code::UnbalancedQuote, Shown(word.raw), reason));
        }
    }

    fn modules(&mut self, value: &'a [u8]) -> Taken<()> {
        read_list(&mut self.request.entries, value, "guest_init.modules", self.report);
        Ok(())
    }

    fn modules_file(&mut self, value: &'a [u8]) -> Taken<()> {
        let file = ListFile { location: location(value)?, after: self.request.entries.len() };
        self.request.files.push(file).map_err(|_| (Code::TooMany, "a VM takes at most 32 files with lists"))
    }

    fn module_dir(&mut self, value: &'a [u8]) -> Taken<()> {
        location(value).map(|location| self.request.module_dir = location)
    }

    fn agent(&mut self, value: &'a [u8]) -> Taken<()> {
        if value.first() != Some(&b'/') {
            return Err((Code::BadValue, "the agent is a path that begins with `/`"));
        }
        self.request.agent = value;
        Ok(())
    }

    fn jobs(&mut self, value: &'a [u8]) -> Taken<()> {
        let jobs = match value {
            b"auto" => Some(Jobs::Auto),
            _ => number(value).filter(|jobs| (1..=MOST_JOBS).contains(jobs)).map(Jobs::Number),
        };
        self.request.jobs = jobs.ok_or((Code::BadValue, "a number from 1 to 64, or auto"))?;
        Ok(())
    }

    fn strict(&mut self, value: &'a [u8]) -> Taken<()> {
        switch(value).map(|strict| self.request.strict = strict)
    }

    fn keep_modules(&mut self, value: &'a [u8]) -> Taken<()> {
        switch(value).map(|keep| self.request.keep_modules = keep)
    }

    fn lock_modules(&mut self, value: &'a [u8]) -> Taken<()> {
        switch(value).map(|lock| self.request.lock_modules = lock)
    }

    fn deadline(&mut self, value: &'a [u8]) -> Taken<()> {
        let seconds = number(value).filter(|&seconds| seconds <= LONGEST_DEADLINE);
        let seconds = seconds.ok_or((Code::BadValue, "whole seconds, at most 86,400; 0 is for ever"))?;
        self.request.deadline = Duration::from_secs(seconds);
        Ok(())
    }

    fn log(&mut self, value: &'a [u8]) -> Taken<()> {
        self.request.log = match value {
            b"error" => LevelFilter::Error,
            b"warn" => LevelFilter::Warn,
            b"info" => LevelFilter::Info,
            b"debug" => LevelFilter::Debug,
            b"trace" => LevelFilter::Trace,
            _ => return Err((Code::BadValue, "one of error, warn, info, debug, trace")),
        };
        Ok(())
    }
}

/// How often a key may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Any,
    Once,
}

/// A key, how often it may stand, and what takes its value, or says what is wrong with it.
type Key<Parser, Value> = (&'static str, Times, fn(&mut Parser, Value) -> Taken<()>);
type Taken<T> = Result<T, (Code, &'static str)>;

fn location(value: &[u8]) -> Taken<Location<'_>> {
    Location::parse(value).map_err(|reason| (Code::BadValue, reason))
}

const PREFIX: &[u8] = b"guest_init.";

fn switch(value: &[u8]) -> Taken<bool> {
    match value {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err((Code::BadValue, "0 or 1")),
    }
}

/// Digits and nothing else: no sign, no blanks.
fn number<T: FromStr>(value: &[u8]) -> Option<T> {
    str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// The keys that a command line may have, without their prefix.
pub fn keys() -> impl Iterator<Item = &'static str> {
    Parser::KEYS.iter().map(|(name, ..)| *name)
}
