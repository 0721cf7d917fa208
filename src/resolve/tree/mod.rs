//! The sources of names: a module tree's indexes, and the configuration that goes with it.

pub mod config;
pub mod dep;
pub mod glob;
pub mod index;
pub mod trie;

use core::fmt;

use crate::failure::Failure;
use crate::request::name::normal;
use crate::resolve::lookup::Module;
use config::Directive;
use dep::Line;
use index::{Index, IndexKind};

/// Where the indexes of a tree come from: each when it is first asked for, since most plans take but one or two.
pub trait Indexes: fmt::Debug + Sync {
    /// One of them.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    fn index(&self, kind: IndexKind) -> Result<Index<'_>, Failure>;
}

/// All of them, in the order of [`IndexKind::ALL`].
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

/// A module tree, `/lib/modules/RELEASE`, and the configuration that goes with it.
///
/// ```
/// use guest_init::resolve::tree::Sources;
/// use guest_init::resolve::tree::index::{Index, IndexKind};
/// use guest_init::resolve::lookup::lookup;
///
/// let mut indexes = IndexKind::ALL.map(Index::absent);
/// indexes[0] = Index::text(IndexKind::Dep, b"kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n");
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
    /// The kernel's release, as uname -r prints it.
    pub release: &'a str,
    /// The indexes.
    pub indexes: &'a dyn Indexes,
    /// All lines: the files' in their order, then the kernel command line's.
    pub config: &'a [Directive<'a>],
}

impl<'a> Sources<'a> {
    /// One of the indexes.
    ///
    /// Failure: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex).
    pub fn index_of(&self, kind: IndexKind) -> Result<Index<'a>, Failure> {
        self.indexes.index(kind)
    }

    /// A module's line of modules.dep, empty for a module that it does not list.
    pub fn line_of(&self, module: &Module<'a>) -> Result<Line<'a>, Failure> {
        Ok(Line::new(self.value_of(IndexKind::Dep, module)?.unwrap_or_default()))
    }

    /// Whether the kernel has the module built in.
    pub fn has_built_in(&self, module: &Module<'a>) -> Result<bool, Failure> {
        Ok(module.built_in || self.value_of(IndexKind::Builtin, module)?.is_some())
    }

    /// What an index has for a module's own name.
    fn value_of(&self, kind: IndexKind, module: &Module<'a>) -> Result<Option<&'a [u8]>, Failure> {
        let index = self.index_of(kind)?;
        normal(module.name, |key| index.exact(key)).unwrap_or(Ok(None))
    }
}
