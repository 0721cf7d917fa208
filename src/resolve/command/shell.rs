//! A run of a command: which calls a shell comes to, and how the command ends, if some of the calls fail.

use super::words::{Words, is_blank};
use super::{Call, CallSet};

/// The number of calls that a command may have.
const MOST_CALLS: u8 = CallSet::BITS as u8;
/// How deep `{` may be nested.
const DEEPEST: u8 = 8;

/// A simple command.
enum Part<'a> {
    Call(Call<'a>),
    True,
    False,
    /// A program that is passed over.
    Other(&'a [u8]),
}

/// The outcome of a run.
#[derive(Clone, Copy, Default)]
pub(super) struct Run<'a> {
    pub succeeds: bool,
    /// The number of calls in the text.
    pub count: u8,
    /// The calls that the shell came to.
    pub reached: CallSet,
    /// The call that was asked for.
    pub call: Option<Call<'a>>,
    pub take_parameters: bool,
    /// The first program that is passed over.
    pub passed_over: Option<&'a [u8]>,
}

/// A run of a command, as sh(1) runs it.
pub(super) struct Shell<'a> {
    rest: &'a [u8],
    /// The calls that fail.
    failed: CallSet,
    /// The number of the call that is asked for.
    wanted: u8,
    run: Run<'a>,
    /// Whether the exit status is that of a program that is passed over.
    is_guessed: bool,
}

impl<'a> Shell<'a> {
    /// Runs a command in which the calls in `failed` fail. The outcome has the call with the number `wanted`. `None`:
    /// the command is not understood.
    pub fn run(text: &'a [u8], failed: CallSet, wanted: u8) -> Option<Run<'a>> {
        let mut shell = Self { rest: text, failed, wanted, run: Run::default(), is_guessed: false };
        shell.run.succeeds = shell.list(true, true, 0)?;
        shell.rest.is_empty().then_some(shell.run)
    }

    /// Runs the lists between `;`, up to the end or to a `}`. `before` is the exit status so far. Returns the exit
    /// status, which a program that is passed over does not change.
    fn list(&mut self, is_reached: bool, before: bool, depth: u8) -> Option<bool> {
        let mut succeeds = self.and_or(is_reached, before, depth)?;
        while self.take(b";") {
            if self.rest.is_empty() || self.rest.starts_with(b"}") {
                break;
            }
            succeeds = self.and_or(is_reached, succeeds, depth)?;
        }
        Some(succeeds)
    }

    /// Runs a list with `&&` and `||` between its parts.
    fn and_or(&mut self, is_reached: bool, before: bool, depth: u8) -> Option<bool> {
        self.is_guessed = false;
        let mut succeeds = self.part(is_reached, before, depth, false)?;
        loop {
            let is_or = self.take(b"||");
            if !is_or && !self.take(b"&&") {
                return Some(succeeds);
            }
            let is_reached = is_reached && succeeds != is_or;
            succeeds = self.part(is_reached, succeeds, depth, is_or)?;
        }
    }

    /// Runs a simple command or a group. `is_or`: it stands behind `||`.
    fn part(&mut self, is_reached: bool, before: bool, depth: u8, is_or: bool) -> Option<bool> {
        self.skip_blanks();
        if let [b'{', blank, ..] = self.rest
            && is_blank(*blank)
        {
            if self.is_guessed || depth == DEEPEST {
                return None;
            }
            self.rest = self.rest.get(1..)?;
            let succeeds = self.list(is_reached, before, depth + 1)?;
            return self.take(b"}").then_some(succeeds);
        }
        let succeeds = match self.simple()? {
            Part::Call(call) => self.call(call, is_reached)?,
            Part::True => true,
            Part::False => false,
            Part::Other(_) if self.run.count == 0 || is_or => return None,
            Part::Other(text) => {
                self.is_guessed = true;
                self.run.passed_over = self.run.passed_over.or(Some(text));
                before
            }
        };
        Some(if is_reached { succeeds } else { before })
    }

    /// Runs a call. Returns whether it succeeds.
    fn call(&mut self, call: Call<'a>, is_reached: bool) -> Option<bool> {
        let number = self.run.count;
        if self.is_guessed || number == MOST_CALLS {
            return None;
        }
        let bit = 1 << number;
        self.run.count += 1;
        self.run.reached |= if is_reached { bit } else { 0 };
        self.run.take_parameters |= call.takes_parameters();
        if number == self.wanted {
            self.run.call = Some(call);
        }
        Some(self.failed & bit == 0)
    }

    /// Takes a simple command from the text.
    fn simple(&mut self) -> Option<Part<'a>> {
        let (text, rest) = self.rest.split_at_checked(end_of_simple(self.rest)?)?;
        self.rest = rest;
        let text = text.trim_ascii();
        let program = Words(text).next()?;
        let behind = text.get(program.as_ptr().addr() - text.as_ptr().addr() + program.len()..)?;
        match program.rsplit(|&b| b == b'/').next()? {
            b"modprobe" => Call::read(behind).map(Part::Call),
            b"true" | b":" => Some(Part::True),
            b"false" => Some(Part::False),
            _ if KEYWORDS.contains(&program) || LOADERS.iter().any(|name| contains(text, name)) => None,
            _ => Some(Part::Other(text)),
        }
    }

    /// Takes an operator from the text, if it comes next.
    fn take(&mut self, operator: &[u8]) -> bool {
        self.skip_blanks();
        let behind = self.rest.strip_prefix(operator);
        self.rest = behind.unwrap_or(self.rest);
        self.skip_blanks();
        behind.is_some()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}

/// The words that begin what only a shell understands, or that end it.
const KEYWORDS: [&[u8]; 9] = [b"if", b"for", b"while", b"until", b"case", b"!", b"{", b"}", b"exit"];
/// The programs that load modules. One that is not understood is not passed over.
const LOADERS: [&[u8]; 2] = [b"modprobe", b"insmod"];

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The length of the simple command at the beginning of a text, which ends at `;`, `&&` or `||`. `None`: it has
/// something that only a shell understands.
fn end_of_simple(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, &byte) in text.iter().enumerate() {
        let (before, behind) = (at.checked_sub(1).and_then(|at| text.get(at)), text.get(at + 1));
        match byte {
            _ if quote == Some(byte) => quote = None,
            b'`' | b'(' | b')' => return None,
            _ if quote.is_some() => {}
            b'"' | b'\'' => quote = Some(byte),
            b';' => return Some(at),
            b'&' | b'|' if behind == Some(&byte) => return Some(at),
            // Only in a redirection: a `&` elsewhere starts the command in the background.
            b'&' if before != Some(&b'>') && behind != Some(&b'>') => return None,
            _ => {}
        }
    }
    quote.is_none().then_some(text.len())
}
