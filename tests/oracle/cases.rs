//! Random configurations and kernel command lines in which the rules of modprobe.d meet, and random names to look up.
//!
//! Some inputs are left out because guest-init differs from libkmod 30 on purpose:
//!
//! * libkmod takes modprobe.blacklist= as it stands, so its copy of the command line has the blacklist without dashes
//!   and quotes. It also reads on behind ` -- `, so no command line has one.
//! * Three accidents of libkmod: a backslash at the end of a file is a byte 0xff, `install a.b` is `install a`, and
//!   some names that are no module's keep a dash in brackets.

use std::fmt;

use crate::support::random::Random;
use crate::support::small_tree::SmallTree;

/// Names that no tree has. Some of them mean something in a configuration.
const OTHERS: [&str; 9] = ["ghost", "virt-1", "virt_2", "any-a", "my-net", "x1", "b]ad", "any[ac]", "symbol:sym_3"];
/// Files of the configuration. Of two files with one name the first directory's counts, and modules.softdep is sorted
/// in among them.
const FILES: [&str; 8] =
    ["aa.conf", "m.conf", "modules.conf", "modules.t.conf", "zz.conf", ".hidden.conf", "x.txt", "-.conf"];

/// A configuration, a command line, and names to look up.
#[derive(Default)]
pub struct Case {
    /// The files: the directory (0 or 1), the name, the text.
    pub files: Vec<(usize, &'static str, Vec<u8>)>,
    /// The kernel command line.
    pub line: Vec<u8>,
    /// The command line that means the same to libkmod.
    pub oracle_line: Vec<u8>,
    /// The names to look up, with parameters.
    pub queries: Vec<(Vec<u8>, &'static str)>,
}

impl Case {
    /// A random case for a tree.
    pub fn new(tree: &SmallTree, random: &mut Random) -> Self {
        let mut maker = Maker { tree, random };
        let mut case = Self::default();
        for directory in [0, 1] {
            for name in FILES {
                if maker.random.percent(30) {
                    case.files.push((directory, name, maker.file()));
                }
            }
        }
        [case.line, case.oracle_line] = maker.command_line();
        for _ in 0..10 {
            let parameters = maker.random.pick(&["", "", "p=9", "q=\"a b\"  r", "p=1 p=2"]);
            case.queries.push((maker.name().into_bytes(), parameters));
        }
        case
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (directory, name, text) in &self.files {
            writeln!(f, "== {directory}/{name}")?;
            text.split_inclusive(|&b| b == b'\n').try_for_each(|line| writeln!(f, "{}", line.escape_ascii()))?;
        }
        writeln!(f, "== command line\n{}", self.line.escape_ascii())?;
        writeln!(f, "== and for libkmod\n{}", self.oracle_line.escape_ascii())
    }
}

/// Makes the parts of a case.
pub struct Maker<'m> {
    /// The tree whose names are used.
    pub tree: &'m SmallTree,
    /// The source of chance.
    pub random: &'m mut Random,
}

impl Maker<'_> {
    /// A kernel command line, and the one that means the same to libkmod.
    pub fn command_line(&mut self) -> [Vec<u8>; 2] {
        let mut lines = [Vec::new(), Vec::new()];
        for _ in 0..self.random.below(8) {
            let [word, oracle_word] = self.word();
            // An open quote swallows the rest of the line, so this is no blacklist.
            let open = lines[0].iter().filter(|&&b| b == b'"').count() % 2 == 1;
            let oracle_word = if open { word.clone() } else { oracle_word };
            let separator = self.random.pick(&[" ", " ", "  ", "\t", "\n", "\x0b"]);
            for (line, word) in lines.iter_mut().zip([word, oracle_word]) {
                line.extend_from_slice(word.as_bytes());
                line.extend_from_slice(separator.as_bytes());
            }
        }
        lines
    }

    /// The name of a module, of a built-in or of nothing, or a name that an alias matches.
    pub fn name(&mut self) -> String {
        let name = match self.random.below(20) {
            0..10 => self.random.pick(&self.tree.modules).to_string(),
            10..12 => self.random.pick(&self.tree.built_in).to_string(),
            12..15 => self.random.pick(&OTHERS).to_string(),
            _ if self.tree.aliases.is_empty() => "e1".to_string(),
            _ => {
                let alias = self.random.below(self.tree.aliases.len());
                let name = matching(self.tree.aliases[alias].as_bytes(), self.random);
                String::from_utf8(name).expect("ASCII")
            }
        };
        self.spelled(&name)
    }

    /// The name with some `-` and `_` exchanged.
    fn spelled(&mut self, name: &str) -> String {
        let other = |c| match c {
            '-' if self.random.percent(20) => '_',
            '_' if self.random.percent(20) => '-',
            c => c,
        };
        name.chars().map(other).collect()
    }

    /// A name, or a pattern that may match it.
    pub fn pattern(&mut self) -> String {
        let name = self.name();
        let at = self.random.below(name.len());
        let (before, after) = name.split_at(at);
        let (one, rest) = after.split_at(1);
        match self.random.below(24) {
            0 => format!("{before}*"),
            1 => format!("{before}?{rest}"),
            2 => format!("{before}[{one}]{rest}"),
            3 => format!("{before}[!{one}]{rest}"),
            4 => format!("{before}[^x-z]{rest}"),
            5 => format!("{before}[a-n1_-]*"),
            6 => format!("*{rest}"),
            7 => format!("{before}[{rest}"),
            8 => format!("{before}\\\\{after}"),
            9 => format!("{before}[[:alpha:]]{rest}"),
            10 => format!("*{one}*"),
            _ => name,
        }
    }

    /// The text of a configuration file.
    pub fn file(&mut self) -> Vec<u8> {
        let mut text = String::new();
        for _ in 0..self.random.below(7) {
            text += &self.line();
            text += self.random.pick(&["\n", "\n", "\n", "\n", "\r\n", "\n\n", " \n", "\\\n"]);
        }
        if self.random.percent(20) {
            text += &self.line();
        }
        if self.random.percent(20) {
            let at = self.random.below(text.len() + 1);
            text.insert_str(at, self.random.pick(&["\\", "\\\n", "\t", "\r", "\x0b"]));
        }
        if text.ends_with('\\') {
            text.push('\n');
        }
        text.into_bytes()
    }

    pub fn line(&mut self) -> String {
        let words = match self.random.below(32) {
            0..5 => vec!["alias".to_string(), self.pattern(), self.name()],
            5..8 => vec!["blacklist".to_string(), self.name()],
            8..14 => vec!["options".to_string(), self.name(), self.options()],
            14..18 => vec!["install".to_string(), self.pattern(), self.command()],
            18 => vec!["remove".to_string(), self.pattern(), self.command()],
            19..28 => vec!["softdep".to_string(), self.pattern(), self.softdeps()],
            28 => vec!["weakdep".to_string(), self.name(), self.name()],
            29 => vec![format!("#alias {} {}", self.name(), self.name())],
            30 => vec![self.random.pick(&["alias", "options", "junk", "include", "softdep", ""]).to_string()],
            _ => vec![self.random.pick(&["alias", "install", "options", "softdep"]).to_string(), self.name()],
        };
        let mut line = self.random.pick(&["", "", "", "", " ", "\t"]).to_string();
        for word in words {
            line += &word;
            line += self.blank();
        }
        if self.random.percent(80) { line.trim_end_matches(' ').to_string() } else { line }
    }

    fn blank(&mut self) -> &'static str {
        self.random.pick(&[" ", " ", " ", " ", " ", "\t", "  ", "   ", " \t"])
    }

    fn options(&mut self) -> String {
        let options = ["p=1", "p=2", "q=\"a b\"", "q=a\tb", "flag", "r=\"a\t b\"  s=3", "t='x y'", "=", "#u=1"];
        let (a, b) = (self.random.pick(&options), self.random.pick(&options));
        if self.random.percent(60) { a.to_string() } else { a.to_string() + self.blank() + b }
    }

    fn command(&mut self) -> String {
        self.random.pick(&["/bin/true", "/bin/false", "/bin/false ", "echo  $CMDLINE_OPTS\tx", "#"]).to_string()
    }

    fn softdeps(&mut self) -> String {
        let mut words = String::new();
        for _ in 0..self.random.below(7) {
            let name = self.name();
            words += match self.random.below(10) {
                0..4 => "pre:",
                4..6 => "post:",
                6 => self.random.pick(&["pre:e1", "pre", ":", "PRE:", "post:pre:"]),
                _ => &name,
            };
            words += self.random.pick(&[" ", " ", " ", "  ", "\t", "\r", "\x0b "]);
            words += &self.name();
            words += self.blank();
        }
        words
    }

    /// A word of the kernel command line, and the word that means the same to libkmod.
    fn word(&mut self) -> [String; 2] {
        let (name, value) = (self.name(), self.value());
        let word = match self.random.below(20) {
            0..7 => format!("{name}.p={value}"),
            7 => format!("{name}.flag"),
            8 => format!("\"{name}.q=a {value}\""),
            9 => format!("\"{name}.q={value}\"{value}"),
            10 => format!("{name}."),
            11 => format!("{name}.a.b={value}"),
            12 => format!("{name}={value}.x"),
            13 => format!("\"{name}.flag\""),
            14 => format!("{name}.\"p\"={value}"),
            15 => {
                self.random.pick(&["\"", "=", ".", ".p=1", "\"\"", "quiet", "root=/dev/vda1", "a\"b c\"d"]).to_string()
            }
            16 => "modprobe.blacklist".to_string(),
            _ => return self.blacklist(),
        };
        [word.clone(), word]
    }

    fn value(&mut self) -> &'static str {
        let values = ["1", "2", "", "\"a b\"", "a\"b c\"d", "x.y", "a=b", "'a", "\"\"", "\"a\"b", "-5", "\""];
        // The last value is an open quote, which swallows the rest of the line.
        let end = if self.random.percent(10) { values.len() } else { values.len() - 1 };
        self.random.pick(&values[..end])
    }

    fn blacklist(&mut self) -> [String; 2] {
        let names: Vec<_> = (0..=self.random.below(3)).map(|_| self.name()).collect();
        let names = names.join(self.random.pick(&[",", ",", ",,"]));
        let word = match self.random.below(4) {
            0 => format!("modprobe.blacklist=\"{names}\""),
            1 => format!("\"modprobe.blacklist={names}\""),
            _ => format!("modprobe.blacklist={names}"),
        };
        [word, format!("modprobe.blacklist={}", names.replace('-', "_"))]
    }
}

/// A random name that this pattern matches.
pub fn matching(pattern: &[u8], random: &mut Random) -> Vec<u8> {
    let mut name = Vec::new();
    let mut rest = pattern;
    while let Some((&byte, mut behind)) = rest.split_first() {
        match byte {
            b'*' => {
                let samples = ["0", "A7", "x-y", "z_", "00001AF4", ""];
                // A name must begin with something.
                let end = if name.is_empty() { samples.len() - 1 } else { samples.len() };
                name.extend_from_slice(random.pick(&samples[..end]).as_bytes());
            }
            b'?' => name.extend_from_slice(random.pick(&["a", "7", "F"]).as_bytes()),
            b'[' => {
                let end = behind.iter().position(|&b| b == b']').expect("a closed bracket");
                name.push(member(&behind[..end], random));
                behind = &behind[end + 1..];
            }
            byte => name.push(byte),
        }
        rest = behind;
    }
    name
}

/// A letter or digit in a bracket expression.
fn member(set: &[u8], random: &mut Random) -> u8 {
    let (negated, set) = set.strip_prefix(b"!").map_or((false, set), |set| (true, set));
    let holds = |byte: &u8| {
        set.contains(byte) || set.windows(3).any(|range| range[1] == b'-' && (range[0]..=range[2]).contains(byte))
    };
    let members: Vec<_> = (b'0'..=b'z').filter(|byte| byte.is_ascii_alphanumeric() && holds(byte) != negated).collect();
    members[random.below(members.len())]
}
