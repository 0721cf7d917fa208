//! What must be done before what, where modules are loaded at once: no more than each of them depends on.

use crate::failure::Failure;
use crate::resolve::lookup::lookup;
use crate::resolve::plan::Plan;
use crate::resolve::tree::config::{self, Side};
use crate::resolve::tree::dep::module_of;

/// Calls `wait` with the numbers of two steps, the later one's second, wherever it must wait for the other: for the files
/// that its line of modules.dep lists, for the soft dependencies before it, as one behind another, and for an earlier step
/// of the same module. A pair may come more than once.
///
/// Since nobody waits for a later step, doing the steps in order does them all.
///
/// Failures: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex),
/// [`Code::PlanTooLarge`](crate::failure::Code::PlanTooLarge).
pub fn each_dependency(plan: &Plan<'_>, wait: &mut dyn FnMut(usize, usize)) -> Result<(), Failure> {
    let sources = plan.sources();
    for (number, step) in plan.steps().iter().enumerate() {
        plan.earlier_steps(step).for_each(|(earlier, _)| wait(earlier, number));
        for path in sources.line_of(&step.module)?.dependencies() {
            before(plan, number, module_of(path), wait);
        }
        for (side, name) in config::softdeps(sources.config, step.module.name) {
            for module in &lookup(sources, name)? {
                match side {
                    Side::Before => before(plan, number, module.name, wait),
                    Side::After => behind(plan, number, module.name, wait),
                }
            }
        }
    }
    Ok(())
}

/// The step waits for the turns of a module that come before it.
fn before(plan: &Plan<'_>, number: usize, name: &[u8], wait: &mut dyn FnMut(usize, usize)) {
    let earlier = plan.steps_for(name).filter(|(turn, _)| *turn < number);
    earlier.for_each(|(turn, _)| wait(turn, number));
}

/// The turns of a module that come behind the step wait for it.
fn behind(plan: &Plan<'_>, number: usize, name: &[u8], wait: &mut dyn FnMut(usize, usize)) {
    let later = plan.steps_for(name).filter(|(turn, _)| *turn > number);
    later.for_each(|(turn, _)| wait(number, turn));
}
