//! Where the guest's files are on this host: below --root, in the folders of its shares, or where an option says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use guest_init::failure::Failure;
use guest_init::guest::files::{Directory, open_directory};
use guest_init::guest::lists;
use guest_init::guest::tree::CONFIG;
use guest_init::request::DEFAULT_MODULE_DIR;
use guest_init::request::location::Location;
use rustix::io;

use crate::args::utf8;
use crate::check::Against;

/// A folder, opened if that is possible, and its path.
type Folder = (io::Result<Directory>, PathBuf);

impl Against {
    /// The text of a list that a kernel command line names.
    pub fn list(&self, location: &Location<'_>) -> Result<Result<&'static [u8], Failure>> {
        let (folder, _) = self.folder(location).with_context(|| format!("guest_init.modules_file={location}"))?;
        Ok(lists::text(location, folder.and_then(|folder| folder.regular(location.below()))))
    }

    /// The folder of module trees: what an option names, or else what the kernel command line does.
    pub fn module_dir(&self, location: &Location<'_>) -> Result<Folder> {
        let by_default = *location == Location::in_image(DEFAULT_MODULE_DIR) && self.place.root().is_none();
        if self.place.named_module_dir().is_some() || by_default {
            let path = self.place.module_dir();
            return Ok((Directory::open(&path), path));
        }
        let (folder, path) = self.folder(location).with_context(|| format!("guest_init.module_dir={location}"))?;
        let below = str::from_utf8(location.below()).with_context(|| format!("{location}: not UTF-8"))?;
        Ok((folder.and_then(|folder| folder.directory(below)), path.join(below)))
    }

    /// The root that a location's path begins at.
    fn folder(&self, location: &Location<'_>) -> Result<Folder> {
        let Some(tag) = location.tag else {
            let root = self.place.root().context("a path of the guest's: name its --root")?;
            return Ok((Directory::open(root), root.into()));
        };
        let share = self.share.iter().find(|share| share.tag.as_bytes() == tag);
        let Some(share) = share else { bail!("a share of the host's: name its folder, --share TAG=DIR") };
        Ok((open_directory(&share.directory).map(Directory::of_host), share.directory.clone()))
    }

    /// The folders of modprobe.d, the most important first.
    pub fn config_folders(&self) -> Result<Vec<String>> {
        let of_root = self.place.root().into_iter().flat_map(|root| CONFIG.map(|path| below(root, path)));
        let folders = self.config.iter().cloned().chain(of_root);
        folders.map(|path| utf8(&path).map(String::from)).collect()
    }
}

/// A whole path of the guest's, on this host.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
