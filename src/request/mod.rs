//! What was asked: the kernel command line, read once, and the module lists it holds.
//!
//! Pure: bytes in, a [`Request`] out, or a [`Report`] of all that is wrong with them.

pub mod list;
pub mod name;
pub mod words;

use log::LevelFilter;

use crate::failure::{Code, Failure, Report};
use crate::text::Shown;
use list::Entry;
use name::same;
use words::{Word, Words, words};

/// Most entries that all lists together may have.
pub const MOST_ENTRIES: usize = 512;
/// The agent where `guest_init.agent` names none.
pub const DEFAULT_AGENT: &[u8] = b"/sbin/agent";

/// What this VM was asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// The modules, in order.
    pub entries: heapless::Vec<Entry<'a>, MOST_ENTRIES>,
    /// The agent's path.
    pub agent: &'a [u8],
    /// What follows ` -- `, a word an argument.
    pub arguments: Words<'a>,
    /// How much is logged.
    pub log: LevelFilter,
    /// Whether a parameter that can't be applied is a failure.
    pub strict: bool,
    /// The words before ` -- `: the kernel's own, and `module.parameter=value`.
    pub command_line: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads a kernel command line. All that is wrong with it goes to `report`; what remains is then good for nothing.
    ///
    /// Failures: [`Code::UnknownKey`], [`Code::RepeatedKey`], [`Code::BadValue`], [`Code::UnbalancedQuote`],
    /// [`Code::BadEntry`], [`Code::TooMany`].
    pub fn parse(line: &'a [u8], report: &mut Report<'_>) -> Self {
        let mut words = words(line);
        let mut parser = Parser { report, entries: heapless::Vec::new(), agent: None, log: None, strict: None };
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
            agent: parser.agent.unwrap_or(DEFAULT_AGENT),
            arguments: words,
            log: parser.log.unwrap_or(LevelFilter::Info),
            strict: parser.strict.unwrap_or(false),
            command_line,
        }
    }
}

struct Parser<'a, 'r, 't> {
    report: &'r mut Report<'t>,
    entries: heapless::Vec<Entry<'a>, MOST_ENTRIES>,
    agent: Option<&'a [u8]>,
    log: Option<LevelFilter>,
    strict: Option<bool>,
}

impl<'a> Parser<'a, '_, '_> {
    const KEYS: [Key<Self, &'a [u8]>; 4] =
        [("modules", Self::modules), ("agent", Self::agent), ("strict", Self::strict), ("log", Self::log)];

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
        list::read(value, "guest_init.modules", &mut |entry| match entry {
            Ok(entry) if self.entries.push(entry).is_err() => {
                self.report.add(Failure::new(Code::TooMany, entry.name, "a VM takes at most 512 entries"));
            }
            Ok(_) => {}
            Err(failure) => self.report.add(failure),
        });
        Ok(())
    }

    fn agent(&mut self, value: &'a [u8]) -> Taken {
        if value.first() != Some(&b'/') {
            return Err((Code::BadValue, "the agent is a path that begins with `/`"));
        }
        once(&mut self.agent, value)
    }

    fn strict(&mut self, value: &'a [u8]) -> Taken {
        let strict = match value {
            b"0" => false,
            b"1" => true,
            _ => return Err((Code::BadValue, "0 or 1")),
        };
        once(&mut self.strict, strict)
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

const PREFIX: &[u8] = b"guest_init.";

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
