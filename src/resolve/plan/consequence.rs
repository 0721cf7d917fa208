//! The consequence of a failure: it ends the VM, or its entry, or nothing. PID 1, modprobe, `guest-image check` and
//! `guest-image build` share this rule (MODPROBE.md 4.4, 5.7).

use crate::failure::{Code, Failure};
use crate::request::list::Entry;

/// The consequence of the failure of a step.
///
/// ```
/// use guest_init::resolve::plan::consequence::Consequence;
///
/// let (is_required, is_optional) = (true, true);
/// assert_eq!(Consequence::of_step(is_required, is_optional), Consequence::EndsItsEntry);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The entry cannot do without the step, and the VM cannot do without the entry.
    EndsTheVm,
    /// The entry cannot do without the step. The entry is optional, so its other steps are passed over.
    EndsItsEntry,
    /// Only a soft dependency asks for the step. The entry's other steps go on.
    Nothing,
}

impl Consequence {
    /// The consequence for a step that its entry requires, or that only a soft dependency asks for, of an entry that is
    /// optional or not.
    pub const fn of_step(is_required: bool, is_optional: bool) -> Self {
        match (is_required, is_optional) {
            (false, _) => Self::Nothing,
            (true, true) => Self::EndsItsEntry,
            (true, false) => Self::EndsTheVm,
        }
    }

    /// The consequence of an entry that cannot be planned. `?` and `@devices` pass over whatever is wrong with the
    /// entry itself. A damaged index is no fault of the entry: it would hide other modules as well, so it ends the VM.
    pub fn of_unplanned_entry(entry: &Entry<'_>, failure: &Failure) -> Self {
        match entry.is_optional() && failure.code != Code::CorruptIndex {
            true => Self::EndsItsEntry,
            false => Self::EndsTheVm,
        }
    }
}
