//! Random cases: the files of an image, and a call of modprobe in it.
//!
//! A case is plain, and has a few oddities besides. Some inputs are left out because guest-init differs from kmod on
//! purpose (MODPROBE.md 12, guest-init(8)):
//!
//! * 12.1: names of modprobe.blacklist= have no dash and no quote.
//! * 12.4: the trees have no text indexes.
//! * 12.6: no command line has ` -- `, or more than 4,095 bytes.
//! * No command line has the byte 0xa0, which ends a word for the kernel and for guest-init.

use std::fmt;

use super::world::{CONFIG, Content, Files, World};
use crate::cases::Maker;
use crate::differences::File;
use crate::kmod::Call;

/// The files of an image, and a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Case {
    /// The files.
    pub files: Files,
    /// The call.
    pub call: Call,
}

impl Case {
    /// The files, as `DIFFERENCES` takes them.
    pub fn texts(&self) -> Vec<File<'_>> {
        self.files.iter().map(|(path, content)| (&path[..], content.text())).collect()
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, content) in &self.files {
            write!(f, "{}", path.escape_ascii())?;
            match content {
                Content::Text(text) if path.ends_with(b".bin") => writeln!(f, ": an index of {} bytes", text.len())?,
                Content::Text(text) if text.len() > 4096 => writeln!(f, ": {} bytes", text.len())?,
                Content::Text(text) => writeln!(f, ": `{}`", text.escape_ascii())?,
                Content::Link(target) => writeln!(f, " -> {target}")?,
                Content::Directory => writeln!(f, "/")?,
            }
        }
        let Call { arguments, options, directory, pwd } = &self.call;
        let words: Vec<_> = arguments.iter().map(|word| format!("'{}'", word.escape_ascii())).collect();
        write!(f, "modprobe {}", words.join(" "))?;
        if let Some(options) = options {
            write!(f, "   MODPROBE_OPTIONS='{}'", options.escape_ascii())?;
        }
        if directory.is_some() || pwd.is_some() {
            write!(f, "   in {directory:?}, PWD={pwd:?}")?;
        }
        writeln!(f)
    }
}

/// The files of a plain image with one of the trees.
pub fn image(world: &World, number: usize, maker: &mut Maker<'_>) -> Files {
    let mut files = world.tree_files(number);
    let release = rustix::system::uname().release().to_bytes().to_vec();
    files.push(([b"lib/modules/", &release[..]].concat(), Content::Link("1.0-small")));
    files.push(("image/lib/modules".into(), Content::Link("/lib/modules")));
    for directory in CONFIG.iter().chain(&["conf"]) {
        for name in FILES {
            if maker.random.percent(8) {
                let content = match maker.random.below(12) {
                    0 => Content::Link("/dev/null"),
                    1 => Content::Directory,
                    _ => Content::Text(plain(maker.file())),
                };
                files.push((format!("{directory}/{name}").into(), content));
            }
        }
    }
    let [_, line] = maker.command_line();
    files.push(("proc/cmdline".into(), Content::Text(line)));
    for name in &maker.tree.modules {
        if maker.random.percent(10) {
            let state = maker.random.pick(&["live\n", "live\n", "coming\n", "going\n"]);
            let path = format!("sys/module/{}/initstate", name.replace('-', "_"));
            files.push((path.into(), Content::Text(state.into())));
        }
    }
    files
}

/// A text without what is an oddity: CR, and `install` and `remove` lines for names with a dot.
fn plain(mut text: Vec<u8>) -> Vec<u8> {
    text.retain(|&byte| byte != b'\r');
    let is_plain = |line: &&[u8]| {
        let is_command = [&b"install"[..], b"remove"].iter().any(|word| line.trim_ascii_start().starts_with(word));
        !(is_command && line.contains(&b'.'))
    };
    text.split_inclusive(|&byte| byte == b'\n').filter(is_plain).flatten().copied().collect()
}

/// The names of configuration files.
const FILES: [&str; 9] =
    ["aa.conf", "m.conf", "modules.conf", "modules.t.conf", "zz.conf", ".hidden.conf", "x.txt", "-.conf", "no-end"];

/// The options that make sure that nothing is loaded. One of them is the first word of each call.
const DRY: [&str; 8] = ["-D", "--show-depends", "--sh", "-n", "--dry-run", "--dr", "-R", "--resolve-alias"];
/// The other options, short ones and bundles, and an operand that looks like one.
const SHORT: [&str; 17] = [
    "-q",
    "-v",
    "-vv",
    "-qv",
    "-b",
    "-i",
    "-a",
    "-s",
    "-D",
    "-R",
    "-n",
    "-Rn",
    "-bi",
    "-nq",
    "-aD",
    "-",
    "-S1.0-small",
];
/// The other options by their long names, which may be cut.
const LONG: [&str; 12] = [
    "--quiet",
    "--verbose",
    "--use-blacklist",
    "--ignore-install",
    "--first-time",
    "--all",
    "--syslog",
    "--show",
    "--show-depends",
    "--dry-run",
    "--resolve-alias",
    "--set-version=1.0-small",
];

/// An option. A long name may be cut anywhere, and so may be ambiguous.
fn option(maker: &mut Maker<'_>) -> Vec<u8> {
    if maker.random.percent(50) {
        return maker.random.pick(&SHORT).into();
    }
    let name = maker.random.pick(&LONG);
    let end = if maker.random.percent(50) { name.len() } else { 3 + maker.random.below(name.len() - 3) };
    // Without its value, --set-version would take the next word.
    let end = if name.contains('=') { name.len() } else { end };
    name[..end].into()
}

/// A value of MODPROBE_OPTIONS: options and a name, some of them in quotes. At most one word begins with a quote,
/// because from the second on kmod writes past the end of its array of words (prepend_options_from_env in
/// tools/modprobe.c).
fn variable(maker: &mut Maker<'_>) -> Vec<u8> {
    let (mut text, mut least) = (Vec::new(), 0);
    for _ in 0..maker.random.below(4) {
        let word = match maker.random.below(6) {
            0 => maker.name().into_bytes(),
            1 => b"-C/conf".to_vec(),
            _ => option(maker),
        };
        let (before, behind) = word.split_at(1 + maker.random.below(word.len()));
        let way = least + maker.random.below(8 - least);
        match way {
            0 => text.extend([b"'", &word[..], b"'"].concat()),
            1 => text.extend([b"\"", &word[..], b"\""].concat()),
            // A later quote would close this one, and what follows could be any option.
            2 => return [&text[..], b"\"", &word[..]].concat(),
            3 => text.extend([before, b"'", behind, b"'"].concat()),
            4 => text.extend([before, b"\"", behind, b"\""].concat()),
            _ => text.extend(word),
        }
        least = if way < 3 { 3 } else { least };
        text.extend_from_slice(maker.random.pick(&[" ", " ", " ", "  ", "\t"]).as_bytes());
    }
    if maker.random.percent(50) {
        text.pop();
    }
    text
}

/// Options with a path of configuration, each with its words.
const CONFIGS: [&[&str]; 9] = [
    &["-Cconf"],
    &["--config=conf"],
    &["-C/conf/aa.conf"],
    &["-C/nonexistent"],
    &["-C", "conf"],
    &["-C", "/conf/"],
    &["-C", "./conf/m.conf"],
    &["--con", "conf/m.conf"],
    &["--config", "/run/modprobe.d"],
];
/// Parameters, or names with `-a`.
const PARAMETERS: [&str; 9] = ["p=1", "q=a b", "r=\"c d\"", "s='e f'", "flag", "", "=", "t=u=v w", "--"];
/// A plain call.
pub fn call(maker: &mut Maker<'_>) -> Call {
    let mut groups: Vec<Vec<Vec<u8>>> = Vec::new();
    for _ in 0..maker.random.below(4) {
        groups.push(vec![option(maker)]);
    }
    if maker.random.percent(40) {
        let words = CONFIGS[maker.random.below(CONFIGS.len())];
        groups.push(words.iter().map(|&word| word.into()).collect());
    }
    let is_syslog = |group: &Vec<Vec<u8>>| group[0].starts_with(b"-s") || group[0].starts_with(b"--sy");
    let least = usize::from(groups.iter().any(is_syslog));
    let names = if maker.random.percent(70) { 1 } else { maker.random.below(4).max(least) };
    groups.extend((0..names).map(|_| vec![maker.name().into_bytes()]));
    for last in (1..groups.len()).rev() {
        groups.swap(last, maker.random.below(last + 1));
    }
    groups.extend((0..maker.random.below(3)).map(|_| vec![maker.random.pick(&PARAMETERS).into()]));
    let mut call = Call { arguments: vec![maker.random.pick(&DRY).into()], ..Call::default() };
    call.arguments.extend(groups.into_iter().flatten());
    call.options = maker.random.percent(15).then(|| variable(maker));
    call.directory = maker.random.percent(10).then(|| maker.random.pick(&["/", "/conf", "/image"]));
    call
}
