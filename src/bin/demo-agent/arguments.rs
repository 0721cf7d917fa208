//! What the agent was asked to do: its arguments as a value. Pure; `actions` and `main` do it.

use std::ffi::OsString;

/// The whole request, in the order of the arguments.
#[derive(Debug, Default, PartialEq)]
pub struct Request {
    pub actions: Vec<Action>,
    pub quiet: bool,
    pub end: End,
}

/// One thing to do before the report.
#[derive(Debug, PartialEq)]
pub enum Action {
    Exec {
        program: OsString,
        arguments: Vec<OsString>,
    },
    Finit {
        path: OsString,
    },
    Mount {
        kind: OsString,
        source: OsString,
        target: OsString,
    },
    Socket {
        family: u16,
        kind: u32,
        protocol: u32,
    },
    Cat {
        path: OsString,
    },
    /// An option of ours that lacks its operands or has one that is no number in range.
    Malformed {
        option: OsString,
    },
}

/// How it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum End {
    #[default]
    PowerOff,
    Restart,
    Exit(u8),
}

impl Request {
    /// Reads argv, whose first word is the program's name. Words that are no option of ours are
    /// passed over, since a command line may hold arguments that are there only to be shown.
    pub fn parse(arguments: &[OsString]) -> Request {
        let mut request = Request::default();
        let mut words = arguments.iter().skip(1).cloned();
        while let Some(option) = words.next() {
            if request.understand(&option, &mut words).is_none() {
                request.actions.push(Action::Malformed { option });
            }
        }
        request
    }

    /// Takes one option and its operands from `words`; None if those are malformed.
    fn understand(&mut self, option: &OsString, words: &mut impl Iterator<Item = OsString>) -> Option<()> {
        match option.to_str().unwrap_or_default() {
            "--quiet" => self.quiet = true,
            "--reboot" => self.end = End::Restart,
            "--exit" => self.end = End::Exit(number(words)?),
            "--exec" => self.actions.push(Action::Exec {
                program: words.next()?,
                // The `;` is find's convention: other options may follow.
                arguments: words.take_while(|word| word != ";").collect(),
            }),
            "--finit" => self.actions.push(Action::Finit { path: words.next()? }),
            "--mount" => {
                self.actions.push(Action::Mount { kind: words.next()?, source: words.next()?, target: words.next()? })
            }
            "--socket" => self.actions.push(Action::Socket {
                family: number(words)?,
                kind: number(words)?,
                protocol: number(words)?,
            }),
            "--cat" => self.actions.push(Action::Cat { path: words.next()? }),
            _ => {}
        }
        Some(())
    }
}

/// The next word as a decimal number that fits.
fn number<N: std::str::FromStr>(words: &mut impl Iterator<Item = OsString>) -> Option<N> {
    words.next()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Request {
        Request::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn actions_keep_their_order_and_other_words_mean_nothing() {
        let request = parse("/sbin/agent hello --exec /bin/p -q --cat ; --socket 40 1 0 --quiet --reboot");
        let exec = Action::Exec { program: "/bin/p".into(), arguments: vec!["-q".into(), "--cat".into()] };
        let socket = Action::Socket { family: 40, kind: 1, protocol: 0 };
        assert_eq!(request, Request { actions: vec![exec, socket], quiet: true, end: End::Restart });
    }

    #[test]
    fn an_option_without_its_operands_is_named() {
        let request = parse("agent --exit 256 --mount ext4 none");
        let named = |option: &str| Action::Malformed { option: option.into() };
        assert_eq!(request.actions, [named("--exit"), named("--mount")]);
        assert_eq!(request.end, End::PowerOff);
    }

    #[test]
    fn the_end_named_last_counts() {
        assert_eq!(parse("agent --reboot --exit 7").end, End::Exit(7));
    }
}
