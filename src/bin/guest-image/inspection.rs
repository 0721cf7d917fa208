//! What only a host can see of a plan: what the files of its modules say, and what the kernel and the root say to that.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use guest_init::elf::Elf;
use guest_init::failure::{Code, Failure};
use guest_init::guest::load;
use guest_init::guest::module::ModuleFile;
use guest_init::guest::tree::Files;
use guest_init::resolve::Tree;
use guest_init::resolve::index::Kind as IndexKind;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::parameters;
use guest_init::resolve::plan::{Action, Plan, Step};
use guest_init::text::Shown;

use crate::check::Against;
use crate::findings::{Findings, Kind, Parameter, Remark};
use crate::firmware::Firmware;
use crate::kernel::Kernel;
use crate::rehearsal::passed_over;

/// How many names of files a remark shows.
const SHOWN: usize = 3;

/// A look at each step.
pub struct Inspection<'i> {
    /// Where remarks go.
    pub findings: &'i mut Findings,
    tree: &'i Files,
    kernel: Option<&'i Kernel>,
    config: Option<Cow<'i, [u8]>>,
    firmware: Option<(String, Firmware)>,
    strict: bool,
    /// What would fail at the loads.
    failures: Vec<Failure>,
    /// Modules that name firmware, where nobody says where it is.
    wanting: BTreeSet<String>,
    /// How many modules are compressed in a format.
    compressed: BTreeMap<&'static str, usize>,
}

impl<'i> Inspection<'i> {
    /// Nothing looked at yet.
    pub fn new(
        against: &Against,
        kernel: Option<&'i Kernel>,
        tree: &'i Files,
        strict: bool,
        findings: &'i mut Findings,
    ) -> Self {
        let firmware = against.place.firmware_dir();
        let firmware = firmware.map(|path| (path.display().to_string(), Firmware::at(&path, &findings.release)));
        let config = kernel_config(against, kernel, findings);
        let (failures, wanting, compressed) = Default::default();
        Self { findings, tree, kernel, config, firmware, strict, failures, wanting, compressed }
    }

    /// Looks at a step; false if it is known to fail.
    pub fn step(&mut self, plan: &Plan<'_>, step: &Step<'_>) -> bool {
        let outcome = match step.action {
            Action::Load(path) => self.file(plan, step, path),
            Action::Install(command) => load::install(step, command),
            Action::Missing => Err(load::dangling(step)),
            Action::Adjust | Action::BuiltIn => Ok(()),
            Action::Blacklisted => {
                let text = format!("{}: not loaded: it is blacklisted, and was asked for by an alias", step.module);
                self.warn(Kind::Blacklisted, step, text);
                Ok(())
            }
        };
        let Err(failure) = outcome else { return true };
        match (step.required, plan.is_optional(step)) {
            (false, _) => {
                let text = format!("{}: a soft dependency, passed over: {}", failure.subject, failure.reason);
                self.note(Kind::PassedOver, step, text);
            }
            (true, true) => self.findings.warnings.push(passed_over(&failure)),
            (true, false) => self.failures.push(failure),
        }
        false
    }

    /// Looks at what is no single step's; returns what would fail at the loads.
    pub fn finish(self, tree: &Tree<'_>) -> Vec<Failure> {
        if tree.index_of(IndexKind::Builtin).is_ok_and(|index| !index.exists()) {
            let text = "modules.builtin.bin and modules.builtin are missing: what is built in would be an unknown name";
            self.findings.warnings.push(Remark::new(Kind::Index, None, text.into()));
        }
        if !self.wanting.is_empty() {
            let modules: Vec<_> = self.wanting.iter().map(String::as_str).collect();
            let text = format!("firmware of {} not looked for, without --root or --firmware-dir", modules.join(", "));
            self.findings.notes.push(Remark::new(Kind::Firmware, None, text));
        }
        for (format, count) in &self.compressed {
            let modules = if *count == 1 { "module" } else { "modules" };
            let text = match self.config.as_deref().map(|config| decompresses(config, format)) {
                Some(true) => continue,
                Some(false) => {
                    format!("{count} {modules} in {format}, which this kernel can't decompress: guest-init does")
                }
                None => format!("{count} {modules} in {format}: guest-init decompresses them if this kernel can't"),
            };
            self.findings.notes.push(Remark::new(Kind::Compression, None, text));
        }
        self.failures
    }

    /// Looks at the file of a step.
    fn file(&mut self, plan: &Plan<'_>, step: &Step<'_>, path: &[u8]) -> Result<(), Failure> {
        let file = ModuleFile::open(self.tree.directory(), path)?;
        if let Some(format) = file.format() {
            *self.compressed.entry(format.name()).or_default() += 1;
        }
        let contents = file.contents(&step.module)?;
        let no_module = || Failure::new(Code::NotAModule, step.module, "the file is no module, or not whole");
        let info = ModInfo::find(&contents).ok_or_else(no_module)?;
        self.release(step, &info, &contents)?;
        self.parameters(plan, step, &info);
        self.firmware(step, &info);
        Ok(())
    }

    /// The kernel's own comparison (`same_magic` in kernel/module/version.c): the release does not count for a module
    /// that has the versions of its symbols.
    fn release(&mut self, step: &Step<'_>, info: &ModInfo<'_>, contents: &[u8]) -> Result<(), Failure> {
        let Some(theirs) = info.values("vermagic").next() else { return Ok(()) };
        let release = self.findings.release.as_bytes();
        let ours = self.kernel.and_then(|kernel| kernel.vermagic.as_deref());
        let (theirs, ours) = match ours {
            Some(ours) => (theirs, ours),
            None => (theirs.split(|&b| b == b' ').next().unwrap_or_default(), release),
        };
        if theirs == ours {
            return Ok(());
        }
        let flags = |magic: &[u8]| magic.iter().position(|&b| b == b' ').map(|at| magic[at..].to_vec());
        let reason = format!("built for {}, this kernel is {}", Shown(theirs.trim_ascii()), Shown(ours.trim_ascii()));
        if has_versions(contents) && flags(theirs) == flags(ours) {
            let text = format!("{}: {reason}: it loads if the versions of its symbols are this kernel's", step.module);
            self.warn(Kind::Release, step, text);
            return Ok(());
        }
        Err(Failure::new(Code::OtherKernel, step.module, reason))
    }

    /// Parameters that the module does not have, and below the last of them those that it has.
    fn parameters(&mut self, plan: &Plan<'_>, step: &Step<'_>, info: &ModInfo<'_>) {
        // Where they are failures, the verdict has them.
        if self.strict && !plan.is_optional(step) {
            return;
        }
        let mut text = Vec::new();
        plan.parameters(step).each_piece(&mut |piece| text.extend_from_slice(piece));
        let mut unknown = Vec::new();
        parameters::unknown(&step.module, &text, info, &mut |failure| unknown.push(failure));
        let last = unknown.len();
        for (number, failure) in unknown.iter().enumerate() {
            let (subject, reason) = (&failure.subject, &failure.reason);
            let text = format!("{subject}: ignored, without guest_init.strict=1: {reason}");
            let mut remark = Remark::new(Kind::Parameter, Some(step.module.to_string()), text);
            if number + 1 == last {
                remark.parameters = Parameter::all(info);
            }
            self.findings.warnings.push(remark);
        }
    }

    fn firmware(&mut self, step: &Step<'_>, info: &ModInfo<'_>) {
        let named: Vec<_> = info.values("firmware").collect();
        if named.is_empty() {
            return;
        }
        let Some((folder, firmware)) = &self.firmware else {
            self.wanting.insert(step.module.to_string());
            return;
        };
        let missing: Vec<_> = named.iter().filter(|name| firmware.files(name).is_empty()).collect();
        if missing.is_empty() {
            return;
        }
        let mut names: Vec<_> = missing.iter().take(SHOWN).map(|name| Shown(name).to_string()).collect();
        if missing.len() > SHOWN {
            names.push("...".into());
        }
        let (lacking, all) = (missing.len(), named.len());
        let text = format!("{}: {lacking} of {all} firmware files not in {folder}: {}", step.module, names.join(", "));
        self.warn(Kind::Firmware, step, text);
    }

    fn warn(&mut self, kind: Kind, step: &Step<'_>, text: String) {
        self.findings.warnings.push(Remark::new(kind, Some(step.module.to_string()), text));
    }

    fn note(&mut self, kind: Kind, step: &Step<'_>, text: String) {
        self.findings.notes.push(Remark::new(kind, Some(step.module.to_string()), text));
    }
}

/// The kernel's .config: the image's own, the tree's, the one in /boot, or the one beside the image.
fn kernel_config<'k>(against: &Against, kernel: Option<&'k Kernel>, findings: &Findings) -> Option<Cow<'k, [u8]>> {
    if let Some(config) = kernel.and_then(|kernel| kernel.config.as_deref()) {
        return Some(config.into());
    }
    let named = format!("config-{}", findings.release);
    let in_boot = against.place.root().map(|root| root.join("boot").join(&named));
    let beside = |name: &str| against.kernel.as_deref().map(|kernel| kernel.with_file_name(name));
    let places = [Some(findings.modules.join("config")), in_boot, beside(&named), beside("config")];
    places.into_iter().flatten().find_map(|path| fs::read(path).ok()).map(Cow::Owned)
}

/// Whether a kernel of this configuration decompresses modules of a format.
fn decompresses(config: &[u8], format: &str) -> bool {
    let has = |name: &str| config.split(|&b| b == b'\n').any(|line| line == format!("CONFIG_{name}=y").as_bytes());
    has("MODULE_DECOMPRESS") && has(&format!("MODULE_COMPRESS_{}", format.to_uppercase()))
}

/// Whether a module has the versions of the symbols that it needs (CONFIG_MODVERSIONS).
fn has_versions(contents: &[u8]) -> bool {
    let section = |name| Elf::new(contents).and_then(|elf| elf.section(name)).is_some_and(|bytes| !bytes.is_empty());
    section(b"__versions") || section(b"__version_ext_crcs")
}
