//! What images and calls have besides what is usual: damaged indexes, files of odd names, bytes that are no text.

use super::edit::{add, add_content, append, config, hidden_by_etc, index, index_of, insert, text_of};
use super::world::{CONFIG, Content, Files, TREE};
use crate::cases::Maker;
use crate::kmod::Call;

/// A kind of oddity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// No directory of modules for the release.
    NoTree,
    /// The kernel command line can't be read.
    NoCommandLine,
    /// The kernel command line holds odd bytes.
    OddCommandLine,
    /// An index is absent or empty.
    MissingIndex,
    /// The head of an index is wrong, or the index is cut off there.
    DamagedIndex,
    /// A key of more than 1,024 bytes in modules.alias.bin.
    LongKey,
    /// A file `*.alias` in modprobe.d.
    AliasFile,
    /// A link to nothing.
    DanglingLink,
    /// A file name that is not UTF-8.
    OddFileName,
    /// A file over 1 MiB.
    LargeFile,
    /// A backslash is the last byte of a file.
    LastBackslash,
    /// Bytes that are no printable ASCII, among them CR and NUL.
    OddBytes,
    /// A line of some thousand bytes.
    LongLine,
    /// An `install` or `remove` line for a name with a dot.
    Dots,
    /// Aliases with backslashes and brackets.
    Escapes,
    /// A modules.weakdep, and lines of that kind.
    Weakdeps,
    /// A name with UTF-8, control bytes, dots or brackets.
    OddName,
    /// A name that is a path.
    PathName,
    /// A relative `-d`, and a PWD that is right, wrong or by another name.
    RelativeRoot,
    /// A `-d` or `-S` that leads to no tree.
    OtherTree,
    /// An option that getopt does not know.
    UnknownOption,
    /// An option of bytes that are no printable ASCII.
    OddOption,
    /// `-s` without a name.
    OnlySyslog,
}

impl Oddity {
    /// All kinds.
    pub const ALL: [Self; 23] = [
        Self::NoTree,
        Self::NoCommandLine,
        Self::OddCommandLine,
        Self::MissingIndex,
        Self::DamagedIndex,
        Self::LongKey,
        Self::AliasFile,
        Self::DanglingLink,
        Self::OddFileName,
        Self::LargeFile,
        Self::LastBackslash,
        Self::OddBytes,
        Self::LongLine,
        Self::Dots,
        Self::Escapes,
        Self::Weakdeps,
        Self::OddName,
        Self::PathName,
        Self::RelativeRoot,
        Self::OtherTree,
        Self::UnknownOption,
        Self::OddOption,
        Self::OnlySyslog,
    ];

    /// Gives an image this oddity.
    pub fn of_files(self, files: &mut Files, maker: &mut Maker<'_>) {
        match self {
            Self::NoTree => files.retain(|(path, _)| !path.starts_with(b"lib/modules")),
            Self::NoCommandLine => files.retain(|(path, _)| path != b"proc/cmdline"),
            Self::OddCommandLine => {
                let pieces: [&[u8]; 7] = [b"\x01", b"\x7f", b"\xc3\xa4", b"\xff", b"\xc2\x80", b"\\", b"'"];
                insert(text_of(files, b"proc/cmdline"), &pieces, maker);
            }
            Self::MissingIndex => match maker.random.percent(50) {
                true => drop(index(files, maker).map(|at| files.remove(at))),
                false => {
                    if let Some(at) = index(files, maker) {
                        files[at].1 = Content::Text(Vec::new());
                    }
                }
            },
            Self::DamagedIndex => {
                let Some(at) = index(files, maker) else { return };
                let Content::Text(text) = &mut files[at].1 else { return };
                // MissingIndex may have emptied it.
                if text.is_empty() {
                    return;
                }
                match maker.random.below(3) {
                    0 => text.truncate([1, 4, 8, 9, 10, 11][maker.random.below(6)]),
                    1 => text[maker.random.below(8)] ^= 0x40,
                    _ => *text = b"this is no index, but a text".to_vec(),
                }
            }
            Self::LongKey => {
                let length = maker.random.below(3_000);
                let index = index_of([("*1", "a1"), (&format!("k{}*", "long".repeat(length / 4)), "mu")]);
                add_content(files, format!("{TREE}/modules.alias.bin").into(), Content::Text(index));
            }
            Self::AliasFile => add(files, maker, "old.alias"),
            Self::DanglingLink => {
                let directory = maker.random.pick(&CONFIG);
                let name = maker.random.pick(&["aa.conf", "m.conf", "nowhere.conf", "modules.softdep"]);
                let path = match hidden_by_etc(files, maker) {
                    Some(path) if maker.random.percent(60) => path,
                    _ => format!("{directory}/{name}").into(),
                };
                add_content(files, path, Content::Link("/nowhere"));
            }
            Self::OddFileName => {
                let names: [&[u8]; 5] = [b"m\xff.conf", b"\xc3\xa4.conf", b"a b.conf", b"\x01.conf", b"z\xc3.conf"];
                let name = names[maker.random.below(names.len())];
                let path = [maker.random.pick(&CONFIG).as_bytes(), b"/", name].concat();
                let text = maker.file();
                add_content(files, path, Content::Text(text));
            }
            Self::LargeFile => {
                add(files, maker, "large.conf");
                if let Some(text) = config(files, maker) {
                    let filler = b"# a comment that fills the file with some more bytes than it had\n".repeat(17_000);
                    text.splice(0..0, filler);
                }
            }
            Self::LastBackslash => {
                if let Some(text) = config(files, maker) {
                    text.push(b'\\');
                }
            }
            Self::OddBytes => {
                let pieces: [&[u8]; 10] =
                    [b"\r", b"\r\n", b"\0", b"\xff", b"\xc3\xa4", b"\x80", b"\x01", b"\x1b", b"\x7f", b"\x0c"];
                insert(config(files, maker), &pieces, maker);
            }
            Self::LongLine => {
                let length = maker.random.below(9_000);
                let name = maker.random.pick(&maker.tree.modules).to_string();
                let line = match maker.random.below(3) {
                    0 => format!("options {name} long={}\n", "x".repeat(length)),
                    1 => format!("options {name} {}\n", "a=1 \\\n".repeat(length / 10)),
                    _ => format!("install {name} /bin/true {}\n", "y ".repeat(length / 2)),
                };
                append(files, maker, line.as_bytes());
            }
            Self::Dots => {
                let name = maker.random.pick(&["virt.x", "e1.x", "mu.a.b", "core_b.c", ".x", "nu-x.", "."]);
                let line = match maker.random.below(3) {
                    0 => format!("install {name} /bin/true\noptions {name} p=1\n"),
                    1 => format!("remove {name} /bin/true\nsoftdep {name} pre: a1\n"),
                    _ => format!("install {name} /bin/false\noptions virt p=2\nsoftdep virt post: e1\n"),
                };
                append(files, maker, line.as_bytes());
            }
            Self::Escapes => {
                let line = maker.random.pick(&[
                    "alias a\\\\*b alpha\n",
                    "alias a\\*b e1\n",
                    "alias x1 a[0-9]b-c\n",
                    "alias x1 a-[b-c]\n",
                    "alias vi[rs]t-1 mu\n",
                    "alias virt[-]1 mu\n",
                    "alias virt[_-]2 a1\n",
                    "alias x[!0-9] a1\n",
                    "options a[b-c]d-e p=1\n",
                    "blacklist x[0-9]y-z\n",
                    "softdep x[0-9]y-z pre: a1\n",
                ]);
                append(files, maker, line.as_bytes());
            }
            Self::Weakdeps => {
                let line = format!("weakdep {} {}\n", maker.pattern(), maker.name());
                append(files, maker, line.as_bytes());
                add_content(files, format!("{TREE}/modules.weakdep").into(), Content::Text(line.into()));
            }
            _ => {}
        }
    }

    /// Gives a call this oddity.
    pub fn of_call(self, call: &mut Call, maker: &mut Maker<'_>) {
        let words = &mut call.arguments;
        let mut push = |word: &[u8]| words.push(word.to_vec());
        match self {
            Self::OddName => {
                let names: [&[u8]; 14] = [
                    b"virt.x",
                    b"mu.a.b",
                    b"e1.ko",
                    b"core_b.c",
                    b"n\xc3\xa4me",
                    b"n\xc3\xa4-me",
                    b"\xff",
                    b"x\ty",
                    b"a\\*b",
                    b"a\\b",
                    b"a]b",
                    b"a[b",
                    b"a[0-9]b-c",
                    b"",
                ];
                push(names[maker.random.below(names.len())]);
            }
            Self::PathName => {
                let names: [&[u8]; 7] = [
                    b"/lib/modules/1.0-small/kernel/e1.ko",
                    b"./lib/modules/1.0-small/kernel/a1.ko",
                    b"/trees/0/kernel/mu.ko",
                    b"/nowhere/e1.ko",
                    b"./e1.ko",
                    b"/conf",
                    b"kernel/e1.ko",
                ];
                push(names[maker.random.below(names.len())]);
            }
            Self::RelativeRoot => {
                push(b"-d");
                let roots: [&[u8]; 6] = [b"image", b".", b"..", b"./image", b"image/", b""];
                push(roots[maker.random.below(roots.len())]);
                call.directory = Some(maker.random.pick(&["/", "/", "/image", "/link/image", "/conf"]));
                call.pwd = maker
                    .random
                    .percent(70)
                    .then(|| maker.random.pick(&["/", "/image", "/link", "/link/image", "image", "", "/conf"]));
            }
            Self::OtherTree => {
                let trees = ["-d/image", "--dirname=/", "--dirname=/conf", "-Snothing", "--set-version=1.0", "-d/link"];
                push(maker.random.pick(&trees).as_bytes());
            }
            Self::UnknownOption => {
                let options =
                    ["-z", "-qz", "--nosuch=1", "--quiet=1", "--s", "--ver", "--sho", "--d", "--c", "--", "-?", "-:"];
                push(maker.random.pick(&options).as_bytes());
            }
            Self::OddOption => {
                let options: [&[u8]; 4] = [b"-\xc3\xa4", b"--\xff", b"--n\xc3\xa4", b"-\x01"];
                push(options[maker.random.below(options.len())]);
            }
            Self::OnlySyslog => {
                words.truncate(1);
                words.push(b"-s".to_vec());
            }
            _ => {}
        }
    }
}
