//! What was asked: the kernel command line, read once, and the module lists that it holds or names.
//!
//! Pure: bytes in, a [`Request`] out, or a [`Report`] of all that is wrong with them.

pub mod getopt;
pub mod list;
pub mod location;
pub mod modprobe;
pub mod name;
pub mod root;
pub mod words;

use core::str::FromStr;
use core::time::Duration;

use log::LevelFilter;

use crate::failure::{Code, Failure, Report};
use crate::text::{Shown, Text};
use list::Entry;
use location::Location;
use name::same;
use words::{Word, Words, words};

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
    /// Reads a kernel command line. All that is wrong with it goes to `report`; what remains is then good for nothing.
    ///
    /// Failures: [`Code::UnknownKey`], [`Code::RepeatedKey`], [`Code::BadValue`], [`Code::UnbalancedQuote`],
    /// [`Code::BadEntry`], [`Code::TooMany`].
    pub fn parse(line: &'a [u8], report: &mut Report<'_>) -> Self {
        let mut words = words(line);
        let mut parser = Parser {
            report,
            entries: heapless::Vec::new(),
            files: heapless::Vec::new(),
            module_dir: None,
            agent: None,
            log: None,
            strict: None,
            jobs: None,
            keep_modules: None,
            lock_modules: None,
            deadline: None,
        };
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
        Self {
            entries: parser.entries,
            files: parser.files,
            module_dir: parser.module_dir.unwrap_or(Location::in_image(DEFAULT_MODULE_DIR)),
            agent: parser.agent.unwrap_or(DEFAULT_AGENT),
            arguments: words,
            log: parser.log.unwrap_or(LevelFilter::Info),
            strict: parser.strict.unwrap_or(false),
            jobs: parser.jobs.unwrap_or(Jobs::Number(1)),
            keep_modules: parser.keep_modules.unwrap_or(false),
            lock_modules: parser.lock_modules.unwrap_or(false),
            deadline: parser.deadline.unwrap_or(DEFAULT_DEADLINE),
            command_line,
        }
    }

    /// Puts the entries of the files where the files stand. `texts` are the files' contents, in the same order; what is
    /// wrong with them goes to `report`.
    ///
    /// Failures: [`Code::BadEntry`], [`Code::UnbalancedQuote`], [`Code::TooMany`].
    pub fn insert_lists(&mut self, texts: &[&'a [u8]], report: &mut Report<'_>) {
        if self.files.is_empty() {
            return;
        }
        let own = core::mem::take(&mut self.entries);
        let mut done = 0;
        for (file, text) in self.files.iter().zip(texts) {
            extend(&mut self.entries, own.get(done..file.after).unwrap_or_default(), report);
            done = file.after;
            read_list(&mut self.entries, text, Text::<320>::of(file.location).as_str(), report);
        }
        extend(&mut self.entries, own.get(done..).unwrap_or_default(), report);
    }
}

type Entries<'a> = heapless::Vec<Entry<'a>, MOST_ENTRIES>;

fn read_list<'a>(entries: &mut Entries<'a>, text: &'a [u8], source: &str, report: &mut Report<'_>) {
    list::read(text, source, &mut |entry| match entry {
        Ok(entry) => extend(entries, &[entry], report),
        Err(failure) => report.add(failure),
    });
}

fn extend<'a>(entries: &mut Entries<'a>, more: &[Entry<'a>], report: &mut Report<'_>) {
    for entry in more {
        if entries.push(*entry).is_err() {
            report.add(Failure::new(Code::TooMany, entry.name, "a VM takes at most 512 entries"));
        }
    }
}

struct Parser<'a, 'r, 't> {
    report: &'r mut Report<'t>,
    entries: Entries<'a>,
    files: heapless::Vec<ListFile<'a>, MOST_FILES>,
    module_dir: Option<Location<'a>>,
    agent: Option<&'a [u8]>,
    log: Option<LevelFilter>,
    strict: Option<bool>,
    jobs: Option<Jobs>,
    keep_modules: Option<bool>,
    lock_modules: Option<bool>,
    deadline: Option<Duration>,
}

impl<'a> Parser<'a, '_, '_> {
    const KEYS: [Key<Self, &'a [u8]>; 10] = [
        ("modules", Self::modules),
        ("modules_file", Self::modules_file),
        ("module_dir", Self::module_dir),
        ("agent", Self::agent),
        ("jobs", Self::jobs),
        ("strict", Self::strict),
        ("keep_modules", Self::keep_modules),
        ("lock_modules", Self::lock_modules),
        ("deadline", Self::deadline),
        ("log", Self::log),
    ];

    /// Takes a word if its name is `guest_init.KEY`, as to the kernel with `-` = `_`; others are not ours.
    fn word(&mut self, word: &Word<'a>) {
        self.closed(word);
        let (prefix, key) = word.name.split_at_checked(PREFIX.len()).unwrap_or_default();
        if !same(prefix, PREFIX) {
            return;
        }
        let known = Self::KEYS.iter().find(|(name, _)| same(name.as_bytes(), key));
        let outcome = match (known, word.value) {
            (None, _) => Err((Code::UnknownKey, "there is no such key")),
            (Some(_), None) => Err((Code::BadValue, "the key needs `=` and a value")),
            (Some((_, take)), Some(value)) => take(self, value),
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

    fn modules(&mut self, value: &'a [u8]) -> Taken {
        read_list(&mut self.entries, value, "guest_init.modules", self.report);
        Ok(())
    }

    fn modules_file(&mut self, value: &'a [u8]) -> Taken {
        let file = ListFile { location: location(value)?, after: self.entries.len() };
        self.files.push(file).map_err(|_| (Code::TooMany, "a VM takes at most 32 files with lists"))
    }

    fn module_dir(&mut self, value: &'a [u8]) -> Taken {
        once(&mut self.module_dir, location(value)?)
    }

    fn agent(&mut self, value: &'a [u8]) -> Taken {
        if value.first() != Some(&b'/') {
            return Err((Code::BadValue, "the agent is a path that begins with `/`"));
        }
        once(&mut self.agent, value)
    }

    fn jobs(&mut self, value: &'a [u8]) -> Taken {
        let jobs = match value {
            b"auto" => Some(Jobs::Auto),
            _ => number(value).filter(|jobs| (1..=MOST_JOBS).contains(jobs)).map(Jobs::Number),
        };
        once(&mut self.jobs, jobs.ok_or((Code::BadValue, "a number from 1 to 64, or auto"))?)
    }

    fn strict(&mut self, value: &'a [u8]) -> Taken {
        once(&mut self.strict, switch(value)?)
    }

    fn keep_modules(&mut self, value: &'a [u8]) -> Taken {
        once(&mut self.keep_modules, switch(value)?)
    }

    fn lock_modules(&mut self, value: &'a [u8]) -> Taken {
        once(&mut self.lock_modules, switch(value)?)
    }

    fn deadline(&mut self, value: &'a [u8]) -> Taken {
        let seconds = number(value).filter(|&seconds| seconds <= LONGEST_DEADLINE);
        let seconds = seconds.ok_or((Code::BadValue, "whole seconds, at most 86,400; 0 is for ever"))?;
        once(&mut self.deadline, Duration::from_secs(seconds))
    }

    fn log(&mut self, value: &'a [u8]) -> Taken {
        let level = match value {
            b"error" => LevelFilter::Error,
            b"warn" => LevelFilter::Warn,
            b"info" => LevelFilter::Info,
            b"debug" => LevelFilter::Debug,
            b"trace" => LevelFilter::Trace,
            _ => return Err((Code::BadValue, "one of error, warn, info, debug, trace")),
        };
        once(&mut self.log, level)
    }
}

/// A key and what takes its value, or says what is wrong with it.
type Key<Parser, Value> = (&'static str, fn(&mut Parser, Value) -> Taken);
type Taken = Result<(), (Code, &'static str)>;

fn location(value: &[u8]) -> Result<Location<'_>, (Code, &'static str)> {
    Location::parse(value).map_err(|reason| (Code::BadValue, reason))
}

const PREFIX: &[u8] = b"guest_init.";

fn switch(value: &[u8]) -> Result<bool, (Code, &'static str)> {
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

fn once<T>(slot: &mut Option<T>, value: T) -> Taken {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err((Code::RepeatedKey, "the key may stand only once")),
    }
}

/// The keys that a command line may have, without their prefix.
pub fn keys() -> impl Iterator<Item = &'static str> {
    Parser::KEYS.iter().map(|(name, _)| *name)
}
