//! What must be done before what, where modules are loaded at once: no more than each of them depends on.

use core::ops::Range;

use crate::failure::Failure;
use crate::request::name::same;
use crate::resolve::config::{self, Side};
use crate::resolve::dep::module_of;
use crate::resolve::lookup::lookup;
use crate::resolve::plan::{MOST_STEPS, Plan};

/// Calls `wait` with the numbers of two steps, the later one's second, wherever it must wait for the other: for the files
/// that its line of modules.dep lists, for the soft dependencies before it, as one behind another, and for an earlier step
/// of the same module. A pair may come more than once.
///
/// Since nobody waits for a later step, doing the steps in order does them all.
///
/// Failures: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex),
/// [`Code::PlanTooLarge`](crate::failure::Code::PlanTooLarge).
pub fn each_wait(plan: &Plan<'_>, wait: &mut dyn FnMut(usize, usize)) -> Result<(), Failure> {
    let tree = plan.tree();
    for (number, step) in plan.steps().iter().enumerate() {
        turns(plan, step.module.name, 0..number).for_each(|earlier| wait(earlier, number));
        for path in tree.line_of(&step.module)?.dependencies() {
            turns(plan, module_of(path), 0..number).for_each(|earlier| wait(earlier, number));
        }
        for (side, name) in config::softdeps(tree.config, step.module.name) {
            for module in &lookup(tree, name)? {
                match side {
                    Side::Before => turns(plan, module.name, 0..number).for_each(|earlier| wait(earlier, number)),
                    Side::After => {
                        turns(plan, module.name, number + 1..MOST_STEPS).for_each(|later| wait(number, later))
                    }
                }
            }
        }
    }
    Ok(())
}

/// The steps of a module, among those of a range.
fn turns(plan: &Plan<'_>, name: &[u8], range: Range<usize>) -> impl Iterator<Item = usize> {
    let steps = plan.steps().iter().enumerate().take(range.end).skip(range.start);
    steps.filter(move |(_, step)| same(step.module.name, name)).map(|(number, _)| number)
}
