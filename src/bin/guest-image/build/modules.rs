//! The modules of an image: the arguments that name them, and all that an image gets for them. An initramfs and an
//! extension have the same.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use guest_init::failure::Failure;
use guest_init::guest::modules::config_files::ConfigPath;
use guest_init::guest::modules::tree::{MODULES, ModuleTree};
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::machine::Machine;
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list;

use crate::cli::stderr::{Failures, warn};
use crate::shared::firmware::{Firmware, NOT_LOOKED_FOR};
use crate::shared::folder::Folder;
use crate::shared::kernel_config::KernelConfig;
use crate::shared::lists::List;
use crate::shared::modaliases::{self, ModaliasOptions};
use crate::shared::tree_options::TreeOptions;
use crate::shared::version_magic::VersionMagic;

use super::archive::Archive;
use super::module_tree::{self, ModuleFiles};
use super::report::AddedModules;
use super::selection::Selection;

/// The arguments for the modules of an image.
#[derive(Debug, Args)]
pub struct ModuleOptions {
    /// Take every module of the tree
    #[arg(long = "all-modules")]
    pub all: bool,
    /// The form of the modules in the image. If none is given, `plain`; with --all-modules `unchanged`, because most
    /// modules of such an image are never loaded, and would take the VM's memory
    #[arg(long, value_enum, value_name = "FORM")]
    module_files: Option<ModuleFiles>,
    /// Only warn if the tree lacks a listed module, modprobe.d refuses one, or the image lacks the agent's interpreter;
    /// a VM that is given the same list, or this agent, fails
    #[arg(long)]
    pub allow_missing: bool,
    /// The devices of the VMs that get the image.
    #[command(flatten)]
    devices: ModaliasOptions,
    /// The module tree.
    #[command(flatten)]
    pub tree: TreeOptions,
    /// A folder that holds RELEASE/modules.dep, of a tree that the VM has besides the image. The lists may name its
    /// modules, and nothing of it is copied; may repeat
    #[arg(long, value_name = "DIR")]
    base: Vec<PathBuf>,
}

impl ModuleOptions {
    /// Adds the modules of the lists and their firmware, as the modprobe.d folders of `config` have it. Does not look
    /// for a module tree if the arguments ask for no module and name no release. A module for another machine than
    /// `machine` is refused. If `machine` is not known, the first module's counts.
    pub fn add_to(
        &self,
        archive: &mut Archive,
        lists: &[List],
        config: &[PathBuf],
        machine: Option<&Machine>,
    ) -> Result<AddedModules> {
        let entries = entries(lists)?;
        let modaliases = self.modaliases(&entries)?;
        if entries.is_empty() && !self.all && self.tree.named_release().is_none() {
            return Ok(AddedModules::default());
        }
        let folders = self.tree.module_dirs();
        let [folder] = &folders[..] else {
            bail!("several --module-dir: name those that the VM has besides with --base")
        };
        let release = self.tree.release_in(folder)?;
        let root = self.tree.root();
        let root = root.as_ref().and_then(|root| root.directory.as_ref().ok());
        let config: Vec<_> = config.iter().map(|path| self.tree.config(root, path)).collect();
        let files = self.open(folder, &release, &config).map_err(Failures::from)?;
        let directory = files.tree(0).directory();
        let config = files.config(ModuleWords::NONE);
        let tree = files.sources(&config);
        // With --all-modules the lists are resolved as well, so that a wrong name is found.
        let mut selection = Selection::of_entries(tree, &files, &entries, modaliases, self.allow_missing)?;
        if self.all {
            selection = Selection::of_all(tree, directory, self.allow_missing)?;
        }
        let kernel_config = KernelConfig::find(files.tree(0), self.tree.root(), &release);
        match self.tree.firmware_dir() {
            // To decompress a whole tree takes longer than the rest of the build. Its first module speaks for all.
            None if self.all && self.base.is_empty() => {
                warn(format_args!("firmware {NOT_LOOKED_FOR}"));
                module_tree::check_first(directory, &selection, machine)?;
            }
            folder => {
                let magic = VersionMagic::of_release(&release, kernel_config.as_ref());
                let firmware = Firmware::new(folder, &release);
                module_tree::look_into(archive, &tree, directory, machine, &magic, firmware, &selection)?;
            }
        }
        let form = self.module_files.unwrap_or(if self.all { ModuleFiles::Unchanged } else { ModuleFiles::Plain });
        module_tree::add(archive, &format!("{MODULES}/{release}"), &tree, directory, &mut selection, form)?;
        let kernel_has_zstd = kernel_config.is_none_or(|config| config.has("RD_ZSTD"));
        Ok(AddedModules { release: Some(release), modules: selection.len(), kernel_has_zstd })
    }

    /// Opens the tree of the image, and behind it those that the VM has besides.
    fn open(&self, folder: &Folder, release: &str, config: &[ConfigPath<'_>]) -> Result<ModuleTrees, Failure> {
        let open = |folder: &Folder| ModuleTree::open(folder.directory.clone(), &folder.path.display(), release);
        let mut trees = ModuleTrees::of(open(folder)?);
        for base in &self.base {
            trees.add(open(&self.tree.folder(base))?);
        }
        trees.require_config(config)?;
        Ok(trees)
    }

    /// The modaliases for `@devices` among the entries.
    ///
    /// Errors: those of [`ModaliasOptions::read`]; no entry asks for devices, or their modaliases are not known.
    fn modaliases(&self, entries: &[list::Entry<'_>]) -> Result<&[Vec<u8>]> {
        match (entries.iter().any(|entry| entry.devices().is_some()), self.devices.are_given()) {
            (true, false) if !self.all => {
                bail!("@devices: the image would have no drivers: {}, or take --all-modules", modaliases::ADVICE)
            }
            (false, true) => bail!("--modalias has no effect: no list has the entry @devices"),
            _ => self.devices.read(),
        }
    }
}

/// The entries of all lists, or all failures in them.
fn entries(lists: &[List]) -> Result<Vec<list::Entry<'_>>, Failures> {
    let mut entries = Vec::new();
    let mut failures = Failures(Vec::new());
    for List { name, text } in lists {
        match text {
            Ok(text) => list::read(text, name, &mut |entry| match entry {
                Ok(entry) => entries.push(entry),
                Err(failure) => failures.0.push(failure),
            }),
            Err(failure) => failures.0.push(failure.clone()),
        }
    }
    failures.into_result().map(|()| entries)
}
