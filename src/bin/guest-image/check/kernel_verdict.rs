//! The kernel's verdict on a module, as far as the kernel's image, configuration and command line tell it.

use std::borrow::Cow;
use std::fs;

use guest_init::elf::Elf;
use guest_init::failure::{Code, Failure};
use guest_init::guest::modules::tree::ModuleTree;
use guest_init::guest::modules::unpack::Format;
use guest_init::guest::system::files::File;
use guest_init::request::kernel::ModuleWords;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::tree::module::Module;
use guest_init::text::Shown;

use super::findings::{Findings, Remark, Topic};
use super::kernel_image::KernelImage;
use super::symbol_versions::SymbolVersions;
use super::vm_options::VmOptions;

/// The last bytes of a signed module (linux/module_signature.h).
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// The longest .config, in bytes. Those of distributions have 300 KB.
const LONGEST_CONFIG: usize = 16 << 20;

/// The facts that are known about a kernel.
pub struct KernelFacts<'k> {
    release: String,
    vermagic: Option<&'k [u8]>,
    versions: Option<&'k SymbolVersions>,
    /// Whether there is an image of the kernel, and why it could not be read.
    has_image: bool,
    unread: Option<&'k str>,
    config: Option<Cow<'k, [u8]>>,
    words: ModuleWords<'k>,
}

impl<'k> KernelFacts<'k> {
    /// The kernel of these findings, with its image, if there is one, and its words before ` -- `.
    pub fn new(
        vm: &VmOptions,
        kernel: Option<&'k KernelImage>,
        words: ModuleWords<'k>,
        tree: &ModuleTree,
        findings: &Findings,
    ) -> Self {
        Self {
            release: findings.release.clone(),
            vermagic: kernel.and_then(|kernel| kernel.vermagic.as_deref()),
            versions: kernel.and_then(|kernel| kernel.versions.as_ref()),
            has_image: kernel.is_some(),
            unread: kernel.and_then(|kernel| kernel.unread.as_deref()),
            config: config(vm, kernel, tree, findings),
            words,
        }
    }

    /// The failure with which the kernel would refuse a module, or a warning if it may refuse it.
    pub fn verdict(&self, module: &Module<'_>, contents: &[u8]) -> Result<Option<String>, Failure> {
        self.switches(module)?;
        if self.enforces_signatures() && !contents.ends_with(SIGNED) {
            return Err(Failure::new(Code::BadSignature, module, "it has no signature, and this kernel requires one"));
        }
        let no_module = || Failure::new(Code::NotAModule, module, "the file is not a module, or it is truncated");
        self.release(module, &ModInfo::find(contents).ok_or_else(no_module)?, contents)
    }

    /// Whether the kernel decompresses modules of a format. `None` if its configuration is unknown.
    pub fn decompresses(&self, format: Format) -> Option<bool> {
        self.config.as_ref()?;
        Some(self.has("MODULE_DECOMPRESS") && self.has(format.kernel_option()))
    }

    /// Refuses a module that the kernel command line forbids.
    fn switches(&self, module: &Module<'_>) -> Result<(), Failure> {
        let reason = self.words.refuse(module.name);
        reason.map_or(Ok(()), |reason| Err(Failure::new(Code::Forbidden, module, reason)))
    }

    fn enforces_signatures(&self) -> bool {
        self.has("MODULE_SIG_FORCE") || self.words.enforces_signatures()
    }

    /// The kernel's own comparison (`same_magic` and `check_version` in kernel/module/version.c): if the kernel and the
    /// module have the versions of their symbols, these count, and the release does not.
    fn release(&self, module: &Module<'_>, info: &ModInfo<'_>, contents: &[u8]) -> Result<Option<String>, Failure> {
        let refused = |reason: &str| Failure::new(Code::OtherKernel, module, reason);
        let Some(theirs) = info.values("vermagic").next() else { return Ok(None) };
        let (theirs, ours) = match self.vermagic {
            Some(ours) => (theirs, ours),
            None => (theirs.split(|&b| b == b' ').next().unwrap_or_default(), self.release.as_bytes()),
        };
        let flags = |magic: &[u8]| magic.iter().position(|&b| b == b' ').map(|at| magic[at..].to_vec());
        let reason = format!("built for {}, this kernel is {}", Shown(theirs.trim_ascii()), Shown(ours.trim_ascii()));
        let by_versions = self.compares_versions() && has_versions(contents);
        if theirs != ours && !(by_versions && flags(theirs) == flags(ours)) {
            return Err(refused(&reason));
        }
        let versions = self.versions.filter(|_| by_versions);
        match versions.map(|versions| versions.first_difference(contents)) {
            Some(Some(symbol)) if theirs == ours => Err(refused(&format!(
                "built for another {}: it needs another version of {}",
                self.release,
                Shown(symbol)
            ))),
            Some(Some(symbol)) => Err(refused(&format!("{reason}: it needs another version of {}", Shown(symbol)))),
            None if theirs != ours => {
                Ok(Some(format!("{module}: {reason}: it loads only if the versions of its symbols are this kernel's")))
            }
            Some(None) | None => Ok(None),
        }
    }

    /// Whether the kernel compares the versions of symbols (CONFIG_MODVERSIONS). The version magic has a word for it.
    fn compares_versions(&self) -> bool {
        let word = |magic: &[u8]| magic.split(|&b| b == b' ').any(|word| word == b"modversions");
        self.vermagic.map_or_else(|| self.has("MODVERSIONS"), word)
    }

    /// The warning that the kernel in the image could not be looked into.
    pub fn unread(&self) -> Option<Remark> {
        let text = format!("the kernel in --kernel can't be read, so only its release is compared: {}", self.unread?);
        Some(Remark::new(Topic::Kernel, None, text))
    }

    /// The note that nobody knows the configuration of the kernel in the image.
    pub fn without_config(&self) -> Option<Remark> {
        let text = "the configuration of the kernel was not found: nobody knows whether it requires signatures";
        (self.has_image && self.config.is_none()).then(|| Remark::new(Topic::Kernel, None, text.into()))
    }

    fn has(&self, name: &str) -> bool {
        let line = format!("CONFIG_{name}=y");
        self.config.iter().flat_map(|config| config.split(|&b| b == b'\n')).any(|other| other == line.as_bytes())
    }
}

/// The kernel's .config: from the image, the module tree, /boot of the root, or the folder of the image. The first that
/// exists counts.
fn config<'k>(
    vm: &VmOptions,
    kernel: Option<&'k KernelImage>,
    tree: &ModuleTree,
    findings: &Findings,
) -> Option<Cow<'k, [u8]>> {
    if let Some(config) = kernel.and_then(|kernel| kernel.config.as_deref()) {
        return Some(config.into());
    }
    let named = format!("config-{}", findings.release);
    let read = |file: File| file.contents(LONGEST_CONFIG).ok();
    let in_tree = tree.directory().regular("config").ok().and_then(read);
    let in_boot = || vm.tree.root()?.below("boot").directory.and_then(|boot| boot.regular(&*named)).ok().and_then(read);
    let beside = |name: &str| fs::read(vm.kernel.as_deref()?.with_file_name(name)).ok().map(Cow::Owned);
    in_tree.or_else(in_boot).or_else(|| beside(&named)).or_else(|| beside("config"))
}

/// Whether a module has versions of the symbols that it needs (CONFIG_MODVERSIONS).
fn has_versions(contents: &[u8]) -> bool {
    let section = |name| Elf::new(contents).and_then(|elf| elf.section(name)).is_some_and(|bytes| !bytes.is_empty());
    section(b"__versions") || section(b"__version_ext_crcs")
}
