//! A console's log, as `guest-image timeline` reads it: the phases, the steps, and their critical path.

#[path = "../../../src/bin/guest-image/timeline/boot/mod.rs"]
mod boot;

use boot::{Boot, MOST, Outcome, Step};

/// Input: a log.
pub fn timeline(input: &[u8]) {
    let log = String::from_utf8_lossy(input);
    let lines = log.lines().count();
    let Some(boot) = Boot::read(&log) else { return };
    assert!((1..=lines).contains(&boot.number));
    assert!(boot.steps.len() <= MOST && boot.steps.len() + boot.left_out <= lines && boot.phases.len() <= lines + 2);
    assert!(boot.agent.is_none() || boot.failure.is_none() && boot.has_details);
    assert!(boot.took().is_none_or(|took| Some(took) <= boot.end));
    for phase in &boot.phases {
        assert!(log.contains(phase.name) || ["kernel", "mounts and command line", "guest-init"].contains(&phase.name));
        assert!(phase.took.is_none() || phase.start.is_some());
    }
    assert!(boot.steps.is_sorted_by_key(|step| step.start));
    for step in &boot.steps {
        assert!(step.action.is_none_or(|action| log.contains(action)) && step.module.len() <= log.len());
        let has_ended = matches!(step.outcome, Outcome::Done | Outcome::Failed);
        assert!(step.thread.is_some() == has_ended && (step.took.is_some() || !has_ended));
    }
    let slowest: Vec<_> = boot.steps.iter().filter(|step| step.is_slowest).map(|step| step.took).collect();
    let most = boot.steps.iter().filter_map(|step| step.took).max();
    assert_eq!(slowest, most.map(Some).into_iter().collect::<Vec<_>>());
    check_critical_path(&boot.steps);
}

/// Asserts that the steps of the critical path follow one another, up to the last end.
fn check_critical_path(steps: &[Step<'_>]) {
    let times = |step: &Step<'_>| Some((step.end()?, step.start?));
    let mut path: Vec<_> = steps.iter().filter(|step| step.is_critical).filter_map(times).collect();
    path.sort_unstable();
    assert!(path.windows(2).all(|pair| pair[0].0 <= pair[1].1), "{path:?}");
    assert_eq!(path.last().map(|(end, _)| *end), steps.iter().filter_map(Step::end).max());
}
