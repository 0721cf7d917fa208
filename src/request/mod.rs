//! What was asked: the kernel command line, read once, and the module lists it holds.
//!
//! Pure: bytes in, a [`Request`] or all of its [`Failures`] out.

pub mod list;
pub mod name;
pub mod words;

use log::LevelFilter;

use crate::failure::{Code, Failure, Failures};
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
    /// The words before ` -- `: the kernel's own, and `module.parameter=value`.
    pub command_line: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads a kernel command line.
    ///
    /// Failures: [`Code::UnknownKey`], [`Code::RepeatedKey`], [`Code::BadValue`], [`Code::UnbalancedQuote`],
    /// [`Code::BadEntry`], [`Code::TooMany`]; all of them, not just the first.
    pub fn parse(line: &'a [u8]) -> Result<Self, Failures> {
        let mut parser = Parser { entries: heapless::Vec::new(), agent: None, log: None, failures: None };
        let mut rest = words(line);
        let mut command_line = line;
        for word in rest.by_ref() {
            if word.is_end() {
                let before = word.raw.as_ptr().addr() - line.as_ptr().addr();
                command_line = line.get(..before).unwrap_or_default();
                break;
            }
            parser.word(&word);
        }
        parser.arguments(rest.clone());
        match parser.failures {
            Some(failures) => Err(failures),
            None => Ok(Self {
                entries: parser.entries,
                agent: parser.agent.unwrap_or(DEFAULT_AGENT),
                arguments: rest,
                log: parser.log.unwrap_or(LevelFilter::Info),
                command_line,
            }),
        }
    }
}

struct Parser<'a> {
    entries: heapless::Vec<Entry<'a>, MOST_ENTRIES>,
    agent: Option<&'a [u8]>,
    log: Option<LevelFilter>,
    failures: Option<Failures>,
}

impl<'a> Parser<'a> {
    const KEYS: [(&'static str, Take<'a>); 3] =
        [("modules", Self::modules), ("agent", Self::agent), ("log", Self::log)];

    /// Takes a word if its name is `guest_init.KEY`, as to the kernel with `-` = `_`; others are not ours.
    fn word(&mut self, word: &Word<'a>) {
        if !word.closed {
            self.unbalanced(word);
        }
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
            self.fail(Failure::new(code, Shown(word.raw), reason));
        }
    }

    fn fail(&mut self, failure: Failure) {
        Failures::gather(&mut self.failures, failure);
    }

    /// An open quote swallows what follows; a key in there would be lost without a word.
    fn unbalanced(&mut self, word: &Word<'a>) {
        self.fail(Failure::new(Code::UnbalancedQuote, Shown(word.raw), "a quote opens here and never closes"));
    }

    fn modules(&mut self, value: &'a [u8]) -> Taken {
        list::read(value, "guest_init.modules", &mut |entry| match entry {
            Ok(entry) if self.entries.push(entry).is_err() => {
                self.fail(Failure::new(Code::TooMany, entry.name, "a VM takes at most 512 entries"));
            }
            Ok(_) => {}
            Err(failure) => self.fail(failure),
        });
        Ok(())
    }

    fn agent(&mut self, value: &'a [u8]) -> Taken {
        if value.first() != Some(&b'/') {
            return Err((Code::BadValue, "the agent is a path that begins with `/`"));
        }
        once(&mut self.agent, value)
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

    /// The agent's own words: nothing to read in them, but an open quote is a mistake here as well.
    fn arguments(&mut self, words: Words<'a>) {
        if let Some(word) = words.clone().find(|word| !word.closed) {
            self.unbalanced(&word);
        }
    }
}

/// Takes a key's value, or says what is wrong with it.
type Take<'a> = fn(&mut Parser<'a>, &'a [u8]) -> Taken;
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
