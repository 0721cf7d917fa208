//! The agent's arguments as a value.

use std::ffi::OsString;

/// The whole request.
#[derive(Debug, Default, PartialEq)]
pub struct Request {
    pub actions: Vec<Action>,
    pub quiet: bool,
    pub end: End,
}

/// An action before the report.
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
    Vsock {
        cid: u32,
        port: u32,
        line: OsString,
    },
    Reap,
    /// An option whose operands are missing, or are no numbers in range.
    Malformed {
        option: OsString,
    },
}

/// The way to end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum End {
    #[default]
    PowerOff,
    Restart,
    Exit(u8),
}

impl Request {
    /// Parses argv, whose first word is the program's name. Unknown words are ignored, because a command line may have
    /// arguments that only the report shows.
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

    /// Takes one option, and its operands from `words`. `None`: the operands are malformed.
    fn understand(&mut self, option: &OsString, words: &mut impl Iterator<Item = OsString>) -> Option<()> {
        match option.to_str().unwrap_or_default() {
            "--quiet" => self.quiet = true,
            "--reboot" => self.end = End::Restart,
            "--exit" => self.end = End::Exit(number(words)?),
            "--exec" => self.actions.push(Action::Exec {
                program: words.next()?,
                // Other options may follow behind a `;`, as for find(1).
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
            "--vsock" => {
                self.actions.push(Action::Vsock { cid: number(words)?, port: number(words)?, line: words.next()? })
            }
            "--reap" => self.actions.push(Action::Reap),
            "--cat" => self.actions.push(Action::Cat { path: words.next()? }),
            _ => {}
        }
        Some(())
    }
}

/// The next word as a decimal number in range.
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
    fn actions_keep_their_order_and_unknown_words_are_ignored() {
        let request = parse("/sbin/agent hello --exec /bin/p -q --cat ; --socket 40 1 0 --quiet --reboot");
        let exec = Action::Exec { program: "/bin/p".into(), arguments: vec!["-q".into(), "--cat".into()] };
        let socket = Action::Socket { family: 40, kind: 1, protocol: 0 };
        assert_eq!(request, Request { actions: vec![exec, socket], quiet: true, end: End::Restart });
    }

    #[test]
    fn an_option_without_its_operands_is_malformed() {
        let request = parse("agent --exit 256 --mount ext4 none");
        let named = |option: &str| Action::Malformed { option: option.into() };
        assert_eq!(request.actions, [named("--exit"), named("--mount")]);
        assert_eq!(request.end, End::PowerOff);
    }

    #[test]
    fn of_two_ends_the_last_one_counts() {
        assert_eq!(parse("agent --reboot --exit 7").end, End::Exit(7));
    }
}
