//! Findings: the mistakes in entries and plans that are found before anything is loaded. The code that finds them
//! returns them; PID 1 and `guest-image check` each have their own way to report them.

use crate::failure::{Failure, Report};
use crate::guest::watch::logger::{log_ignored, log_passed_over};
use crate::request::list::Entry;
use crate::resolve::plan::Step;
use crate::resolve::plan::consequence::Consequence;

/// A mistake in an entry, or in a step of a plan.
#[derive(Debug)]
pub enum Finding<'f, 'a> {
    /// An entry can't be planned.
    EntryNotPlanned {
        /// The entry.
        entry: &'f Entry<'a>,
        /// The consequence for the VM.
        consequence: Consequence,
        /// The reason.
        failure: Failure,
    },
    /// No module is the driver of a device. Many devices need none.
    NoDriver {
        /// The modalias, and the reason.
        failure: Failure,
    },
    /// A step will fail. The step has the consequence.
    StepFails {
        /// The step.
        step: &'f Step<'a>,
        /// The reason.
        failure: Failure,
    },
    /// A parameter will not be applied.
    ParameterIgnored {
        /// The step that has the parameter.
        step: &'f Step<'a>,
        /// The reason.
        failure: Failure,
    },
    /// The parameters of a module can't be found out, because its file can't be looked into. The kernel may still load
    /// it.
    ParametersUnknown {
        /// The step for the module.
        step: &'f Step<'a>,
        /// The reason.
        failure: Failure,
    },
}

impl Finding<'_, '_> {
    /// Adds the failure to the report if it ends the VM, and logs it otherwise. This is PID 1's way.
    pub fn report_or_log(self, report: &mut Report<'_>) {
        match self {
            Self::EntryNotPlanned { consequence: Consequence::EndsTheVm, failure, .. } => report.add(failure),
            Self::EntryNotPlanned { failure, .. } => log_passed_over(&failure),
            Self::NoDriver { failure } => log::debug!("no driver for {}", failure.subject.as_str()),
            Self::StepFails { step, failure } if step.consequence == Consequence::EndsTheVm => report.add(failure),
            // The step fails again in the load stage, which logs the failure.
            Self::StepFails { .. } => {}
            Self::ParameterIgnored { failure, .. } => log_ignored(&failure),
            Self::ParametersUnknown { failure, .. } => {
                log::debug!("{failure}: its parameters are not checked before the load")
            }
        }
    }
}
