//! Where a module tree and its firmware are on this host.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use guest_init::guest::modules::tree::MODULES;

use super::firmware::FIRMWARE;

/// A module tree, and whose it is.
#[derive(Debug, Args)]
pub struct TreeOptions {
    /// A root as a folder here: modules are in DIR/lib/modules, firmware in DIR/lib/firmware; check heeds its modprobe.d,
    /// too
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where module trees are: DIR/RELEASE/modules.dep [default: /lib/modules, of the root if there is one]
    #[arg(long, value_name = "DIR", conflicts_with = "root")]
    module_dir: Option<PathBuf>,
    /// The kernel's release, as its `uname -r` prints it [default: the only one in the module folder]
    #[arg(long)]
    release: Option<String>,
    /// Where the firmware is that modules name [default: lib/firmware of --root]
    #[arg(long, value_name = "DIR")]
    firmware_dir: Option<PathBuf>,
}

impl TreeOptions {
    /// The guest's root, if it is known.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// The release that was named.
    pub fn named_release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// The module folder that was named.
    pub fn named_module_dir(&self) -> Option<&Path> {
        self.module_dir.as_deref()
    }

    /// The folder that holds a tree for each release.
    pub fn module_dir(&self) -> PathBuf {
        match (&self.module_dir, &self.root) {
            (Some(directory), _) => directory.clone(),
            (None, Some(root)) => root.join(MODULES.trim_start_matches('/')),
            (None, None) => MODULES.into(),
        }
    }

    /// Where firmware is.
    pub fn firmware_dir(&self) -> Option<PathBuf> {
        self.firmware_dir.clone().or_else(|| Some(self.root.as_ref()?.join(FIRMWARE)))
    }

    /// The release that was named, or the one of which there is a tree in a module folder.
    pub fn release_in(&self, directory: &Path) -> Result<String> {
        match &self.release {
            Some(release) => Ok(release.clone()),
            None => only_release(directory),
        }
    }
}

/// The one release of which there is a tree.
fn only_release(modules: &Path) -> Result<String> {
    let mut releases = Vec::new();
    let none = |error| {
        let name = modules.display();
        anyhow!("{name}: {error}: no folder of module trees; name it with --root or --module-dir")
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
            "{}: no module tree in it: no RELEASE/modules.dep; name another --module-dir, or run depmod",
            modules.display()
        ),
        several => bail!("{}: which --release? There is {}", modules.display(), several.join(", ")),
    }
}

/// A path as text, which the library takes.
pub fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: not UTF-8", path.display()))
}
