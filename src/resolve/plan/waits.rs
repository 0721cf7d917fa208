//! Which steps wait for which, if several modules are loaded at once. A step waits only for what its module depends on.

use crate::failure::Failure;
use crate::resolve::lookup::lookup;
use crate::resolve::plan::Plan;
use crate::resolve::tree::config::{self, Side, SoftdepLines};
use crate::resolve::tree::dep::module_of;

/// Calls `wait(earlier, later)` with the numbers of two steps if the later one must wait for the earlier one:
///
/// * the earlier step is for the same module;
/// * both belong to one install command, whose calls are done one after another;
/// * its module is on the later module's line of modules.dep;
/// * it is a soft dependency `pre:` of the later module, or the later one is a soft dependency `post:` of it.
///
/// A pair may come more than once. No step waits for a later one, so the order of the plan is always possible.
///
/// Failures: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex),
/// [`Code::PlanTooLarge`](crate::failure::Code::PlanTooLarge).
pub fn each_dependency(plan: &Plan<'_>, wait: &mut dyn FnMut(usize, usize)) -> Result<(), Failure> {
    let sources = plan.sources();
    for (number, step) in plan.steps().iter().enumerate() {
        plan.earlier_steps(step).for_each(|(earlier, _)| wait(earlier, number));
        if let Some((command, _)) = plan.command_of(step) {
            (command..number).for_each(|earlier| wait(earlier, number));
        }
        for file in sources.line_of(&step.module)?.dependencies() {
            wait_for_earlier(plan, number, module_of(file.path), wait);
        }
        for (side, name) in config::softdeps(sources.config, step.module.name, SoftdepLines::First) {
            for module in &lookup(sources, name)? {
                match side {
                    Side::Before => wait_for_earlier(plan, number, module.name, wait),
                    Side::After => make_later_wait(plan, number, module.name, wait),
                }
            }
        }
    }
    Ok(())
}

/// The step waits for all earlier steps for a module, and for the calls if one of them is an install command.
fn wait_for_earlier(plan: &Plan<'_>, number: usize, name: &[u8], wait: &mut dyn FnMut(usize, usize)) {
    let earlier = plan.steps_for(name).filter(|(other, _)| *other < number);
    earlier.flat_map(|(other, _)| other..=plan.last_called(other)).filter(|other| *other < number).for_each(|other| {
        wait(other, number);
    });
}

/// All later steps for a module wait for the step.
fn make_later_wait(plan: &Plan<'_>, number: usize, name: &[u8], wait: &mut dyn FnMut(usize, usize)) {
    let later = plan.steps_for(name).filter(|(other, _)| *other > number);
    later.for_each(|(other, _)| wait(number, other));
}
