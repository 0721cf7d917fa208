//! A folder for a test.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

/// A folder, which is removed with this value.
pub struct Folder(TempDir);

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    /// A path below the folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Writes a file below the folder, and makes the folders of its path.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders can be made");
        fs::write(path, content).expect("the file can be written");
    }
}
