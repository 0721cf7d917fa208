//! The selection of modules for an image: those that lists need, by the guest's own resolver, or all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use guest_init::failure::{Code, Failure};
use guest_init::guest::modules::actions;
use guest_init::guest::modules::file::{open_file, unreadable};
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::guest::system::files::Directory;
use guest_init::request::list::Entry;
use guest_init::request::name::underscore;
use guest_init::resolve::plan::calls::PassedOver;
use guest_init::resolve::plan::consequence::Consequence;
use guest_init::resolve::plan::{Action, Options, Plan, Step};
use guest_init::resolve::tree::Sources;
use guest_init::resolve::tree::config::SoftdepLines;
use guest_init::resolve::tree::dep::{Line, module_of};
use guest_init::resolve::tree::index::IndexKind;
use rustix::fs::fstat;
use rustix::io::Errno;

use crate::cli::stderr::{Failures, warn};
use crate::shared::folder::path_of;

/// A selected module.
#[derive(Clone, Debug)]
pub struct SelectedModule {
    /// The path of its file on this host. No part of it is a link.
    pub source: PathBuf,
    /// The size of the file in bytes.
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
    /// Selects all modules of the first of the trees `files` that a boot with `entries` would load. The VM has the
    /// other trees besides the image. Soft dependencies and optional entries are selected if their files exist. With
    /// `allow_missing`, so are all other entries.
    pub fn of_entries(
        tree: Sources<'_>,
        files: &ModuleTrees,
        entries: &[Entry<'_>],
        modaliases: &[Vec<u8>],
        allow_missing: bool,
    ) -> Result<Self, Failures> {
        let mut failures = Failures(Vec::new());
        let mut plan = Plan::new(tree);
        let mut passed_over = Vec::new();
        // An image has all that a boot may need: a file system has a line for each of its checksums.
        let options = Options { softdeps: SoftdepLines::All, ..Options::default() };
        plan.add_all(entries, modaliases, options, &mut |entry, mut failure| {
            if failure.code == Code::UnknownModule {
                // Many devices have no driver, and need none.
                let Some(module) = entry.module() else { return };
                files.add_places(module, &mut failure);
            }
            match Consequence::of_unplanned_entry(entry, &failure) {
                Consequence::EndsTheVm => failures.0.push(failure),
                _ => passed_over.push(failure),
            }
        });
        let mut selection = Self::default();
        let mut failed = PassedOver::default();
        for step in plan.steps() {
            let entry = entries.get(usize::from(step.entry)).map(Entry::to_string).unwrap_or_default();
            let Err(failure) = selection.select_step(files.tree(0).directory(), step, &entry) else { continue };
            match plan.fail(step, &mut failed) {
                Consequence::EndsTheVm => failures.0.push(failure),
                Consequence::EndsItsEntry => passed_over.push(failure),
                Consequence::Nothing => {}
            }
        }
        failures.tolerate(allow_missing)?;
        passed_over.iter().for_each(|failure| warn(format_args!("{failure}: optional, passed over")));
        Ok(selection)
    }

    /// Selects every module of the tree in `directory`. With `allow_missing`, files that are missing are passed over.
    pub fn of_all(tree: Sources<'_>, directory: &Directory, allow_missing: bool) -> Result<Self, Failures> {
        let mut failures = Failures(Vec::new());
        let mut selection = Self::default();
        tree.trees.index(0, IndexKind::Dep)?.each(&mut |_, _, line| {
            let selected = Line::new(0, line).path().map(|file| selection.select_file(directory, file.path, ALL));
            failures.0.extend(selected.and_then(Result::err));
        })?;
        failures.tolerate(allow_missing)?;
        Ok(selection)
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
    fn select_step(&mut self, directory: &Directory, step: &Step<'_>, why: &str) -> Result<(), Failure> {
        match step.action {
            Action::Load(file) if file.tree > 0 => Ok(()),
            Action::Load(file) => self.select_file(directory, file.path, why),
            Action::Install(command) => {
                if let Some(program) = actions::run_install_command(step, command)? {
                    warn(format_args!("{}: {}: `{program}`", step.module, actions::PASSED_OVER));
                }
                Ok(())
            }
            Action::Missing => Err(actions::missing_module(step)),
            Action::Adjust | Action::BuiltIn | Action::Blacklisted => Ok(()),
        }
    }

    /// Selects a module file.
    ///
    /// Failures: [`Code::MissingFile`], [`Code::NotAModule`], [`Code::Unreadable`].
    fn select_file(&mut self, directory: &Directory, path: &[u8], why: &str) -> Result<(), Failure> {
        let file = open_file(directory, path).map_err(|error| unreadable(path, error))?;
        let size = fstat(&file).map_err(|error| unreadable(path, error))?.st_size as u64;
        let no_path = |error| unreadable(path, Errno::from_io_error(&error).unwrap_or(Errno::IO));
        let selected = SelectedModule { source: path_of(file).map_err(no_path)?, size, why: why.into() };
        self.files.entry(path.to_vec()).or_insert(selected);
        self.names.insert(normalised(module_of(path)));
        Ok(())
    }
}

/// A module's name with `_` in place of `-`.
fn normalised(module: &[u8]) -> Vec<u8> {
    module.iter().copied().map(underscore).collect()
}
