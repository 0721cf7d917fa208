//! What is found out about a plan before anything is loaded. Whoever looks returns findings, and PID 1 or
//! `guest-image check` decides how to say them.

use crate::failure::{Failure, Report};
use crate::guest::watch::logger::{log_ignored, log_passed_over};
use crate::request::list::Entry;
use crate::resolve::plan::Step;
use crate::resolve::plan::consequence::Consequence;

/// One thing that is found out.
#[derive(Debug)]
pub enum Finding<'f, 'a> {
    /// An entry can't be planned.
    Refused {
        /// The entry.
        entry: &'f Entry<'a>,
        /// What that means.
        consequence: Consequence,
        /// Why.
        failure: Failure,
    },
    /// A step will fail. What that means is its consequence.
    Fails {
        /// The step.
        step: &'f Step<'a>,
        /// Why.
        failure: Failure,
    },
    /// A parameter will not be applied.
    Ignored {
        /// The step.
        step: &'f Step<'a>,
        /// Why.
        failure: Failure,
    },
    /// Whether a module has its parameters can't be found out. The kernel may still take its file.
    Unseen {
        /// The step.
        step: &'f Step<'a>,
        /// Why.
        failure: Failure,
    },
}

impl Finding<'_, '_> {
    /// What PID 1 does about a finding: it reports what ends the VM, and logs the rest.
    pub fn heed(self, report: &mut Report<'_>) {
        match self {
            Self::Refused { consequence: Consequence::EndsTheVm, failure, .. } => report.add(failure),
            Self::Refused { failure, .. } => log_passed_over(&failure),
            Self::Fails { step, failure } if step.consequence == Consequence::EndsTheVm => report.add(failure),
            // Its turn comes in the load stage, which says so.
            Self::Fails { .. } => {}
            Self::Ignored { failure, .. } => log_ignored(&failure),
            Self::Unseen { failure, .. } => log::debug!("{failure}: its parameters are not looked up"),
        }
    }
}
