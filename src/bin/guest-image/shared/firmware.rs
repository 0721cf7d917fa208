//! Firmware files that modules name, and the folders in which the kernel looks for them (`fw_path` in
//! drivers/base/firmware_loader/main.c).

use std::collections::BTreeSet;
use std::iter;
use std::path::{Component, Path, PathBuf};

use guest_init::guest::modules::unpack::Format;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::tree::glob::glob;
use guest_init::resolve::tree::module::Module;
use guest_init::text::Shown;

use super::folder::Folder;

/// The folder of firmware in an image.
pub const FIRMWARE: &str = "/lib/firmware";
/// The end of the remark on firmware, if no option names its folder.
pub const NOT_LOOKED_FOR: &str = "was not looked for; name its folder with --root or --firmware-dir";
/// The most names of files or modules that a remark shows.
const SHOWN: usize = 3;

/// The firmware of an image, as modules are looked at one after the other.
#[derive(Debug)]
pub struct Firmware {
    /// `None`: no option names its folder.
    folder: Option<Folder>,
    /// The folders below it that are searched, in this order.
    places: [PathBuf; 4],
    /// Modules that name firmware, if no option names its folder.
    not_looked_for: BTreeSet<String>,
}

/// The firmware of a module.
#[derive(Debug, Default)]
pub struct ModuleFirmware {
    /// The files, as paths below the folder.
    pub files: Vec<PathBuf>,
    /// The warning about files that are missing.
    pub warning: Option<String>,
}

impl Firmware {
    /// The firmware in a folder, as a kernel of this release searches it.
    pub fn new(folder: Option<Folder>, release: &str) -> Self {
        let updates = Path::new("updates");
        let places = [updates.join(release), updates.into(), release.into(), PathBuf::new()];
        Self { folder, places, not_looked_for: BTreeSet::new() }
    }

    /// Looks for the files that a module names.
    pub fn look_for(&mut self, module: &Module<'_>, info: &ModInfo<'_>) -> ModuleFirmware {
        let names: Vec<_> = info.values("firmware").collect();
        let Some(folder) = &self.folder else {
            self.not_looked_for.extend((!names.is_empty()).then(|| module.to_string()));
            return ModuleFirmware::default();
        };
        let found: Vec<_> = names.iter().map(|name| self.files(folder, name)).collect();
        let missing = || names.iter().zip(&found).filter(|(_, files)| files.is_empty()).map(|(name, _)| Shown(name));
        let warning = (missing().count() > 0).then(|| {
            let mut shown: Vec<_> = missing().take(SHOWN).map(|name| name.to_string()).collect();
            shown.extend((missing().count() > SHOWN).then(|| "...".into()));
            let (lacking, all, folder) = (missing().count(), names.len(), folder.path.display());
            format!("{module}: {lacking} of {all} firmware files not in {folder}: {}", shown.join(", "))
        });
        ModuleFirmware { files: found.into_iter().flatten().collect(), warning }
    }

    /// The remark on the modules whose firmware was not looked for.
    pub fn not_looked_for(&self) -> Option<String> {
        let shown: Vec<_> = self.not_looked_for.iter().take(SHOWN).map(String::as_str).collect();
        let others = match self.not_looked_for.len().saturating_sub(SHOWN) {
            0 => String::new(),
            1 => " and another module".into(),
            count => format!(" and {count} other modules"),
        };
        let text = || format!("firmware of {}{others} {NOT_LOOKED_FOR}", shown.join(", "));
        (!shown.is_empty()).then(text)
    }

    /// The path on this host of a file that [`Firmware::look_for`] returned.
    pub fn on_host(&self, file: &Path) -> std::io::Result<PathBuf> {
        self.folder.as_ref().ok_or(std::io::ErrorKind::NotFound)?.file(file)
    }

    /// The files for a name in a module's `firmware=`. Some names contain `*`.
    fn files(&self, folder: &Folder, name: &[u8]) -> Vec<PathBuf> {
        let Ok(name) = str::from_utf8(name) else { return Vec::new() };
        if Path::new(name).components().any(|part| !matches!(part, Component::Normal(_))) {
            return Vec::new();
        }
        let places = self.places.iter().flat_map(|place| suffixes().map(move |suffix| (place, suffix)));
        let mut found = places.map(|(place, suffix)| matching(folder, place, &format!("{name}{suffix}")));
        found.find(|files| !files.is_empty()).unwrap_or_default()
    }
}

/// Suffixes of firmware files, in the order in which the kernel tries them: none, then the compressed formats.
fn suffixes() -> impl Iterator<Item = &'static str> {
    let compressed = Format::ALL.into_iter().filter(|format| format.is_for_firmware());
    iter::once("").chain(compressed.map(Format::suffix))
}

/// The regular files of a folder whose path below `place` matches `pattern`, in order. Only the last part of the
/// pattern may contain a `*`.
fn matching(folder: &Folder, place: &Path, pattern: &str) -> Vec<PathBuf> {
    let (parent, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let parent = place.join(parent);
    let names = match pattern.contains(['*', '?', '[']) {
        false => vec![last.into()],
        true => folder.below(&parent).directory.and_then(|parent| parent.names()).unwrap_or_default(),
    };
    let fits = names.into_iter().filter(|name| name == last || glob(last.as_bytes(), name.as_bytes()));
    fits.map(|name| parent.join(name)).filter(|path| folder.file(path).is_ok()).collect()
}
