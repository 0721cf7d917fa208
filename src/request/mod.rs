//! What this VM was asked for: the `guest_init.` keys of the kernel command line, and the module lists.
//!
//! The input is bytes. The output is a [`Request`], and a [`Report`] of all mistakes. Nothing here makes a system call
//! or allocates. The words of the command line that are not guest-init's own stay text, in [`Request::command_line`].

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

/// The number of entries that all lists together may have.
pub const MOST_ENTRIES: usize = 512;
/// The number of files with lists that a command line may name.
pub const MOST_FILES: usize = 32;
/// The directory of module trees, unless `guest_init.module_dir` names another.
pub const DEFAULT_MODULE_DIR: &[u8] = b"/lib/modules";
/// The agent, unless `guest_init.agent` names another.
pub const DEFAULT_AGENT: &[u8] = b"/sbin/agent";

/// The number of modules that may be loaded at once.
pub const MOST_JOBS: usize = 64;

/// The time within which the agent must be started, unless `guest_init.deadline` names another.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// The longest deadline, in seconds: one day.
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
    /// The entries of the lists, in order.
    pub entries: Entries<'a>,
    /// The files with further lists, in order. Their entries are added by [`Self::insert_lists`].
    pub files: heapless::Vec<ListFile<'a>, MOST_FILES>,
    /// The directory that holds `RELEASE/modules.dep`.
    pub module_dir: Location<'a>,
    /// The agent's path.
    pub agent: &'a [u8],
    /// The agent's arguments: the words after ` -- `.
    pub arguments: Words<'a>,
    /// The least important level that is logged.
    pub log: LevelFilter,
    /// Whether a parameter that can't be applied is a failure.
    pub strict: bool,
    /// The number of modules that are loaded at once.
    pub jobs: Jobs,
    /// Whether the files of loaded modules stay in an initramfs.
    pub keep_modules: bool,
    /// Whether loading modules is disabled before the agent starts.
    pub lock_modules: bool,
    /// The time within which the agent must be started. Zero: there is no deadline.
    pub deadline: Duration,
    /// The command line up to ` -- `. It holds the words for the kernel and for modules, such as `root=` and
    /// `module.parameter=value`.
    pub command_line: &'a [u8],
}

/// The number of modules that are loaded at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// A number from 1 to [`MOST_JOBS`]. With 1, the modules are loaded in the order of the plan.
    Number(usize),
    /// The number of CPUs, but at most [`MOST_JOBS`].
    Auto,
}

/// A file with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListFile<'a> {
    /// The file's location.
    pub location: Location<'a>,
    /// The number of entries that the command line itself has before the file.
    pub after: usize,
}

impl<'a> Request<'a> {
    /// The request of an empty command line.
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

    /// Reads a kernel command line, and adds every mistake to `report`.
    ///
    /// A key with a bad value keeps its default, a repeated key has its last value, and all others have theirs. So the
    /// log level and the deadline hold while the mistakes are reported.
    ///
    /// Failures: [`Code::UnknownKey`], [`Code::RepeatedKey`], [`Code::BadValue`], [`Code::UnbalancedQuote`],
    /// [`Code::BadEntry`], [`Code::TooMany`].
    pub fn parse(line: &'a [u8], report: &mut Report<'_>) -> Self {
        let mut request = Self::new();
        request.read(line, report);
        request
    }

    /// The same in place, because a request has room for all entries and is too large to be moved.
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

    /// Inserts the entries of the files, each at its place among the entries of the command line. `texts` are the
    /// contents of [`Self::files`], in the same order. Mistakes are added to `report`.
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

/// A command line that is being read.
struct Parser<'p, 'a, 't> {
    request: &'p mut Request<'a>,
    report: &'p mut Report<'t>,
    /// Which keys occurred already, in the order of `KEYS`.
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

    /// Reads a word if its name is `guest_init.KEY`, with `-` equal to `_` as in the kernel. Other words are ignored.
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

    /// Reports an open quote. The rest of the line belongs to its word, so a key there would be lost in silence.
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

/// How often a key may occur.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Any,
    Once,
}

/// A key: its name, how often it may occur, and the function that reads its value or returns the mistake.
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

/// Reads a number of digits alone, without a sign or blanks.
fn number<T: FromStr>(value: &[u8]) -> Option<T> {
    str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// The names of all keys, without their prefix.
pub fn keys() -> impl Iterator<Item = &'static str> {
    Parser::KEYS.iter().map(|(name, ..)| *name)
}
