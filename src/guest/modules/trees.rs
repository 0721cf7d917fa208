//! The module trees of a VM, and the configuration in modprobe.d. Most VMs have one tree.
//!
//! How names are looked up in several trees is [`crate::resolve::tree`]'s, and so is how a line of configuration is
//! read.

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Display;
use core::ops::Range;

use rustix::io;
use rustix_futex_sync::Mutex;

use crate::failure::{Code, Failure};
use crate::guest::modules::config_files::{self, ConfigPath};
use crate::guest::modules::file::ModuleFile;
use crate::guest::modules::tree::ModuleTree;
use crate::guest::system::files::Directory;
use crate::request::kernel::ModuleWords;
use crate::request::list::ModuleEntry;
use crate::resolve::plan::MOST_STEPS;
use crate::resolve::tree::completion::each_dependency;
use crate::resolve::tree::config::{self, Directive};
use crate::resolve::tree::dep::ModulePath;
use crate::resolve::tree::index::{Index, IndexKind};
use crate::resolve::tree::module::Module;
use crate::resolve::tree::{Sources, Trees, value_of};
use crate::text::Shown;

/// The longest chain of modules, each of which depends on the next across trees. Those of a distribution have under 20.
const LONGEST_CHAIN: usize = 64;

/// The open module trees, at least one, and the configuration.
#[derive(Debug)]
pub struct ModuleTrees {
    /// The first tree.
    first: ModuleTree,
    /// The other trees, in order.
    others: Vec<ModuleTree>,
    /// The texts of the configuration, in the order in which they count. Lines are unfolded.
    config: Vec<Vec<u8>>,
    /// The dependencies of each file that was asked for, if there are several trees.
    completed: Mutex<Completed>,
}

/// Files, each with its dependencies in the order of loading. They live as long as the process, as the indexes do.
#[derive(Debug, Default)]
struct Completed {
    files: Vec<(ModulePath<'static>, &'static [ModulePath<'static>])>,
    /// The number of files whose dependencies are being found at the moment.
    depth: usize,
}

impl ModuleTrees {
    /// Opens the tree of `release` in the directory `modules`, and reads the configuration in the directories `config`.
    ///
    /// Failures: [`Code::NoModuleTree`], [`Code::CorruptIndex`], [`Code::ConfigUnreadable`].
    pub fn open(modules: &str, release: &str, config: &[&str]) -> Result<Self, Failure> {
        Self::open_in(Directory::open(modules), &modules, release, config)
    }

    /// As [`Self::open`], in a directory that may be on a share or in an image. Failures call the directory `name`.
    ///
    /// Failures: those of [`Self::open`].
    pub fn open_in<'c>(
        modules: io::Result<Directory>,
        name: &dyn Display,
        release: &str,
        config: &[impl Copy + Into<ConfigPath<'c>>],
    ) -> Result<Self, Failure> {
        let mut trees = Self::of(ModuleTree::open(modules, name, release)?);
        trees.require_config(config)?;
        Ok(trees)
    }

    /// Takes an open tree as the first. No configuration is read yet.
    pub fn of(first: ModuleTree) -> Self {
        Self { first, others: Vec::new(), config: Vec::new(), completed: Mutex::new(Completed::default()) }
    }

    /// Adds an open tree behind the others.
    pub fn add(&mut self, tree: ModuleTree) {
        self.others.push(tree);
    }

    /// Reads the configuration in the directories `config`, and that of the trees. Calls `failed` with each file of it
    /// that can't be read.
    pub fn read_config<'c>(&mut self, config: &[impl Copy + Into<ConfigPath<'c>>], failed: &mut dyn FnMut(Failure)) {
        self.config = config_files::read_all(self, config, failed);
    }

    /// As [`Self::read_config`].
    ///
    /// Failure: [`Code::ConfigUnreadable`].
    pub fn require_config<'c>(&mut self, config: &[impl Copy + Into<ConfigPath<'c>>]) -> Result<(), Failure> {
        let mut unreadable = None;
        self.read_config(config, &mut |failure| {
            unreadable.get_or_insert(failure);
        });
        unreadable.map_or(Ok(()), Err)
    }

    /// The lines of the configuration, followed by those of the kernel command line (MODPROBE.md 6.2).
    pub fn config<'a>(&'a self, words: ModuleWords<'a>) -> Vec<Directive<'a>> {
        let files = self.config.iter().flat_map(|text| config::directives(text));
        files.chain(config::command_line(words)).collect()
    }

    /// The trees and the configuration, as `resolve` takes them.
    pub fn sources<'a>(&'a self, config: &'a [Directive<'a>]) -> Sources<'a> {
        Sources { release: self.first.release(), trees: self, config }
    }

    /// The trees, in order.
    pub fn trees(&self) -> impl Iterator<Item = &ModuleTree> {
        core::iter::once(&self.first).chain(&self.others)
    }

    /// A tree by its number. There is no other than those that a step of a plan names.
    pub fn tree(&self, number: u8) -> &ModuleTree {
        usize::from(number).checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }

    /// The directory that the path of a module's file begins in.
    pub fn directory_of(&self, file: ModulePath<'_>) -> &Directory {
        self.tree(file.tree).directory()
    }

    /// Adds to the reason of a failure the places where the module is nevertheless: the other releases whose trees have
    /// it, or a file in a tree that modules.dep does not know.
    pub fn add_places(&self, entry: &ModuleEntry<'_>, failure: &mut Failure) {
        self.trees().for_each(|tree| tree.add_places(entry, failure));
    }

    /// Calls `visit` with each further tree that has a module besides the one that its file is in.
    pub fn each_other_with(&self, file: ModulePath<'_>, module: &Module<'_>, visit: &mut dyn FnMut(&ModuleTree)) {
        for tree in file.tree + 1..self.count() {
            if self.have(tree..tree + 1, module.name) {
                visit(self.tree(tree));
            }
        }
    }

    /// Whether a tree before a tree has a module.
    pub fn have_before(&self, tree: u8, module: &[u8]) -> bool {
        self.have(0..tree, module)
    }

    /// Whether one of some trees has a module. A damaged index has none; the look-up of a name reports the damage.
    fn have(&self, numbers: Range<u8>, module: &[u8]) -> bool {
        value_of(self, numbers, IndexKind::Dep, module).is_ok_and(|line| line.is_some())
    }

    /// Finds the dependencies of a file, unless the chain of files that led here is too long.
    fn complete(&self, file: ModulePath<'static>) -> Result<Vec<ModulePath<'static>>, Failure> {
        // If the file can't be read, that is reported when it is its turn to be loaded.
        let opened = ModuleFile::open(self.directory_of(file), file.path).ok();
        let module = Module::in_file(file.path);
        let contents = opened.as_ref().and_then(|opened| opened.contents(&module).ok());
        let mut found = Vec::new();
        let mut is_complete = true;
        each_dependency(self, file, contents.as_deref(), &mut |dependency| {
            if dependency != file && !found.contains(&dependency) {
                is_complete &= found.len() < MOST_STEPS;
                if is_complete {
                    found.push(kept(dependency));
                }
            }
        })?;
        match is_complete {
            true => Ok(found),
            false => Err(too_large(file, "more than 2,048 dependencies")),
        }
    }
}

impl Trees for ModuleTrees {
    fn count(&self) -> u8 {
        u8::try_from(self.others.len() + 1).unwrap_or(u8::MAX)
    }

    fn index(&self, tree: u8, kind: IndexKind) -> Result<Index<'_>, Failure> {
        self.tree(tree).index(kind)
    }

    fn on_damage(&self, tree: u8, _kind: IndexKind, failure: Failure) -> Result<(), Failure> {
        match self.others.is_empty() {
            true => Err(failure),
            false => Err(Failure::from_errno(
                failure.code,
                format_args!("{}/{}", self.tree(tree).path(), failure.subject),
                failure.errno,
                failure.reason,
            )),
        }
    }

    fn completed(&self, file: ModulePath<'_>) -> Result<&[ModulePath<'_>], Failure> {
        let mut completed = self.completed.lock();
        if let Some((_, dependencies)) = completed.files.iter().find(|(known, _)| *known == file) {
            return Ok(dependencies);
        }
        if completed.depth >= LONGEST_CHAIN {
            return Err(too_large(file, "a chain of more than 64 modules that depend on one another"));
        }
        let file = kept(file);
        // If the file depends on itself, it has no dependencies meanwhile.
        completed.files.push((file, &[]));
        completed.depth += 1;
        drop(completed);
        let dependencies = self.complete(file);
        let mut completed = self.completed.lock();
        completed.depth -= 1;
        completed.files.retain(|(known, _)| *known != file);
        let dependencies = &*dependencies?.leak();
        completed.files.push((file, dependencies));
        Ok(dependencies)
    }
}

/// A path that lives as long as the process.
fn kept(file: ModulePath<'_>) -> ModulePath<'static> {
    ModulePath { path: Box::leak(file.path.into()), ..file }
}

fn too_large(file: ModulePath<'_>, reason: &str) -> Failure {
    Failure::new(Code::PlanTooLarge, Shown(file.path), reason)
}
