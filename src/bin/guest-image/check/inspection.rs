//! The inspection of a plan: remarks that PID 1 can't make, because it does not read the kernel's image, its
//! configuration, or the firmware.

use std::collections::BTreeMap;

use guest_init::failure::Failure;
use guest_init::guest::modules::actions;
use guest_init::guest::modules::file::ModuleFile;
use guest_init::guest::modules::loader::Loader;
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::guest::modules::unpack::Format;
use guest_init::request::list::Entry;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::plan::calls::PassedOver;
use guest_init::resolve::plan::consequence::Consequence;
use guest_init::resolve::plan::{Action, Plan, Step};
use guest_init::resolve::tree::Sources;
use guest_init::resolve::tree::dep::ModulePath;
use guest_init::resolve::tree::index::IndexKind;
use guest_init::text::Shown;

use super::findings::{Findings, Parameter, PlannedStep, Remark, Topic};
use super::kernel_verdict::KernelFacts;
use super::vm_options::VmOptions;
use crate::cli::progress::Progress;
use crate::shared::firmware::Firmware;

/// An inspection in progress.
pub struct Inspection<'i> {
    /// Takes the remarks.
    findings: &'i mut Findings,
    trees: &'i ModuleTrees,
    kernel: KernelFacts<'i>,
    firmware: Firmware,
    /// Parameters that will not be applied, each with its step.
    ignored: Vec<(&'i Step<'i>, Failure)>,
    /// Failures with which loads would end.
    failures: Vec<Failure>,
    /// The number of modules in each compressed format.
    compressed: BTreeMap<Format, usize>,
    /// The number of modules with the same remark on their signature.
    signatures: BTreeMap<String, usize>,
}

impl<'i> Inspection<'i> {
    /// An inspection that has not inspected anything yet.
    pub fn new(
        vm: &VmOptions,
        kernel: KernelFacts<'i>,
        trees: &'i ModuleTrees,
        ignored: Vec<(&'i Step<'i>, Failure)>,
        findings: &'i mut Findings,
    ) -> Self {
        let firmware = Firmware::new(vm.tree.firmware_dir(), &findings.release);
        let (failures, compressed, signatures) = Default::default();
        Self { findings, trees, kernel, firmware, ignored, failures, compressed, signatures }
    }

    /// Inspects all steps of a plan, in order.
    pub fn steps(&mut self, plan: &Plan<'_>, loader: &Loader<'_, '_>, entries: &[Entry<'_>]) {
        let mut given_up = PassedOver::default();
        let mut is_done = vec![false; plan.steps().len()];
        let progress = Progress::of(plan.steps().len(), "steps");
        for (number, step) in plan.steps().iter().enumerate() {
            progress.advance(1);
            // An optional entry has a step of its own for a module that an earlier one loads. PID 1 finds it loaded.
            let is_same = |other: &Step<'_>| step.entry_parameters.is_empty() && other.action == step.action;
            if plan.earlier_steps(step).any(|(earlier, other)| is_done[earlier] && is_same(other)) {
                is_done[number] = true;
                continue;
            }
            // If a step of an optional entry fails, PID 1 does not try the entry's other steps.
            let outcome = match plan.is_reached(step, &given_up) {
                true => Some(self.step(plan, step, loader.file(number))),
                false => None,
            };
            let passed_over = !matches!(outcome, Some(Ok(())));
            is_done[number] = !passed_over;
            if let Some(Err(failure)) = outcome {
                self.failed(step, failure, plan.fail(step, &mut given_up));
            }
            let Some(entry) = entries.get(usize::from(step.entry)) else { continue };
            self.findings.steps.push(PlannedStep::new(plan, step, entry, passed_over));
        }
    }

    /// Inspects a step. `opened` is its module file, if PID 1's code left it open. The error is that of the step.
    fn step(&mut self, plan: &Plan<'_>, step: &Step<'_>, opened: Option<&ModuleFile>) -> Result<(), Failure> {
        match step.action {
            Action::Load(file) => self.file(step, file, opened),
            Action::Install(command) => {
                self.parameters(step, None);
                if let Some(program) = actions::run_install_command(step, command)? {
                    let text = format!("{}: {}: `{program}`", step.module, actions::PASSED_OVER);
                    self.note(Topic::PassedOver, step, text);
                }
                Ok(())
            }
            Action::Missing => Err(actions::missing_module(step)),
            Action::Adjust | Action::BuiltIn => {
                self.set_later(plan, step);
                Ok(())
            }
            Action::Blacklisted => {
                let text = format!("{}: not loaded: it is blacklisted, and was asked for by an alias", step.module);
                self.warn(Topic::Blacklisted, step, text);
                Ok(())
            }
        }
    }

    /// Takes the failure of a step, with its consequence.
    fn failed(&mut self, step: &Step<'_>, failure: Failure, consequence: Consequence) {
        match consequence {
            Consequence::Nothing => {
                let text = format!("{}: a soft dependency, passed over: {}", failure.subject, failure.reason);
                self.note(Topic::PassedOver, step, text);
            }
            Consequence::EndsItsEntry => self.findings.warnings.push(Remark::passed_over(&failure)),
            Consequence::EndsTheVm => self.failures.push(failure),
        }
    }

    /// Adds the remarks that are about several steps or none. Returns the failures with which loads would end.
    pub fn finish(self, sources: &Sources<'_>) -> Vec<Failure> {
        let is_absent = |tree| sources.trees.index(tree, IndexKind::Builtin).is_ok_and(|index| !index.exists());
        if (0..sources.trees.count()).all(is_absent) {
            let text =
                "modules.builtin.bin and modules.builtin are missing: the name of a built-in module would be unknown";
            self.findings.warnings.push(Remark::new(Topic::Index, None, text.into()));
        }
        if let Some(text) = self.firmware.not_looked_for() {
            self.findings.notes.push(Remark::new(Topic::Firmware, None, text));
        }
        for (format, count) in &self.compressed {
            let modules = if *count == 1 { "module" } else { "modules" };
            let name = format.name();
            let text = match self.kernel.decompresses(*format) {
                Some(true) => continue,
                Some(false) => {
                    format!("{count} {modules} in {name}, which this kernel can't decompress: guest-init does")
                }
                None => format!("{count} {modules} in {name}: guest-init decompresses them if this kernel can't"),
            };
            self.findings.notes.push(Remark::new(Topic::Compression, None, text));
        }
        for (text, count) in &self.signatures {
            let modules = if *count == 1 { "module" } else { "modules" };
            self.findings.notes.push(Remark::new(Topic::Signature, None, format!("{count} {modules}: {text}")));
        }
        self.failures
    }

    /// Inspects the module file of a step.
    fn file(&mut self, step: &Step<'_>, path: ModulePath<'_>, opened: Option<&ModuleFile>) -> Result<(), Failure> {
        let again;
        let file = match opened {
            Some(file) => file,
            None => {
                again = ModuleFile::open(self.trees.directory_of(path), path.path)?;
                &again
            }
        };
        if let Some(format) = file.format() {
            *self.compressed.entry(format).or_default() += 1;
        }
        let contents = file.contents(&step.module)?;
        let verdict = self.kernel.verdict(&step.module, &contents)?;
        if let Some(text) = verdict.warning {
            self.warn(Topic::Release, step, text);
        }
        if let Some(text) = verdict.signature {
            *self.signatures.entry(text).or_default() += 1;
        }
        if let Some(info) = ModInfo::find(&contents) {
            self.parameters(step, Some(&info));
            if let Some(text) = self.firmware.look_for(&step.module, &info).warning {
                self.warn(Topic::Firmware, step, text);
            }
        }
        Ok(())
    }

    /// Parameters of a module that is loaded or built in before its entry's turn.
    fn set_later(&mut self, plan: &Plan<'_>, step: &Step<'_>) {
        let parameters = match step.action {
            Action::Adjust => Shown(step.entry_parameters).to_string(),
            _ => plan.parameters(step).to_string(),
        };
        if !parameters.is_empty() {
            let module = step.module;
            let text =
                format!("{module}: {parameters}: set through /sys/module/{module}/parameters, if the module allows it");
            self.note(Topic::Parameter, step, text);
        }
    }

    /// Warns of the parameters of a step that will not be applied. The last warning lists the parameters of the module.
    fn parameters(&mut self, step: &Step<'_>, info: Option<&ModInfo<'_>>) {
        let mut last = None;
        for (_, failure) in self.ignored.iter().filter(|(of, _)| std::ptr::eq(*of, step)) {
            let (subject, reason) = (&failure.subject, &failure.reason);
            let text = format!("{subject}: ignored, without guest_init.strict=1: {reason}");
            last = Some(self.findings.warnings.len());
            self.findings.warnings.push(Remark::new(Topic::Parameter, Some(step.module.to_string()), text));
        }
        let last = last.and_then(|last| self.findings.warnings.get_mut(last));
        if let (Some(remark), Some(info)) = (last, info) {
            remark.parameters = Parameter::all(info);
        }
    }

    fn warn(&mut self, topic: Topic, step: &Step<'_>, text: String) {
        self.findings.warnings.push(Remark::new(topic, Some(step.module.to_string()), text));
    }

    fn note(&mut self, topic: Topic, step: &Step<'_>, text: String) {
        self.findings.notes.push(Remark::new(topic, Some(step.module.to_string()), text));
    }
}
