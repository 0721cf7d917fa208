//! The kernel's verdict on a module, as far as the kernel's image, configuration and command line tell it.

use std::fmt::Display;
use std::fs;

use guest_init::failure::{Code, Failure};
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::guest::modules::unpack::Format;
use guest_init::machine::Machine;
use guest_init::request::kernel::ModuleWords;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::signature::SignatureRefusal;
use guest_init::resolve::tree::module::Module;
use syscalls::Errno;

use super::findings::{Findings, Remark, Topic};
use super::kernel_image::{Certificate, KernelImage};
use super::signature::{self, Trust};
use super::vm_options::VmOptions;
use crate::shared::kernel_config::KernelConfig;
use crate::shared::machine::check_module;
use crate::shared::version_magic::VersionMagic;

/// The keys that a kernel may have besides those in its image.
const ENROLLED: &str = "keys enrolled at run time (MOK, UEFI db) can't be seen here";

/// The facts that are known about a kernel.
pub struct KernelFacts<'k> {
    /// Its machine, if that is known.
    machine: Option<&'static Machine>,
    magic: VersionMagic<'k>,
    /// Whether there is an image of the kernel, and why it could not be read.
    has_image: bool,
    unread: Option<&'k str>,
    config: Option<KernelConfig<'k>>,
    /// The certificates in its image, if they were found.
    keys: Option<&'k [Certificate]>,
    words: ModuleWords<'k>,
}

/// The verdict on a module that the kernel takes.
#[derive(Debug, Default)]
pub struct Verdict {
    /// A warning that the kernel may refuse it.
    pub warning: Option<String>,
    /// A remark on its signature, which may hold for several modules.
    pub signature: Option<String>,
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
            keys: kernel.and_then(|kernel| kernel.keys.as_deref()),
            words,
        }
    }

    /// The failure with which the kernel would refuse a module, or remarks if it takes it.
    pub fn verdict(&self, module: &Module<'_>, contents: &[u8]) -> Result<Verdict, Failure> {
        self.switches(module)?;
        let signature = self.signature(module, contents)?;
        check_module(module, contents, self.machine)?;
        if ModInfo::find(contents).is_none() {
            return Err(Failure::new(Code::NotAModule, module, "the file is not a module, or it is truncated"));
        }
        Ok(Verdict { warning: self.magic.compare(module, contents)?, signature })
    }

    /// Judges the signature of a module as `module_sig_check` in kernel/module/signing.c does. A signature that is
    /// malformed or wrong is always fatal. One that is missing, or whose key or algorithm the kernel lacks, is fatal if
    /// the kernel requires signatures, or is locked down; else the kernel is tainted.
    fn signature(&self, module: &Module<'_>, contents: &[u8]) -> Result<Option<String>, Failure> {
        if !self.checks_signatures() {
            return Ok(None);
        }
        let failure =
            |code: Code, errno: Errno, reason: &dyn Display| Err(Failure::from_errno(code, module, errno, reason));
        let refusal = match signature::check(contents, self.keys) {
            Ok(Trust::Unverified(reason)) if self.keys.is_some() => {
                return Ok(Some(format!("signature not verified: {reason}")));
            }
            Ok(_) => return Ok(None),
            Err(refusal) => refusal,
        };
        let reason = match refusal {
            SignatureRefusal::UnknownKey(_) => format!("{refusal}; {ENROLLED}"),
            _ => refusal.to_string(),
        };
        match refusal {
            SignatureRefusal::Malformed => failure(Code::BadSignature, Errno::EBADMSG, &reason),
            SignatureRefusal::Wrong(_) => failure(Code::BadSignature, Errno::EKEYREJECTED, &reason),
            _ if self.enforces_signatures() => failure(Code::BadSignature, Errno::EKEYREJECTED, &reason),
            _ if self.is_locked_down() => failure(Code::Forbidden, Errno::EPERM, &format_args!("lockdown: {reason}")),
            SignatureRefusal::Missing => Ok(Some("no signature: the kernel takes it, and is tainted".into())),
            _ => Ok(Some(format!("{reason}: the kernel takes it, and is tainted"))),
        }
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

    /// Whether the kernel looks at signatures. If its configuration is not known, it does if it has keys.
    fn checks_signatures(&self) -> bool {
        match self.config {
            Some(_) => self.has("MODULE_SIG") || self.has("MODULE_SIG_FORCE"),
            None => self.keys.is_some() || self.words.enforces_signatures() || self.words.locks_down(),
        }
    }

    fn enforces_signatures(&self) -> bool {
        self.has("MODULE_SIG_FORCE") || self.words.enforces_signatures()
    }

    /// Whether lockdown refuses modules without a valid signature: both of its levels do (LOCKDOWN_MODULE_SIGNATURE in
    /// linux/security.h).
    fn is_locked_down(&self) -> bool {
        let has_lockdown = self.config.is_none() || self.has("SECURITY_LOCKDOWN_LSM");
        let levels = ["INTEGRITY", "CONFIDENTIALITY"];
        has_lockdown && self.words.locks_down()
            || levels.into_iter().any(|level| self.has(&format!("LOCK_DOWN_KERNEL_FORCE_{level}")))
    }

    /// The warning that the kernel in the image could not be looked into.
    pub fn unread(&self) -> Option<Remark> {
        let unread = self.unread?;
        let text =
            format!("the kernel in --kernel can't be read: {unread}; only its release is compared, no version magic");
        Some(Remark::new(Topic::Kernel, None, text))
    }

    /// The note that the configuration of the kernel in the image is not known.
    pub fn without_config(&self) -> Option<Remark> {
        let text =
            "the configuration of the kernel was not found, so guest-image can't know whether it requires signatures";
        (self.has_image && self.config.is_none()).then(|| Remark::new(Topic::Kernel, None, text.into()))
    }

    /// The note that the keys of the kernel in the image are not known, although that could be read.
    pub fn without_keys(&self) -> Option<Remark> {
        let text = "the keys of the kernel were not found, so guest-image can't know which signatures it accepts";
        let is_unknown = self.has_image && self.unread.is_none() && self.keys.is_none();
        (is_unknown && self.checks_signatures()).then(|| Remark::new(Topic::Kernel, None, text.into()))
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
