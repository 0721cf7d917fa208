//! Where names are looked up: the indexes of the module trees, and the configuration of modprobe.
//!
//! Most VMs have one tree. If there are several, the result is that of one depmod over all of them, in which a module
//! that several trees have counts only in the first. Each tree's depmod ran without the other trees, so [`completion`]
//! finds the dependencies that cross trees.

pub mod completion;
pub mod config;
pub mod dep;
pub mod glob;
pub mod index;
pub mod module;
pub mod trie;

use core::fmt;
use core::ops::Range;

use crate::failure::Failure;
use crate::request::name::normal;
use config::Directive;
use dep::{Line, ModulePath};
use index::{Index, IndexKind};
use module::{FoundBy, Module};

/// The module trees of a VM, all for one kernel. A plan needs only one or two of a tree's five indexes, so an index may
/// be opened when it is first needed.
pub trait Trees: Sync {
    /// The number of trees. Trees are numbered from 0, and the first counts first.
    fn count(&self) -> u8 {
        1
    }

    /// The index of a kind of a tree.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    fn index(&self, tree: u8, kind: IndexKind) -> Result<Index<'_>, Failure>;

    /// Decides what the failure of an index means. `Ok`: the look-up goes on as if the index had no such entry.
    fn on_damage(&self, _tree: u8, _kind: IndexKind, failure: Failure) -> Result<(), Failure> {
        Err(failure)
    }

    /// All files that are loaded before a module's file, in the order of loading, if there are several trees
    /// ([`completion::each_dependency`]).
    ///
    /// Failures: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex), and
    /// [`Code::PlanTooLarge`](crate::failure::Code::PlanTooLarge) for more than a plan may have.
    fn completed(&self, _file: ModulePath<'_>) -> Result<&[ModulePath<'_>], Failure> {
        Ok(&[])
    }
}

impl fmt::Debug for dyn Trees + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trees")
    }
}

/// One tree: its five indexes, in the order of [`IndexKind::ALL`].
impl Trees for [Index<'_>; 5] {
    fn index(&self, _tree: u8, kind: IndexKind) -> Result<Index<'_>, Failure> {
        let [dep, symbols, alias, builtin, builtin_alias] = self;
        Ok(*match kind {
            IndexKind::Dep => dep,
            IndexKind::Symbols => symbols,
            IndexKind::Alias => alias,
            IndexKind::Builtin => builtin,
            IndexKind::BuiltinAlias => builtin_alias,
        })
    }
}

/// Module trees, `/lib/modules/RELEASE` each, and the configuration: all that a name is looked up in.
///
/// ```
/// use guest_init::resolve::tree::Sources;
/// use guest_init::resolve::tree::index::{Index, IndexKind};
/// use guest_init::resolve::lookup::lookup;
///
/// let mut indexes = IndexKind::ALL.map(Index::absent);
/// let dep = b"kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n";
/// indexes[0] = Index::text(IndexKind::Dep, dep);
/// indexes[2] = Index::text(IndexKind::Alias, b"alias fs-ext4 ext4\n");
/// let sources = Sources { release: "6.1.0-56-amd64", trees: &indexes, config: &[] };
///
/// let found = lookup(&sources, b"fs-ext4")?;
/// assert_eq!(found[0].to_string(), "ext4");
/// let line = sources.line_of(&found[0])?;
/// assert_eq!(line.path().map(|file| file.path), Some(&b"kernel/fs/ext4/ext4.ko"[..]));
/// # Ok::<(), guest_init::failure::Failure>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The release of the kernel, as `uname -r` prints it.
    pub release: &'a str,
    /// The module trees.
    pub trees: &'a dyn Trees,
    /// The configuration: the lines of all files in their order, then the words of the kernel command line
    /// (MODPROBE.md 6.2).
    pub config: &'a [Directive<'a>],
}

impl<'a> Sources<'a> {
    /// The line of modules.dep for a module, of the first tree that has the module. It is empty if no modules.dep lists
    /// the module.
    ///
    /// Failures: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex), and those of [`Trees::completed`].
    pub fn line_of(&self, module: &Module<'a>) -> Result<Line<'a>, Failure> {
        let line = match self.value_of(IndexKind::Dep, module)? {
            Some((tree, text)) => Line::new(tree, text),
            None => Line::default(),
        };
        match line.path().filter(|_| self.trees.count() > 1) {
            Some(file) => Ok(line.completed(self.trees.completed(file)?)),
            None => Ok(line),
        }
    }

    /// Whether the module is built into the kernel. A module whose file modprobe was called with is not.
    pub fn has_built_in(&self, module: &Module<'a>) -> Result<bool, Failure> {
        let is_file = matches!(module.found_by, FoundBy::File(_));
        Ok(!is_file && (module.built_in || self.value_of(IndexKind::Builtin, module)?.is_some()))
    }

    /// The first tree whose index has a key, which must be [normalised](normal), and the value of the key.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex), unless the trees
    /// [pass over it](Trees::on_damage).
    pub fn exact(&self, kind: IndexKind, key: &[u8]) -> Result<Option<(u8, &'a [u8])>, Failure> {
        exact(self.trees, 0..self.trees.count(), kind, key)
    }

    /// Visits every value of an index whose key, taken as a pattern, matches `name`, which must be
    /// [normalised](normal). The trees come in order: the first two arguments of `visit` are the number of the tree and
    /// the priority. A module that an earlier tree has as well is passed over.
    ///
    /// Failure: that of [`Self::exact`].
    pub fn matching(
        &self,
        kind: IndexKind,
        name: &[u8],
        visit: &mut dyn FnMut(u8, u32, &'a [u8]),
    ) -> Result<(), Failure> {
        for tree in 0..self.trees.count() {
            let mut hidden = Ok(false);
            let mut visit = |_: &[u8], priority, module: &'a [u8]| {
                if tree > 0 && hidden.is_ok() {
                    hidden = self.is_hidden(tree, kind, module);
                }
                if hidden == Ok(false) {
                    visit(tree, priority, module);
                }
            };
            let found = self.trees.index(tree, kind).and_then(|index| index.matching(name, &mut visit));
            found.or_else(|failure| self.trees.on_damage(tree, kind, failure))?;
            hidden?;
        }
        Ok(())
    }

    /// Whether a tree before `tree` has a module that an index of aliases names.
    #[inline(never)]
    fn is_hidden(&self, tree: u8, aliases: IndexKind, module: &[u8]) -> Result<bool, Failure> {
        let kind = match aliases {
            IndexKind::Builtin | IndexKind::BuiltinAlias => IndexKind::Builtin,
            IndexKind::Dep | IndexKind::Symbols | IndexKind::Alias => IndexKind::Dep,
        };
        value_of(self.trees, 0..tree, kind, module).map(|found| found.is_some())
    }

    /// The first tree whose index has the module's own name, and the value.
    fn value_of(&self, kind: IndexKind, module: &Module<'a>) -> Result<Option<(u8, &'a [u8])>, Failure> {
        value_of(self.trees, 0..self.trees.count(), kind, module.name)
    }
}

/// The first of some trees whose index has a name, and the value. No index has a name that can't be
/// [normalised](normal).
///
/// Failure: that of [`Sources::exact`].
pub fn value_of<'a>(
    trees: &'a dyn Trees,
    numbers: Range<u8>,
    kind: IndexKind,
    name: &[u8],
) -> Result<Option<(u8, &'a [u8])>, Failure> {
    normal(name, |key| exact(trees, numbers, kind, key)).unwrap_or(Ok(None))
}

/// The first of some trees whose index has a key, and the value of the key.
fn exact<'a>(
    trees: &'a dyn Trees,
    numbers: Range<u8>,
    kind: IndexKind,
    key: &[u8],
) -> Result<Option<(u8, &'a [u8])>, Failure> {
    for tree in numbers {
        match trees.index(tree, kind).and_then(|index| index.exact(key)) {
            Ok(Some(value)) => return Ok(Some((tree, value))),
            Ok(None) => {}
            Err(failure) => trees.on_damage(tree, kind, failure)?,
        }
    }
    Ok(None)
}
