//! Parameters that will not be applied, or were not: found before the load if the module can be looked into cheaply, or
//! if a fault would end the VM, and otherwise by the kernel's own message behind the load.

extern crate alloc;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::failure::{Code, Failure};
use crate::guest::modules::file::ModuleFile;
use crate::guest::modules::findings::Finding;
use crate::guest::modules::loader::Loader;
use crate::guest::watch::kernel_messages::{KernelMessages, ParameterVerdict};
use crate::guest::watch::logger::log_ignored;
use crate::request::kernel::words::words;
use crate::resolve::command::Command;
use crate::resolve::modinfo::ModInfo;
use crate::resolve::parameters;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::{Action, Step};
use crate::text::{Shown, Text};

/// At most this many bytes of modules that were decompressed to be checked are kept until they are loaded. Beyond that
/// a module is decompressed a second time.
const MOST_KEPT: usize = 16 << 20;

impl<'p, 'a> Loader<'p, 'a> {
    /// Finds the parameters that a module does not have. The kernel ignores them (MODPROBE.md 12.5). Returns `false` if
    /// that is left until the module is loaded.
    pub(super) fn check_parameters(
        &mut self,
        step: &'p Step<'a>,
        parameters: &[u8],
        file: &mut ModuleFile,
        found: &mut dyn FnMut(Finding<'p, 'a>),
    ) -> bool {
        if let Some(failure) = parameters::after_end(&step.module, parameters) {
            self.not_applied(step, failure, found);
        }
        // To decompress a module takes longer than the rest of its load. But what may end the VM is found at once.
        let of_entry = step.entry_parameters.len();
        let looks = self.options.looks_into_all || !file.is_compressed();
        if !looks && !parameters::may_be_bad_entry(parameters, of_entry, self.plan.sources()) {
            return false;
        }
        let contents = match file.contents(&step.module) {
            Ok(contents) => contents,
            Err(failure) => {
                found(Finding::ParametersUnknown { step, failure });
                return false;
            }
        };
        self.unknown_parameters(step, parameters, &contents, &mut |failure| self.not_applied(step, failure, found));
        if let Cow::Owned(unpacked) = contents
            && file.format() != self.kernel_format()
            && self.kept + unpacked.len() <= MOST_KEPT
        {
            self.kept += unpacked.len();
            file.keep(unpacked);
        }
        true
    }

    /// Calls `found` with a failure for each parameter that the module in `contents` does not have.
    fn unknown_parameters(&self, step: &Step<'a>, parameters: &[u8], contents: &[u8], found: &mut dyn FnMut(Failure)) {
        let Some(info) = ModInfo::find(contents) else { return };
        let (of_entry, sources) = (step.entry_parameters.len(), Some(self.plan.sources()));
        parameters::unknown(&step.module, parameters, of_entry, &info, sources, found);
    }

    /// Finds the parameters that the kernel ignored in a load, whether the load succeeded or not. The module is looked
    /// into only if the kernel has a message about it, or if messages were lost.
    ///
    /// Failure: [`Code::UnknownParameter`] if `strict`.
    pub(super) fn check_loaded_parameters(
        &self,
        step: &Step<'a>,
        parameters: &[u8],
        file: &ModuleFile,
        messages: &mut KernelMessages,
    ) -> Result<(), Failure> {
        let verdict = messages.parameter_verdict(step.module.name);
        if verdict == ParameterVerdict::Known {
            return Ok(());
        }
        let mut ignored = Vec::new();
        match file.contents(&step.module) {
            Ok(contents) => {
                self.unknown_parameters(step, parameters, &contents, &mut |failure| ignored.push(failure));
            }
            Err(failure) => log::debug!("{failure}: its parameters can't be looked up"),
        }
        if let ParameterVerdict::Ignored(message) = verdict
            && ignored.is_empty()
        {
            let reason = format_args!("the kernel says: {}", Shown(message.as_bytes()));
            ignored.push(Failure::new(Code::UnknownParameter, step.module, reason));
        }
        ignored.into_iter().try_for_each(|failure| self.refuse_or_log(failure))
    }

    /// Returns the failure of a parameter that was not applied if `strict`, and logs it otherwise.
    pub(super) fn refuse_or_log(&self, failure: Failure) -> Result<(), Failure> {
        match self.options.strict {
            true => Err(failure),
            false => {
                log_ignored(&failure);
                Ok(())
            }
        }
    }

    /// Finds the parameters of an entry whose module is never loaded, because an install command replaces it and does
    /// not pass them on.
    pub(super) fn check_replaced_parameters(&self, step: &'p Step<'a>, found: &mut dyn FnMut(Finding<'p, 'a>)) {
        let Action::Install(command) = step.action else { return };
        if matches!(Command::read(command), Command::Calls(calls) if calls.take_parameters) {
            return;
        }
        for word in words(step.entry_parameters) {
            let subject = Text::<256>::of(format_args!("{} {}", step.module, Shown(word.raw)));
            let reason = "an install command of modprobe.d replaces the module";
            self.not_applied(step, Failure::new(Code::UnknownParameter, subject, reason), found);
        }
    }

    /// Calls `found` with a parameter that will not be applied. With `strict`, or if it is the name of a module that
    /// would not be loaded, the step fails if its failure ends the VM.
    fn not_applied(&self, step: &'p Step<'a>, failure: Failure, found: &mut dyn FnMut(Finding<'p, 'a>)) {
        let is_failure = self.options.strict || failure.code == Code::BadEntry;
        match is_failure && step.consequence == Consequence::EndsTheVm {
            true => found(Finding::StepFails { step, failure }),
            false => found(Finding::ParameterIgnored { step, failure }),
        }
    }
}
