//! Firmware files that modules name, and the folders in which the kernel looks for them (`fw_path` in
//! drivers/base/firmware_loader/main.c).

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fs, iter};

use guest_init::guest::modules::unpack::Format;
use guest_init::resolve::tree::glob::glob;

/// The folder of firmware below a root.
pub const FIRMWARE: &str = "lib/firmware";

/// A folder of firmware.
#[derive(Debug)]
pub struct Firmware {
    /// The folders to search, in this order.
    places: [PathBuf; 4],
}

impl Firmware {
    /// The firmware folder at `path`, as a kernel of this release searches it.
    pub fn at(path: &Path, release: &str) -> Self {
        let updates = path.join("updates");
        Self { places: [updates.join(release), updates, path.join(release), path.into()] }
    }

    /// The path on this host of a file that [`Firmware::files`] returned.
    pub fn on_host(&self, file: &Path) -> PathBuf {
        self.base().join(file)
    }

    fn base(&self) -> &Path {
        let [.., base] = &self.places;
        base
    }

    /// The files for a name in a module's `firmware=`, as paths below the folder. Some names contain `*`.
    pub fn files(&self, name: &[u8]) -> Vec<PathBuf> {
        let Ok(name) = str::from_utf8(name) else { return Vec::new() };
        for place in &self.places {
            for suffix in suffixes() {
                let mut found = matching(place, &format!("{name}{suffix}"));
                if !found.is_empty() {
                    found.sort();
                    let below = |path: PathBuf| path.strip_prefix(self.base()).map(PathBuf::from).unwrap_or(path);
                    return found.into_iter().map(below).collect();
                }
            }
        }
        Vec::new()
    }
}

/// Suffixes of firmware files, in the order in which the kernel tries them: none, then the compressed formats.
fn suffixes() -> impl Iterator<Item = &'static str> {
    let compressed = Format::ALL.into_iter().filter(|format| format.is_for_firmware());
    iter::once("").chain(compressed.map(Format::suffix))
}

/// The regular files below `place` whose path matches `pattern`. Only the last part of the pattern may contain a `*`.
fn matching(place: &Path, pattern: &str) -> Vec<PathBuf> {
    if Path::new(pattern).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Vec::new();
    }
    let path = place.join(pattern);
    if !pattern.contains(['*', '?', '[']) {
        return if path.is_file() { vec![path] } else { Vec::new() };
    }
    let (Some(parent), Some(last)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let fits = entries.filter(|entry| glob(last.as_bytes(), entry.file_name().as_bytes()));
    fits.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}
