//! Output files that are written completely or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A new file that is removed on drop unless it is published.
pub struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    /// Creates a file beside the path that it is meant for, so that a rename is enough to publish it.
    pub fn beside(path: &Path) -> Result<Self> {
        let name = path.file_name().with_context(|| format!("{}: not the name of a file", path.display()))?;
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}.part", std::process::id()));
        let draft = path.with_file_name(draft);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&draft)
            .with_context(|| path.display().to_string())?;
        Ok(Self { path: draft, file })
    }

    /// The file, which can be read and written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Renames the file to its path.
    pub fn publish(&self, path: &Path) -> Result<()> {
        fs::rename(&self.path, path).with_context(|| path.display().to_string())
    }
}

impl Drop for Draft {
    /// After [`Draft::publish`] the path no longer exists.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
