//! The module trees as modprobe takes them: the damage of an index is reported, and its look-ups find nothing. To PID 1
//! it is a failure, because the index may have the module that it was told to load (MODPROBE.md 12.9).

extern crate alloc;

use alloc::string::ToString;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::failure::Failure;
use crate::guest::modprobe::output::Output;
use crate::guest::modules::trees::ModuleTrees;
use crate::request::modprobe::call::ERROR;
use crate::resolve::tree::Trees;
use crate::resolve::tree::dep::ModulePath;
use crate::resolve::tree::index::{Index, IndexKind};

/// Module trees, and where the damage of their indexes is reported.
pub(super) struct ReportedTrees<'a> {
    trees: &'a ModuleTrees,
    output: &'a Output,
    /// A bit for each index whose damage was reported.
    reported: AtomicU64,
}

impl<'a> ReportedTrees<'a> {
    pub(super) const fn new(trees: &'a ModuleTrees, output: &'a Output) -> Self {
        Self { trees, output, reported: AtomicU64::new(0) }
    }
}

impl Trees for ReportedTrees<'_> {
    fn count(&self) -> u8 {
        self.trees.count()
    }

    fn index(&self, tree: u8, kind: IndexKind) -> Result<Index<'_>, Failure> {
        self.trees.index(tree, kind)
    }

    fn completed(&self, file: ModulePath<'_>) -> Result<&[ModulePath<'_>], Failure> {
        self.trees.completed(file)
    }

    fn on_damage(&self, tree: u8, kind: IndexKind, failure: Failure) -> Result<(), Failure> {
        let Err(failure) = self.trees.on_damage(tree, kind, failure) else { return Ok(()) };
        // A VM has at most eight trees, with five indexes each.
        let bit = 1 << (u64::from(tree % 8) * 8 + kind as u64);
        if self.reported.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.output.report(ERROR, |push| push(failure.to_string().as_bytes()));
        }
        Ok(())
    }
}
