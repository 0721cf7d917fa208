//! One index of a module tree, from depmod's binary file or from its text form.
//!
//! libkmod reads only the binary file. The text form is read if there is no binary file (MODPROBE.md 2.1, 2.4, 12.4).

use crate::failure::{Code, Failure};
use crate::request::name::{is_key, normal, same};
use crate::resolve::tree::dep::{Line, module_of};
use crate::resolve::tree::glob::glob;
use crate::resolve::tree::trie::{Corrupt, Trie, Visit};

/// The five indexes of a tree, in the order in which a lookup searches them (MODPROBE.md 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// modules.dep: the line of a module, by the module's name.
    Dep,
    /// modules.symbols: the module that exports a symbol, by `symbol:NAME`.
    Symbols,
    /// modules.alias: the modules that have an alias, by the alias, which may be a pattern.
    Alias,
    /// modules.builtin: built-in modules, by name.
    Builtin,
    /// modules.builtin.alias: built-in modules, by alias.
    BuiltinAlias,
}

impl IndexKind {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Dep, Self::Symbols, Self::Alias, Self::Builtin, Self::BuiltinAlias];

    /// The names of the binary file and of the text file.
    pub const fn files(self) -> [&'static str; 2] {
        match self {
            Self::Dep => ["modules.dep.bin", "modules.dep"],
            Self::Symbols => ["modules.symbols.bin", "modules.symbols"],
            Self::Alias => ["modules.alias.bin", "modules.alias"],
            Self::Builtin => ["modules.builtin.bin", "modules.builtin"],
            // depmod writes no text form of this index. It makes the index from modules.builtin.modinfo.
            Self::BuiltinAlias => ["modules.builtin.alias.bin", "modules.builtin.modinfo"],
        }
    }
}

/// One index of a tree.
///
/// ```
/// use guest_init::resolve::tree::index::{Index, IndexKind};
///
/// let builtin = Index::text(IndexKind::Builtin, b"kernel/fs/ext4/ext4.ko\n");
/// assert!(builtin.exact(b"ext4")?.is_some());
/// assert!(builtin.exact(b"xfs")?.is_none());
/// # Ok::<(), guest_init::failure::Failure>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    kind: IndexKind,
    encoding: Encoding<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Encoding<'a> {
    Absent,
    Binary(Trie<'a>),
    Text(&'a [u8]),
}

impl<'a> Index<'a> {
    /// An index without a file. It has no entries.
    pub const fn absent(kind: IndexKind) -> Self {
        Self { kind, encoding: Encoding::Absent }
    }

    /// An index from its text form.
    pub const fn text(kind: IndexKind, bytes: &'a [u8]) -> Self {
        Self { kind, encoding: Encoding::Text(bytes) }
    }

    /// An index from its binary file. An empty file is an index without entries.
    ///
    /// Failure: [`Code::CorruptIndex`], here and in every lookup below.
    pub fn binary(kind: IndexKind, bytes: &'a [u8]) -> Result<Self, Failure> {
        if bytes.is_empty() {
            return Ok(Self::absent(kind));
        }
        let encoding = Encoding::Binary(Trie::new(bytes).map_err(|corrupt| damaged(kind, corrupt))?);
        Ok(Self { kind, encoding })
    }

    /// Whether the index has a file.
    pub const fn exists(&self) -> bool {
        !matches!(self.encoding, Encoding::Absent)
    }

    /// The value of a key, if the index has the key. `key` must be normalised ([`normal`]).
    pub fn exact(&self, key: &[u8]) -> Result<Option<&'a [u8]>, Failure> {
        match &self.encoding {
            Encoding::Absent => Ok(None),
            Encoding::Binary(trie) => trie.exact(key).map_err(|corrupt| damaged(self.kind, corrupt)),
            Encoding::Text(text) => {
                Ok(entries(self.kind, text).find(|entry| same(entry.key, key)).map(|entry| entry.value))
            }
        }
    }

    /// Visits every value whose key, taken as a pattern, matches `name`. `name` must be normalised ([`normal`]). In a
    /// text form the number of a line is its priority, because depmod writes the lines in the order of the priorities.
    pub fn matching(&self, name: &[u8], visit: Visit<'_, 'a>) -> Result<(), Failure> {
        match &self.encoding {
            Encoding::Absent => {}
            Encoding::Binary(trie) => trie.matching(name, visit).map_err(|corrupt| damaged(self.kind, corrupt))?,
            Encoding::Text(text) => {
                for (entry, priority) in entries(self.kind, text).zip(0..).filter(|(entry, _)| glob(entry.key, name)) {
                    if is_key(entry.key) {
                        visit(entry.key, priority, entry.value);
                    }
                }
            }
        }
        Ok(())
    }

    /// Visits every entry, with its key normalised.
    pub fn each(&self, visit: Visit<'_, 'a>) -> Result<(), Failure> {
        match &self.encoding {
            Encoding::Absent => {}
            Encoding::Binary(trie) => trie.each(visit).map_err(|corrupt| damaged(self.kind, corrupt))?,
            Encoding::Text(text) => {
                for (entry, priority) in entries(self.kind, text).zip(0..) {
                    normal(entry.key, |key| visit(key, priority, entry.value));
                }
            }
        }
        Ok(())
    }
}

fn damaged(kind: IndexKind, Corrupt { offset, what }: Corrupt) -> Failure {
    let [file, _] = kind.files();
    Failure::new(Code::CorruptIndex, file, format_args!("at offset {offset:#x}: {what}"))
}

/// A line of a text form, as the key and the value that the binary file would have for it.
struct TextEntry<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

/// The lines of a text form (MODPROBE.md 2.4). Lines of another form are passed over, such as the comments of depmod.
fn entries(kind: IndexKind, text: &[u8]) -> impl Iterator<Item = TextEntry<'_>> {
    let end = if kind == IndexKind::BuiltinAlias { b'\0' } else { b'\n' };
    text.split(move |&b| b == end).filter_map(move |line| match kind {
        IndexKind::Dep => {
            let file = Line::new(0, line).path()?;
            Some(TextEntry { key: module_of(file.path), value: line })
        }
        IndexKind::Builtin => (!line.is_empty()).then(|| TextEntry { key: module_of(line), value: b"" }),
        IndexKind::Symbols | IndexKind::Alias => {
            // The last blank separates the two: a pattern may hold blanks, a module's name never does.
            let rest = line.strip_prefix(b"alias ")?;
            let blank = rest.iter().rposition(|&b| b == b' ')?;
            Some(TextEntry { key: rest.get(..blank)?, value: rest.get(blank + 1..)? })
        }
        IndexKind::BuiltinAlias => {
            let dot = line.iter().position(|&b| b == b'.')?;
            let (module, rest) = line.split_at_checked(dot)?;
            Some(TextEntry { key: rest.strip_prefix(b".alias=")?, value: module })
        }
    })
}
