//! The arguments that name a guest's root, its module tree and its firmware on this host.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use guest_init::guest::modules::config_files::ConfigPath;
use guest_init::guest::modules::tree::MODULES;
use guest_init::guest::system::files::Directory;
use guest_init::machine::Machine;

use super::container_root::{self, UnpackedRoot};
use super::firmware::FIRMWARE;
use super::folder::Folder;

/// The arguments for a module tree.
#[derive(Debug, Args)]
pub struct TreeOptions {
    /// The guest's root file system: a folder, a tar file such as that of `docker export`, or an OCI image layout as a
    /// folder or a tar file; `-` is a tar file on standard input. Modules are looked up in its lib/modules or
    /// usr/lib/modules, firmware in lib/firmware beside them, and files of other options that lie below ROOT. Absolute
    /// links in it begin at ROOT. build copies nothing else of it without --whole-root. check also reads its modprobe.d
    #[arg(long, value_name = "ROOT")]
    root: Option<PathBuf>,
    /// The root, if it had to be unpacked.
    #[arg(skip)]
    unpacked: OnceLock<UnpackedRoot>,
    /// The folder that holds RELEASE/modules.dep. check takes several, and the first that has a module counts; build
    /// and extension take one, and the others as --base [default: lib/modules of --root, or else /lib/modules]
    #[arg(long, value_name = "DIR")]
    module_dir: Vec<PathBuf>,
    /// The kernel's release, as `uname -r` prints it in the guest [default: the only one in the module folder]
    #[arg(long)]
    release: Option<String>,
    /// The folder of firmware files [default: lib/firmware of --root]
    #[arg(long, value_name = "DIR")]
    firmware_dir: Option<PathBuf>,
}

impl TreeOptions {
    /// Unpacks the root if it is a tar file or an OCI image layout, of which the image for `machine` counts. Every
    /// command that reads the root calls this first.
    pub fn unpack_root(&self, machine: &Machine) -> Result<()> {
        if let Some(root) =
            self.root.as_deref().map(|path| container_root::unpack(path, machine)).transpose()?.flatten()
        {
            let _ = self.unpacked.set(root);
        }
        Ok(())
    }

    /// The root, if it had to be unpacked.
    pub fn unpacked_root(&self) -> Option<&UnpackedRoot> {
        self.unpacked.get()
    }

    /// The path that `--root` names. Paths of other options that begin with it mean files of the root.
    pub fn root_path(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// The guest's root, if `--root` names it.
    pub fn root(&self) -> Option<Folder> {
        let path = self.root_path()?;
        let folder = self.unpacked_root().map(|root| Folder::of_guest(&root.path()));
        // Messages name the root as its option does.
        Some(folder.map_or_else(|| Folder::of_guest(path), |folder| Folder { path: path.into(), ..folder }))
    }

    /// The release that `--release` names.
    pub fn named_release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// Whether `--module-dir` names a folder.
    pub fn names_module_dir(&self) -> bool {
        !self.module_dir.is_empty()
    }

    /// The folders that hold a module tree for each release, at least one.
    pub fn module_dirs(&self) -> Vec<Folder> {
        match self.root() {
            _ if self.names_module_dir() => self.module_dir.iter().map(|path| Folder::on_host(path)).collect(),
            Some(root) => vec![in_root(&root, MODULES)],
            None => vec![Folder::on_host(Path::new(MODULES))],
        }
    }

    /// The folder of firmware, if it is known.
    pub fn firmware_dir(&self) -> Option<Folder> {
        match &self.firmware_dir {
            Some(path) => Some(self.folder(path)),
            None => self.root().map(|root| in_root(&root, FIRMWARE)),
        }
    }

    /// A folder that another argument names. If its path lies below `--root`, the links in it begin there.
    pub fn folder(&self, path: &Path) -> Folder {
        match self.below_root(path) {
            Some((root, below)) => root.below(below),
            None => Folder::on_host(path),
        }
    }

    /// The file or folder that another argument names, as a path on this host. If it lies below `--root`, the links on
    /// the way begin there. A path that can't be opened stays as it is.
    pub fn on_host(&self, path: &Path) -> PathBuf {
        let within = self.below_root(path).and_then(|(root, below)| {
            let folder = || super::folder::path_of(root.below(below).directory.ok()?).ok();
            root.file(below).ok().or_else(folder)
        });
        within.unwrap_or_else(|| path.into())
    }

    /// A folder of configuration for the module tree.
    pub fn config<'a>(&self, root: Option<&'a Directory>, path: &'a Path) -> ConfigPath<'a> {
        let below = self.root.as_ref().and_then(|root| path.strip_prefix(root).ok());
        match (root, below) {
            (Some(root), Some(below)) => ConfigPath { root: Some(root), path: below.as_os_str().as_bytes() },
            _ => path.as_os_str().as_bytes().into(),
        }
    }

    /// The root, and the path below it, of a path that lies there.
    fn below_root<'a>(&self, path: &'a Path) -> Option<(Folder, &'a Path)> {
        Some((self.root()?, path.strip_prefix(self.root.as_ref()?).ok()?))
    }

    /// The release that `--release` names, or else the only one in a module folder.
    pub fn release_in(&self, modules: &Folder) -> Result<String> {
        match &self.release {
            Some(release) => Ok(release.clone()),
            None => only_release(modules),
        }
    }
}

/// A folder of the guest's root, or the one of the same path below `/usr`. Packages of a distribution whose `/lib` is a
/// link to `usr/lib` have their files only there.
fn in_root(root: &Folder, path: &str) -> Folder {
    let usr = root.below("usr").below(path);
    match root.below(path) {
        folder if folder.exists() || !usr.exists() => folder,
        _ => usr,
    }
}

/// The only release that has a module tree in a folder.
fn only_release(modules: &Folder) -> Result<String> {
    let name = modules.path.display();
    let none = |error| {
        let error = std::io::Error::from(error);
        anyhow!("{name}: {error}: no module trees; name their folder with --module-dir, or the root with --root")
    };
    let directory = modules.directory.as_ref().map_err(|error| none(*error))?;
    let mut releases = directory.names().map_err(none)?;
    releases.retain(|release| {
        let has = |index| directory.directory(release.as_str()).and_then(|tree| tree.regular(index)).is_ok();
        has("modules.dep") || has("modules.dep.bin")
    });
    match &releases[..] {
        [release] => Ok(release.clone()),
        [] => bail!("{name}: no module tree: it has no RELEASE/modules.dep; name another --module-dir, or run depmod"),
        several => bail!("{name}: several module trees; choose with --release among {}", several.join(", ")),
    }
}

/// A path as UTF-8 text, which the library takes.
pub fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: not UTF-8", path.display()))
}
