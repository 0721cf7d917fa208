//! The indexes of a module tree as modprobe takes them: the damage of one is reported, and its look-ups find nothing.
//! PID 1 takes it as a failure, because the index may have the module that it was told to load (MODPROBE.md 12.9).

extern crate alloc;

use alloc::string::ToString;
use core::sync::atomic::{AtomicU8, Ordering};

use crate::failure::Failure;
use crate::guest::modprobe::output::Output;
use crate::guest::modules::tree::ModuleTree;
use crate::request::modprobe::call::ERROR;
use crate::resolve::tree::Indexes;
use crate::resolve::tree::index::{Index, IndexKind};

/// The indexes of a tree, and where their damage is reported.
pub(super) struct ReportedIndexes<'a> {
    tree: &'a ModuleTree,
    output: &'a Output,
    /// A bit for each kind of index whose damage was reported.
    reported: AtomicU8,
}

impl<'a> ReportedIndexes<'a> {
    pub(super) const fn new(tree: &'a ModuleTree, output: &'a Output) -> Self {
        Self { tree, output, reported: AtomicU8::new(0) }
    }
}

impl Indexes for ReportedIndexes<'_> {
    fn index(&self, kind: IndexKind) -> Result<Index<'_>, Failure> {
        self.tree.index(kind)
    }

    fn on_damage(&self, kind: IndexKind, failure: Failure) -> Result<(), Failure> {
        let bit = 1 << kind as u8;
        if self.reported.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.output.report(ERROR, |push| push(failure.to_string().as_bytes()));
        }
        Ok(())
    }
}
