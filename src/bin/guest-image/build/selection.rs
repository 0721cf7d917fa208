//! The selection of modules for an image: those that lists need, by the guest's own resolver, or all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use guest_init::failure::{Code, Failure};
use guest_init::guest::modules::actions;
use guest_init::guest::modules::file::unreadable;
use guest_init::request::list::Entry;
use guest_init::request::name::underscore;
use guest_init::resolve::plan::consequence::Consequence;
use guest_init::resolve::plan::{Action, Plan, Step};
use guest_init::resolve::tree::Sources;
use guest_init::resolve::tree::dep::{Line, module_of};
use guest_init::resolve::tree::index::IndexKind;
use rustix::io::Errno;

use crate::cli::stderr::{Failures, warn};

/// A selected module.
#[derive(Clone, Debug)]
pub struct SelectedModule {
    /// The size of its file in bytes.
    pub size: u64,
    /// The entry that first needs it, or [`ALL`].
    pub why: String,
}

/// The reason for a module of an image with all modules.
pub const ALL: &str = "--all-modules";

/// The selected modules.
#[derive(Debug, Default)]
pub struct Selection {
    /// The modules by their paths in modules.dep.
    files: BTreeMap<Vec<u8>, SelectedModule>,
    /// The names of the modules, with `_`, and of modules that the image to append to has.
    names: BTreeSet<Vec<u8>>,
}

impl Selection {
    /// Selects all modules of the tree at `directory` that a boot with `entries` would load. Soft dependencies and
    /// optional entries are selected if their files exist. With `allow_missing`, so are all other entries.
    pub fn of_entries(
        tree: Sources<'_>,
        directory: &Path,
        entries: &[Entry<'_>],
        allow_missing: bool,
    ) -> Result<Self, Failures> {
        let mut failures = Failures(Vec::new());
        let mut plan = Plan::new(tree);
        let mut passed_over = Vec::new();
        plan.add_all(entries, &mut |entry, failure| match Consequence::of_unplanned_entry(entry, &failure) {
            Consequence::EndsTheVm => failures.0.push(failure),
            _ => passed_over.push(failure),
        });
        let mut selection = Self::default();
        for step in plan.steps() {
            let entry = entries.get(usize::from(step.entry)).map(|entry| entry.name.to_string()).unwrap_or_default();
            let Err(failure) = selection.select_step(directory, step, &entry) else { continue };
            match step.consequence {
                Consequence::EndsTheVm => failures.0.push(failure),
                Consequence::EndsItsEntry => passed_over.push(failure),
                Consequence::Nothing => {}
            }
        }
        let is_missing = |failure: &mut Failure| matches!(failure.code, Code::UnknownModule | Code::MissingFile);
        let tolerated: Vec<_> = failures.0.extract_if(.., |failure| allow_missing && is_missing(failure)).collect();
        failures.into_result()?;
        tolerated.iter().for_each(warn);
        passed_over.iter().for_each(|failure| warn(format_args!("{failure}: optional, passed over")));
        Ok(selection)
    }

    /// Selects every module of the tree at `directory`.
    pub fn of_all(tree: Sources<'_>, directory: &Path) -> Result<Self, Failures> {
        let mut failures = Failures(Vec::new());
        let mut selection = Self::default();
        tree.index_of(IndexKind::Dep)?.each(&mut |_, _, line| {
            let selected = Line::new(line).path().map(|path| selection.select_file(directory, path, ALL));
            failures.0.extend(selected.and_then(Result::err));
        })?;
        failures.into_result().map(|()| selection)
    }

    /// The selected modules, by their paths in modules.dep.
    pub fn files(&self) -> impl Iterator<Item = (&[u8], &SelectedModule)> {
        self.files.iter().map(|(path, module)| (&path[..], module))
    }

    /// Adds the name of a module whose file is already in the image to append to.
    pub fn add_name(&mut self, module: &[u8]) {
        self.names.insert(normalised(module));
    }

    /// The number of selected modules.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether a module of this name is in the image.
    pub fn has(&self, module: &[u8]) -> bool {
        self.names.contains(&normalised(module))
    }

    /// Selects the module file of a step, if the step has one.
    fn select_step(&mut self, directory: &Path, step: &Step<'_>, why: &str) -> Result<(), Failure> {
        match step.action {
            Action::Load(path) => self.select_file(directory, path, why),
            Action::Missing => Err(actions::missing_module(step)),
            Action::Adjust | Action::BuiltIn | Action::Install(_) | Action::Blacklisted => Ok(()),
        }
    }

    /// Selects a module file.
    ///
    /// Failures: [`Code::MissingFile`], [`Code::NotAModule`], [`Code::Unreadable`].
    fn select_file(&mut self, directory: &Path, path: &[u8], why: &str) -> Result<(), Failure> {
        let missing = |error: std::io::Error| unreadable(path, Errno::from_io_error(&error).unwrap_or(Errno::IO));
        let file = fs::metadata(on_host(directory, path)).map_err(missing)?;
        if !file.is_file() {
            return Err(unreadable(path, Errno::INVAL));
        }
        let selected = || SelectedModule { size: file.len(), why: why.into() };
        self.files.entry(path.to_vec()).or_insert_with(selected);
        self.names.insert(normalised(module_of(path)));
        Ok(())
    }
}

/// The path on this host of a path in modules.dep. An absolute path stays unchanged.
pub fn on_host(directory: &Path, path: &[u8]) -> PathBuf {
    directory.join(std::ffi::OsStr::from_bytes(path))
}

/// A module's name with `_` in place of `-`.
fn normalised(module: &[u8]) -> Vec<u8> {
    module.iter().copied().map(underscore).collect()
}
