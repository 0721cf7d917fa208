//! The arguments that name a module tree and its firmware on this host.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use guest_init::guest::modules::tree::MODULES;

use super::firmware::FIRMWARE;

/// The arguments for a module tree.
#[derive(Debug, Args)]
pub struct TreeOptions {
    /// The guest's root file system as a folder: its modules are in DIR/lib/modules, its firmware in DIR/lib/firmware.
    /// check also reads its modprobe.d
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The folder that holds RELEASE/modules.dep [default: lib/modules of --root, or else /lib/modules]
    #[arg(long, value_name = "DIR", conflicts_with = "root")]
    module_dir: Option<PathBuf>,
    /// The kernel's release, as `uname -r` prints it in the guest [default: the only one in the module folder]
    #[arg(long)]
    release: Option<String>,
    /// The folder of firmware files [default: lib/firmware of --root]
    #[arg(long, value_name = "DIR")]
    firmware_dir: Option<PathBuf>,
}

impl TreeOptions {
    /// The guest's root, if `--root` names it.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// The release that `--release` names.
    pub fn named_release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// The folder that `--module-dir` names.
    pub fn named_module_dir(&self) -> Option<&Path> {
        self.module_dir.as_deref()
    }

    /// The folder that holds a module tree for each release.
    pub fn module_dir(&self) -> PathBuf {
        match (&self.module_dir, &self.root) {
            (Some(directory), _) => directory.clone(),
            (None, Some(root)) => root.join(MODULES.trim_start_matches('/')),
            (None, None) => MODULES.into(),
        }
    }

    /// The folder of firmware, if it is known.
    pub fn firmware_dir(&self) -> Option<PathBuf> {
        self.firmware_dir.clone().or_else(|| Some(self.root.as_ref()?.join(FIRMWARE)))
    }

    /// The release that `--release` names, or else the only one in a module folder.
    pub fn release_in(&self, directory: &Path) -> Result<String> {
        match &self.release {
            Some(release) => Ok(release.clone()),
            None => only_release(directory),
        }
    }
}

/// The only release that has a module tree in a folder.
fn only_release(modules: &Path) -> Result<String> {
    let mut releases = Vec::new();
    let none = |error| {
        let name = modules.display();
        anyhow!("{name}: {error}: no module trees; name their folder with --module-dir, or the root with --root")
    };
    for entry in fs::read_dir(modules).map_err(none)? {
        let entry = entry?;
        let has = |name| entry.path().join(name).exists();
        if has("modules.dep") || has("modules.dep.bin") {
            releases.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    releases.sort();
    match &releases[..] {
        [release] => Ok(release.clone()),
        [] => bail!(
            "{}: no module tree: it has no RELEASE/modules.dep; name another --module-dir, or run depmod",
            modules.display()
        ),
        several => {
            bail!("{}: several module trees; choose with --release among {}", modules.display(), several.join(", "))
        }
    }
}

/// A path as UTF-8 text, which the library takes.
pub fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: not UTF-8", path.display()))
}
