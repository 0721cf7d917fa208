//! The critical path: the steps that the time to the last end depends on, as the log shows it. A log does not have the
//! dependencies, so the step before another is the one whose end is the last before the other's start.

use super::Step;

/// Marks the steps of the critical path, from the last end back.
pub fn mark(steps: &mut [Step<'_>]) {
    // The ends in their order, each with the number of its step.
    let ends = steps.iter().enumerate().filter_map(|(number, step)| Some((step.end()?, number)));
    let mut ends: Vec<_> = ends.collect();
    ends.sort_unstable();
    let mut rest = ends.len();
    while let Some(&(_, number)) = rest.checked_sub(1).and_then(|last| ends.get(last)) {
        let step = &mut steps[number];
        step.is_critical = true;
        let Some(start) = step.start else { return };
        // Steps that took no time may end where they start, so only the ends before this step's are left.
        rest = ends[..rest - 1].partition_point(|(end, _)| *end <= start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    /// The critical steps among steps with these starts and ends.
    fn path(times: &[(u64, u64)]) -> Vec<usize> {
        let step = |(start, end): &(u64, u64)| Step {
            module: "m".into(),
            action: None,
            start: Some(*start),
            took: Some(end - start),
            thread: None,
            outcome: Outcome::Done,
            is_critical: false,
            is_slowest: false,
        };
        let mut steps: Vec<_> = times.iter().map(step).collect();
        mark(&mut steps);
        (0..steps.len()).filter(|number| steps[*number].is_critical).collect()
    }

    #[test]
    fn it_leads_from_the_last_end_back_over_the_last_ends_before_each_start() {
        assert_eq!(path(&[(0, 10), (10, 20), (20, 30)]), [0, 1, 2]);
        // Two threads: the last step waits for the second one, and that for nothing.
        assert_eq!(path(&[(0, 10), (0, 25), (12, 20), (26, 30)]), [1, 3]);
        assert_eq!(path(&[(0, 30), (5, 10)]), [0]);
        assert_eq!(path(&[]), [0; 0]);
    }

    #[test]
    fn steps_that_take_no_time_end_the_search() {
        assert_eq!(path(&[(5, 5), (5, 5), (5, 5)]), [0, 1, 2]);
    }
}
