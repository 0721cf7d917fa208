//! The version magic of a kernel and of its modules, compared as the kernel compares them (`same_magic` and
//! `check_version` in kernel/module/version.c): if both have the versions of symbols, these count, and the release does
//! not.

use guest_init::elf::Elf;
use guest_init::failure::{Code, Failure};
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::tree::module::Module;
use guest_init::text::Shown;

use super::kernel_config::KernelConfig;
use super::symbol_versions::SymbolVersions;

/// The facts about a kernel that decide which modules it takes.
pub struct VersionMagic<'k> {
    release: String,
    whole: Option<&'k [u8]>,
    versions: Option<&'k SymbolVersions>,
    /// Whether the kernel compares the versions of symbols (CONFIG_MODVERSIONS).
    by_versions: bool,
}

impl<'k> VersionMagic<'k> {
    /// A kernel of which the release is known, and perhaps the configuration.
    pub fn of_release(release: &str, config: Option<&KernelConfig<'_>>) -> Self {
        let by_versions = config.is_some_and(|config| config.has("MODVERSIONS"));
        Self { release: release.into(), whole: None, versions: None, by_versions }
    }

    /// Adds the version magic in the kernel's image, and the versions of the kernel's symbols if they are known. A word
    /// of the version magic stands for CONFIG_MODVERSIONS.
    pub fn with_image(self, whole: &'k [u8], versions: Option<&'k SymbolVersions>) -> Self {
        let by_versions = whole.split(|&b| b == b' ').any(|word| word == b"modversions");
        Self { whole: Some(whole), versions, by_versions, ..self }
    }

    /// The failure with which the kernel would refuse a module, or a warning if it may refuse it.
    ///
    /// Failure: [`Code::OtherKernel`].
    pub fn compare(&self, module: &Module<'_>, contents: &[u8]) -> Result<Option<String>, Failure> {
        let refused = |reason: &str| Err(Failure::new(Code::OtherKernel, module, reason));
        let magic = ModInfo::find(contents).and_then(|info| info.values("vermagic").next());
        let Some(theirs) = magic else { return Ok(None) };
        let (theirs, ours) = match self.whole {
            Some(ours) => (theirs, ours),
            None => (theirs.split(|&b| b == b' ').next().unwrap_or_default(), self.release.as_bytes()),
        };
        let flags = |magic: &[u8]| magic.iter().position(|&b| b == b' ').map(|at| magic[at..].to_vec());
        let reason = format!("built for {}, this kernel is {}", Shown(theirs.trim_ascii()), Shown(ours.trim_ascii()));
        let by_versions = self.by_versions && has_versions(contents);
        if theirs != ours && !(by_versions && flags(theirs) == flags(ours)) {
            return refused(&reason);
        }
        let versions = self.versions.filter(|_| by_versions);
        let difference = versions.map(|versions| versions.first_difference(contents));
        match (difference, theirs == ours) {
            (Some(Some(symbol)), true) => {
                let reason =
                    format!("built for another {}: it needs another version of {}", self.release, Shown(symbol));
                refused(&reason)
            }
            (Some(Some(symbol)), false) => refused(&format!("{reason}: it needs another version of {}", Shown(symbol))),
            (None, false) => {
                Ok(Some(format!("{module}: {reason}: it loads only if the versions of its symbols are this kernel's")))
            }
            (Some(None) | None, _) => Ok(None),
        }
    }
}

/// Whether a module has versions of the symbols that it needs (CONFIG_MODVERSIONS).
fn has_versions(contents: &[u8]) -> bool {
    let section = |name| Elf::new(contents).and_then(|elf| elf.section(name)).is_some_and(|bytes| !bytes.is_empty());
    section(b"__versions") || section(b"__version_ext_crcs")
}
