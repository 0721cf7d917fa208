//! The kernel's verdict on a module, as far as the kernel's image, configuration and command line tell it.

use std::fs;

use guest_init::failure::{Code, Failure};
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::guest::modules::unpack::Format;
use guest_init::machine::Machine;
use guest_init::request::kernel::ModuleWords;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::tree::module::Module;

use super::findings::{Findings, Remark, Topic};
use super::kernel_image::KernelImage;
use super::vm_options::VmOptions;
use crate::shared::kernel_config::KernelConfig;
use crate::shared::machine::check_module;
use crate::shared::version_magic::VersionMagic;

/// The last bytes of a signed module (linux/module_signature.h).
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// The facts that are known about a kernel.
pub struct KernelFacts<'k> {
    /// Its machine, if that is known.
    machine: Option<&'static Machine>,
    magic: VersionMagic<'k>,
    /// Whether there is an image of the kernel, and why it could not be read.
    has_image: bool,
    unread: Option<&'k str>,
    config: Option<KernelConfig<'k>>,
    words: ModuleWords<'k>,
}

impl<'k> KernelFacts<'k> {
    /// The kernel of these findings, with its machine and its image, if they are known, and its words before ` -- `.
    pub fn new(
        vm: &VmOptions,
        machine: Option<&'static Machine>,
        kernel: Option<&'k KernelImage>,
        words: ModuleWords<'k>,
        trees: &ModuleTrees,
        findings: &Findings,
    ) -> Self {
        let config = config(vm, kernel, trees, findings);
        let magic = VersionMagic::of_release(&findings.release, config.as_ref());
        let of_image = kernel.and_then(|kernel| Some((kernel.vermagic.as_deref()?, kernel.versions.as_ref())));
        Self {
            machine,
            magic: match of_image {
                Some((whole, versions)) => magic.with_image(whole, versions),
                None => magic,
            },
            has_image: kernel.is_some(),
            unread: kernel.and_then(|kernel| kernel.unread.as_deref()),
            config,
            words,
        }
    }

    /// The failure with which the kernel would refuse a module, or a warning if it may refuse it.
    pub fn verdict(&self, module: &Module<'_>, contents: &[u8]) -> Result<Option<String>, Failure> {
        self.switches(module)?;
        if self.enforces_signatures() && !contents.ends_with(SIGNED) {
            return Err(Failure::new(Code::BadSignature, module, "it has no signature, and this kernel requires one"));
        }
        check_module(module, contents, self.machine)?;
        if ModInfo::find(contents).is_none() {
            return Err(Failure::new(Code::NotAModule, module, "the file is not a module, or it is truncated"));
        }
        self.magic.compare(module, contents)
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

    /// The warning that the kernel in the image could not be looked into.
    pub fn unread(&self) -> Option<Remark> {
        let unread = self.unread?;
        let text =
            format!("the kernel in --kernel can't be read: {unread}; only its release is compared, no version magic");
        Some(Remark::new(Topic::Kernel, None, text))
    }

    /// The note that nobody knows the configuration of the kernel in the image.
    pub fn without_config(&self) -> Option<Remark> {
        let text = "the configuration of the kernel was not found: nobody knows whether it requires signatures";
        (self.has_image && self.config.is_none()).then(|| Remark::new(Topic::Kernel, None, text.into()))
    }

    fn has(&self, option: &str) -> bool {
        self.config.as_ref().is_some_and(|config| config.has(option))
    }
}

/// The kernel's .config: from the image, the module tree, /boot of the root, or the folder of the image. The first that
/// exists counts.
fn config<'k>(
    vm: &VmOptions,
    kernel: Option<&'k KernelImage>,
    trees: &ModuleTrees,
    findings: &Findings,
) -> Option<KernelConfig<'k>> {
    let of_image = kernel.and_then(|kernel| kernel.config.as_deref()).map(|config| KernelConfig(config.into()));
    let beside = |name: &str| fs::read(vm.kernel.as_deref()?.with_file_name(name)).ok();
    let beside = || beside(&format!("config-{}", findings.release)).or_else(|| beside("config"));
    of_image
        .or_else(|| trees.trees().find_map(|tree| KernelConfig::find(tree, vm.tree.root(), &findings.release)))
        .or_else(|| beside().map(|config| KernelConfig(config.into())))
}
