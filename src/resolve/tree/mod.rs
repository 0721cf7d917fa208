//! Where names are looked up: the indexes of a module tree, and the configuration of modprobe.

pub mod config;
pub mod dep;
pub mod glob;
pub mod index;
pub mod module;
pub mod trie;

use core::fmt;

use crate::failure::Failure;
use crate::request::name::normal;
use config::Directive;
use dep::Line;
use index::{Index, IndexKind};
use module::{FoundBy, Module};
use trie::Visit;

/// The five indexes of a tree. A plan needs only one or two of them, so an index may be opened when it is first needed.
pub trait Indexes: Sync {
    /// The index of a kind.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    fn index(&self, kind: IndexKind) -> Result<Index<'_>, Failure>;

    /// Decides what the failure of the index of a kind means. `Ok`: the look-up goes on as if it had no such entry.
    fn on_damage(&self, _kind: IndexKind, failure: Failure) -> Result<(), Failure> {
        Err(failure)
    }
}

impl fmt::Debug for dyn Indexes + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Indexes")
    }
}

/// All five, in the order of [`IndexKind::ALL`].
impl Indexes for [Index<'_>; 5] {
    fn index(&self, kind: IndexKind) -> Result<Index<'_>, Failure> {
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

/// A module tree, `/lib/modules/RELEASE`, and the configuration: all that a name is looked up in.
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
/// let tree = Sources { release: "6.1.0-56-amd64", indexes: &indexes, config: &[] };
///
/// let found = lookup(&tree, b"fs-ext4")?;
/// assert_eq!(found[0].to_string(), "ext4");
/// let line = tree.line_of(&found[0])?;
/// assert_eq!(line.path(), Some(&b"kernel/fs/ext4/ext4.ko"[..]));
/// # Ok::<(), guest_init::failure::Failure>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The release of the kernel, as `uname -r` prints it.
    pub release: &'a str,
    /// The indexes of the tree.
    pub indexes: &'a dyn Indexes,
    /// The configuration: the lines of all files in their order, then the words of the kernel command line
    /// (MODPROBE.md 6.2).
    pub config: &'a [Directive<'a>],
}

impl<'a> Sources<'a> {
    /// The index of a kind.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn index_of(&self, kind: IndexKind) -> Result<Index<'a>, Failure> {
        self.indexes.index(kind)
    }

    /// The line of modules.dep for a module. It is empty if modules.dep does not list the module.
    pub fn line_of(&self, module: &Module<'a>) -> Result<Line<'a>, Failure> {
        Ok(Line::new(self.value_of(IndexKind::Dep, module)?.unwrap_or_default()))
    }

    /// Whether the module is built into the kernel. A module whose file modprobe was called with is not.
    pub fn has_built_in(&self, module: &Module<'a>) -> Result<bool, Failure> {
        let is_file = matches!(module.found_by, FoundBy::File(_));
        Ok(!is_file && (module.built_in || self.value_of(IndexKind::Builtin, module)?.is_some()))
    }

    /// The value that an index has for a key, which must be [normalised](normal).
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex), unless the indexes
    /// [pass over it](Indexes::on_damage).
    pub fn exact(&self, kind: IndexKind, key: &[u8]) -> Result<Option<&'a [u8]>, Failure> {
        match self.index_of(kind).and_then(|index| index.exact(key)) {
            Err(failure) => self.indexes.on_damage(kind, failure).map(|()| None),
            value => value,
        }
    }

    /// Visits every value of an index whose key, taken as a pattern, matches `name`, which must be
    /// [normalised](normal).
    ///
    /// Failure: that of [`Self::exact`].
    pub fn matching(&self, kind: IndexKind, name: &[u8], visit: Visit<'_, 'a>) -> Result<(), Failure> {
        match self.index_of(kind).and_then(|index| index.matching(name, visit)) {
            Err(failure) => self.indexes.on_damage(kind, failure),
            found => found,
        }
    }

    /// The value that an index has for the module's own name.
    fn value_of(&self, kind: IndexKind, module: &Module<'a>) -> Result<Option<&'a [u8]>, Failure> {
        normal(module.name, |key| self.exact(kind, key)).unwrap_or(Ok(None))
    }
}
