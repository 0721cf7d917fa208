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

mod shell;
mod words;

use crate::request::name::Name;
use shell::{Run, Shell};
use words::{Operands, Words, is_plain};

/// The word that libkmod replaces by the parameters of the module (MODPROBE.md 5.6).
const PARAMETERS: &[u8] = b"$CMDLINE_OPTS";
/// The options of a call that are understood.
const OPTIONS: [[&[u8]; 2]; 3] = [[b"-i", b"--ignore-install"], [b"-b", b"--use-blacklist"], [b"-q", b"--quiet"]];

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
    /// Reads a call. `text` begins behind the program's name. `None`: it has an option or a word that is not
    /// understood.
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
