//! The install commands of modprobe.d, as far as they are understood without a shell (MODPROBE.md 12.7).
//!
//! A command is understood if it consists of calls of modprobe, `true`, `:` and `false`, joined by `;`, `&&`, `||` and
//! `{ ...; }`. Other programs may follow a call behind `;` or `&&`, if no further call depends on their exit status.
//! They are passed over.
//!
//! ```text
//! modprobe -i nvidia-current $CMDLINE_OPTS
//! /sbin/modprobe -i snd $CMDLINE_OPTS && { /sbin/modprobe -q snd-seq; : ; }
//! /sbin/modprobe --ignore-install sunrpc $CMDLINE_OPTS && /sbin/sysctl -q --system
//! ```
//!
//! The text is the only form of a command. Each question about it is answered by running it as a shell would, with some
//! calls that fail.

use crate::request::name::Name;

/// The word that libkmod replaces by the parameters of the module (MODPROBE.md 5.6).
const PARAMETERS: &[u8] = b"$CMDLINE_OPTS";
/// The options of a call that are understood.
const OPTIONS: [[&[u8]; 2]; 3] = [[b"-i", b"--ignore-install"], [b"-b", b"--use-blacklist"], [b"-q", b"--quiet"]];
/// The number of calls that a command may have.
const MOST_CALLS: u8 = CallSet::BITS as u8;
/// How deep `{` may be nested.
const DEEPEST: u8 = 8;

/// The meaning of an install command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `true` or `:`: the module is left out.
    LeavesOut,
    /// `false`: the module is refused.
    Refuses,
    /// Calls of modprobe.
    Calls(Calls<'a>),
    /// A shell is needed.
    Unclear,
}

/// A command that consists of calls of modprobe. The first call has the number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls<'a> {
    text: &'a [u8],
    /// The number of calls.
    pub count: u8,
    /// Whether a call takes the parameters of the module that the command is for.
    pub take_parameters: bool,
    /// The first program that is passed over, with its arguments.
    pub passed_over: Option<&'a [u8]>,
}

/// A set of calls: the bit of a call's number is 1 if the call is in the set.
pub type CallSet = u32;

/// A call of modprobe for one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    text: &'a [u8],
    /// The name or alias of the module.
    pub name: &'a [u8],
    /// `-i`: the module's own install command and soft dependencies are passed over.
    pub ignore_install: bool,
    /// `-b`: the blacklist counts for names as well.
    pub use_blacklist: bool,
}

/// A parameter of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument<'a> {
    /// A parameter as it is written.
    Written(&'a [u8]),
    /// `$CMDLINE_OPTS`: all parameters of the module that the command is for.
    Parameters,
}

impl<'a> Command<'a> {
    /// Reads a command.
    ///
    /// ```
    /// use guest_init::resolve::command::Command;
    ///
    /// let Command::Calls(calls) = Command::read(b"modprobe -i nvidia-current $CMDLINE_OPTS") else { panic!() };
    /// assert_eq!(calls.get(0).unwrap().name, b"nvidia-current");
    /// assert_eq!(Command::read(b"/bin/true"), Command::LeavesOut);
    /// assert_eq!(Command::read(b"insmod /x.ko"), Command::Unclear);
    /// ```
    pub fn read(text: &'a [u8]) -> Self {
        let Some(Run { succeeds, count, take_parameters, passed_over, .. }) = Shell::run(text, 0, 0) else {
            return Self::Unclear;
        };
        match (succeeds, count) {
            (true, 0) => Self::LeavesOut,
            (true, _) => Self::Calls(Calls { text, count, take_parameters, passed_over }),
            (false, _) => Self::Refuses,
        }
    }
}

impl<'a> Calls<'a> {
    /// A call by its number.
    pub fn get(&self, number: u8) -> Option<Call<'a>> {
        Shell::run(self.text, 0, number)?.call
    }

    /// The calls that the shell comes to, if the calls in `failed` fail.
    pub fn reached(&self, failed: CallSet) -> CallSet {
        Shell::run(self.text, failed, 0).map_or(0, |run| run.reached)
    }

    /// Whether the command fails, if the calls in `failed` fail.
    pub fn fails(&self, failed: CallSet) -> bool {
        Shell::run(self.text, failed, 0).is_none_or(|run| !run.succeeds)
    }
}

impl<'a> Call<'a> {
    /// Reads a call. `text` begins behind the program's name. `None`: it has an option or a word that is not understood.
    fn read(text: &'a [u8]) -> Option<Self> {
        let mut call = Self { text, name: b"", ignore_install: false, use_blacklist: false };
        for word in
            Words(text).take_while(|word| *word != b"--").filter(|word| word.len() > 1 && word.starts_with(b"-"))
        {
            match OPTIONS.iter().position(|names| names.contains(&word))? {
                0 => call.ignore_install = true,
                1 => call.use_blacklist = true,
                _ => {}
            }
        }
        let mut operands = call.operands();
        call.name = operands.next().filter(|name| Name::new(name).is_ok())?;
        operands.all(|word| word == PARAMETERS || is_plain(word)).then_some(call)
    }

    /// The module's name and the parameters.
    const fn operands(&self) -> Operands<'a> {
        Operands { words: Words(self.text), ended: false }
    }

    /// The parameters of the call.
    pub fn arguments(&self) -> impl Iterator<Item = Argument<'a>> + use<'a> {
        self.operands().skip(1).map(|word| match word {
            PARAMETERS => Argument::Parameters,
            word => Argument::Written(word),
        })
    }

    /// Whether the call takes the parameters of the module that its command is for.
    pub fn takes_parameters(&self) -> bool {
        self.arguments().any(|argument| argument == Argument::Parameters)
    }
}

/// The words of a simple command, without redirections to /dev/null and between stdout and stderr.
#[derive(Clone)]
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let start = self.0.iter().position(|&b| !is_blank(b))?;
            let text = self.0.get(start..)?;
            let end = text.iter().position(|&b| is_blank(b)).unwrap_or(text.len());
            let (word, rest) = text.split_at_checked(end)?;
            self.0 = rest;
            match redirection(word) {
                Some(b"/dev/null" | b"&1" | b"&2") => {}
                Some(b"") => {
                    let mut behind = self.clone();
                    if behind.next() != Some(b"/dev/null") {
                        return Some(word);
                    }
                    *self = behind;
                }
                _ => return Some(word),
            }
        }
    }
}

/// The words of a call that are no options: the module's name and parameters.
struct Operands<'a> {
    words: Words<'a>,
    /// Whether `--` came before.
    ended: bool,
}

impl<'a> Iterator for Operands<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            match self.words.next()? {
                b"--" if !self.ended => self.ended = true,
                [b'-', _, ..] if !self.ended => {}
                word => return Some(word),
            }
        }
    }
}

/// The target of a redirection: the text behind `>`, `>>`, `<`, `2>` or `&>`. `None`: the word is no redirection.
fn redirection(word: &[u8]) -> Option<&[u8]> {
    let word =
        word.strip_prefix(b"1").or_else(|| word.strip_prefix(b"2")).or_else(|| word.strip_prefix(b"&")).unwrap_or(word);
    let target = word.strip_prefix(b">").or_else(|| word.strip_prefix(b"<"))?;
    Some(target.strip_prefix(b">").unwrap_or(target))
}

/// Whether a word means itself to a shell.
fn is_plain(word: &[u8]) -> bool {
    word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:=,+@%^".contains(byte))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

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
struct Run<'a> {
    succeeds: bool,
    /// The number of calls in the text.
    count: u8,
    /// The calls that the shell came to.
    reached: CallSet,
    /// The call that was asked for.
    call: Option<Call<'a>>,
    take_parameters: bool,
    /// The first program that is passed over.
    passed_over: Option<&'a [u8]>,
}

/// A run of a command, as sh(1) runs it.
struct Shell<'a> {
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
    /// Runs a command in which the calls in `failed` fail. The outcome has the call with the number `wanted`. `None`: the
    /// command is not understood.
    fn run(text: &'a [u8], failed: CallSet, wanted: u8) -> Option<Run<'a>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// The names that a command loads.
    fn names(command: &str) -> Vec<String> {
        let Command::Calls(calls) = Command::read(command.as_bytes()) else { panic!("{command}") };
        (0..calls.count).map(|number| text(calls.get(number).unwrap().name)).collect()
    }

    /// The names that a shell comes to and whether the command fails, if the calls of these names fail.
    fn outcome(command: &str, failing: &[&str]) -> (Vec<String>, bool) {
        let Command::Calls(calls) = Command::read(command.as_bytes()) else { panic!("{command}") };
        let names = names(command);
        let set = |number: usize| CallSet::from(failing.contains(&names[number].as_str())) << number;
        let failed = (0..names.len()).map(set).sum();
        let reached = (0..names.len()).filter(|number| calls.reached(failed) >> number & 1 == 1);
        (reached.map(|number| names[number].clone()).collect(), calls.fails(failed))
    }

    #[test]
    fn true_and_false_are_no_calls() {
        for command in ["/bin/true", " true ", ":", "/usr/bin/true >/dev/null", "{ :; }"] {
            assert_eq!(Command::read(command.as_bytes()), Command::LeavesOut, "{command}");
        }
        for command in ["/bin/false", "false ", "true; false", "modprobe a; false"] {
            assert_eq!(Command::read(command.as_bytes()), Command::Refuses, "{command}");
        }
    }

    #[test]
    fn a_call_has_a_name_options_and_parameters() {
        let command = b"/usr/sbin/modprobe -q --ignore-install -b a-b x=1 $CMDLINE_OPTS y >/dev/null 2>&1";
        let Command::Calls(calls) = Command::read(command) else { panic!() };
        let call = calls.get(0).unwrap();
        assert_eq!((call.name, call.ignore_install, call.use_blacklist), (&b"a-b"[..], true, true));
        let expected = [Argument::Written(b"x=1"), Argument::Parameters, Argument::Written(b"y")];
        assert_eq!(call.arguments().collect::<Vec<_>>(), expected);
        assert!(calls.take_parameters && calls.get(1).is_none());
        let Command::Calls(calls) = Command::read(b"modprobe a -i 2> /dev/null -- x") else { panic!() };
        let call = calls.get(0).unwrap();
        assert!(call.ignore_install && !calls.take_parameters);
        assert_eq!(call.arguments().collect::<Vec<_>>(), [Argument::Written(b"x")]);
    }

    #[test]
    fn calls_succeed_and_fail_as_in_a_shell() {
        for (command, failing, reached, fails) in [
            ("modprobe a; modprobe b", &["a"][..], &["a", "b"][..], false),
            ("modprobe a; modprobe b", &["b"], &["a", "b"], true),
            ("modprobe a && modprobe b", &["a"], &["a"], true),
            ("modprobe a||modprobe b", &[], &["a"], false),
            ("modprobe a || modprobe b", &["a"], &["a", "b"], false),
            ("modprobe a || modprobe b", &["a", "b"], &["a", "b"], true),
            ("modprobe a || /bin/true", &["a"], &["a"], false),
            ("modprobe a || false", &["a"], &["a"], true),
            ("modprobe a && { modprobe b; modprobe c; :; }", &["b"], &["a", "b", "c"], false),
            ("modprobe a && { modprobe b; modprobe c; :; }", &["a"], &["a"], true),
            ("{ modprobe a && modprobe b ; } || modprobe c && modprobe d;", &["b"], &["a", "b", "c", "d"], false),
            ("{ modprobe a; } && { modprobe b; }", &["a"], &["a"], true),
        ] {
            let (names, failed) = outcome(command, failing);
            assert_eq!(
                (names.iter().map(String::as_str).collect::<Vec<_>>(), failed),
                (reached.to_vec(), fails),
                "{command}"
            );
        }
    }

    #[test]
    fn programs_behind_a_call_are_passed_over() {
        for (command, expected) in [
            ("modprobe -i a && /sbin/sysctl -q 'a;b' --system", "/sbin/sysctl -q 'a;b' --system"),
            ("modprobe a; sleep 0.5; modprobe b; echo x >/dev/kmsg", "sleep 0.5"),
            ("modprobe a && { logger a | cat; modprobe b; } || true", "logger a | cat"),
        ] {
            let Command::Calls(calls) = Command::read(command.as_bytes()) else { panic!("{command}") };
            assert_eq!(calls.passed_over.map(text).as_deref(), Some(expected));
            assert!(calls.fails(1 << (calls.count - 1)) != command.ends_with("true"), "{command}");
        }
    }

    #[test]
    fn what_decides_about_a_load_is_not_understood() {
        for command in [
            "",
            "#",
            "sh -c x",
            "insmod /x.ko",
            "echo $CMDLINE_OPTS | sh",
            "test -e /x && modprobe a",
            "sleep 1; modprobe a",
            "modprobe a || logger failed",
            "modprobe a && test -e /x && modprobe b",
            "{ modprobe a; test -e /x; } && modprobe b",
            "modprobe a; test -e /x || { modprobe b; }",
            "modprobe a; if true; then modprobe b; fi",
            "modprobe a && env modprobe b",
            "modprobe a | modprobe b",
            "modprobe a &",
            "(modprobe a)",
            "modprobe `cat /x`",
            "modprobe $(cat /x)",
            "modprobe $NAME",
            "modprobe a x=\"y z\"",
            "modprobe a >/x",
            "modprobe a > /x",
            "modprobe -r a",
            "modprobe -v a",
            "modprobe --first-time a",
            "modprobe -C /x a",
            "modprobe -a a b",
            "modprobe",
            "modprobe a;; modprobe b",
            "modprobe a && ",
            "{ modprobe a; ",
            "modprobe a; }",
            "modprobe 'a",
        ] {
            assert_eq!(Command::read(command.as_bytes()), Command::Unclear, "{command}");
        }
        let deep = std::format!("{}modprobe a; {}", "{ ".repeat(9), "};".repeat(9));
        assert_eq!(Command::read(deep.as_bytes()), Command::Unclear);
        assert_eq!(Command::read("modprobe a;".repeat(33).as_bytes()), Command::Unclear);
        assert_eq!(names(&"modprobe a;".repeat(32)).len(), 32);
    }
}
