//! The schedule: which step of a plan a thread does next. A step begins when the steps that it depends on are done.
//!
//! The result does not depend on the number of threads. A failure that ends the VM keeps the later steps of the plan
//! from beginning, and the earlier steps are still done. So the failure that is reported is always the first in the
//! order of the plan. One thread does all steps in the order of the plan.

extern crate alloc;

use alloc::vec::Vec;

use rustix_futex_sync::{Condvar, Mutex, MutexGuard};

use crate::failure::Failure;
use crate::guest::modules::file::ModuleFile;
use crate::guest::watch::logger::log_passed_over;
use crate::resolve::plan::calls::PassedOver;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::waits::each_dependency;
use crate::resolve::plan::{Action, Plan, Step};

/// The files and waits of a step, found before the first step begins.
#[derive(Debug, Default)]
pub struct PreparedStep {
    /// The module's file, if it is open.
    pub file: Option<ModuleFile>,
    /// The parameters, separated by blanks.
    pub parameters: Vec<u8>,
    /// Whether the module was found to have the parameters, or the lack of one was reported.
    pub parameters_checked: bool,
    /// Whether an earlier step loaded the module, or found it loaded. Known when the step begins.
    pub is_loaded: bool,
}

/// A plan that threads are doing.
pub struct Schedule<'p, 'a> {
    plan: &'p Plan<'a>,
    progress: Mutex<Progress>,
    /// Notified when a step is done while a thread waits.
    step_done: Condvar,
}

/// The progress of a plan.
struct Progress {
    states: Vec<StepState>,
    /// All steps before this number have begun.
    first: usize,
    /// No step from this number on begins.
    end: usize,
    /// The failure that ends the VM.
    failure: Option<Failure>,
    /// The wanted modules that are passed over.
    passed_over: PassedOver,
    /// The number of modules that were loaded.
    loaded: usize,
    /// The number of threads that wait for a step to begin.
    idle: usize,
}

/// The state of a step.
struct StepState {
    prepared: PreparedStep,
    has_begun: bool,
    /// The number of steps that must be done before this one begins.
    waits_for: usize,
    /// The steps that wait for this one.
    dependents: Vec<usize>,
    /// Whether the step is done, and loaded its module or found it loaded.
    is_loaded: bool,
}

impl<'p, 'a> Schedule<'p, 'a> {
    /// Creates the schedule of a plan. Nothing is done yet. One thread keeps the order of the plan, so no step waits
    /// for another.
    ///
    /// Failures: those of [`each_dependency`].
    pub fn new(plan: &'p Plan<'a>, steps: Vec<PreparedStep>, threads: usize) -> Result<Self, Failure> {
        let state =
            |prepared| StepState { prepared, has_begun: false, waits_for: 0, dependents: Vec::new(), is_loaded: false };
        let mut states: Vec<_> = steps.into_iter().map(state).collect();
        if threads > 1 {
            each_dependency(plan, &mut |earlier, later| {
                if let Some(state) = states.get_mut(earlier) {
                    state.dependents.push(later);
                }
                if let Some(state) = states.get_mut(later) {
                    state.waits_for += 1;
                }
            })?;
        }
        let end = states.len();
        let passed_over = PassedOver::default();
        let progress = Progress { states, first: 0, end, failure: None, passed_over, loaded: 0, idle: 0 };
        Ok(Self { plan, progress: Mutex::new(progress), step_done: Condvar::new() })
    }

    /// Waits until a step can begin, and begins it. `None`: no more steps will begin.
    pub fn next(&self) -> Option<(usize, &'p Step<'a>, PreparedStep)> {
        let mut progress = self.progress();
        while !progress.is_over() {
            let Some(number) = progress.next_ready(self.plan) else {
                progress.idle += 1;
                progress = self.step_done.wait(progress);
                progress.idle -= 1;
                continue;
            };
            let prepared = progress.begin(number);
            match self.plan.steps().get(number) {
                Some(step) if self.plan.is_reached(step, &progress.passed_over) => {
                    // Logged while the lock is held, so that the lines are in the order in which the steps begin.
                    log::debug!("{}", self.plan.show(step));
                    let is_loaded = self.plan.earlier_steps(step).any(|(earlier, _)| progress.is_loaded(earlier));
                    return Some((number, step, PreparedStep { is_loaded, ..prepared }));
                }
                _ => progress.release_dependents(number),
            }
        }
        None
    }

    /// Takes the outcome of a step: whether the step loaded a module, or its failure.
    pub fn done(&self, number: usize, step: &Step<'a>, outcome: Result<bool, Failure>) {
        let mut progress = self.progress();
        match outcome {
            Ok(was_loaded) => {
                progress.loaded += usize::from(was_loaded);
                if let Some(state) = progress.states.get_mut(number) {
                    state.is_loaded = matches!(step.action, Action::Load(_));
                }
            }
            Err(failure) => match self.plan.fail(step, &mut progress.passed_over) {
                Consequence::Nothing => log::info!("{failure}: a soft dependency, passed over"),
                Consequence::EndsItsEntry => log_passed_over(&failure),
                Consequence::EndsTheVm if number < progress.end => {
                    progress.end = number;
                    progress.failure = Some(failure);
                }
                // An earlier step failed meanwhile. With one thread, this step would never have begun.
                Consequence::EndsTheVm => {}
            },
        }
        progress.release_dependents(number);
        if progress.idle > 0 {
            self.step_done.notify_all();
        }
    }

    /// The number of modules that were loaded, or the failure that ends the VM.
    pub fn result(self) -> Result<usize, Failure> {
        let progress = self.progress.into_inner();
        progress.failure.map_or(Ok(progress.loaded), Err)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock()
    }
}

impl Progress {
    /// Whether no more steps will begin.
    fn is_over(&mut self) -> bool {
        while self.states.get(self.first).is_some_and(|state| state.has_begun) {
            self.first += 1;
        }
        self.first >= self.end
    }

    /// The first step that can begin: all steps that it waits for are done. A step for an entry's own module also waits
    /// until those of all earlier entries have begun, so that they begin in the order of the list.
    fn next_ready(&self, plan: &Plan<'_>) -> Option<usize> {
        let mut others_have_begun = true;
        for (number, (state, step)) in self.states.iter().zip(plan.steps()).enumerate().take(self.end).skip(self.first)
        {
            if state.has_begun {
                continue;
            }
            if state.waits_for == 0 && (others_have_begun || !step.asked_for) {
                return Some(number);
            }
            others_have_begun &= !step.asked_for;
        }
        None
    }

    /// Whether a step loaded its module, or found it loaded.
    fn is_loaded(&self, number: usize) -> bool {
        self.states.get(number).is_some_and(|state| state.is_loaded)
    }

    /// Begins a step.
    fn begin(&mut self, number: usize) -> PreparedStep {
        let Some(state) = self.states.get_mut(number) else { return PreparedStep::default() };
        state.has_begun = true;
        core::mem::take(&mut state.prepared)
    }

    /// Notes for each step that waits for this one that this one is done.
    fn release_dependents(&mut self, number: usize) {
        let dependents = self.states.get_mut(number).map(|state| core::mem::take(&mut state.dependents));
        for later in dependents.into_iter().flatten() {
            if let Some(state) = self.states.get_mut(later) {
                state.waits_for -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;
    use crate::request::list;
    use crate::resolve::tree::Sources;
    use crate::resolve::tree::config::directives;
    use crate::resolve::tree::index::{Index, IndexKind};
    use std::boxed::Box;

    const DEP: &[u8] = b"k/a.ko:\nk/b.ko: k/a.ko\nk/c.ko:\nk/d.ko: k/b.ko k/a.ko\nk/e.ko:\nk/s.ko:\nk/t.ko:\n";

    /// Runs `check` on the schedule of a list. The module c has the soft dependencies s before it and t after it. The
    /// name `command` has an install command and no module.
    fn with_schedule(text: &str, threads: usize, check: impl FnOnce(&Schedule<'_, '_>)) -> Result<usize, Failure> {
        let lines: Vec<_> = directives(b"softdep c pre: s post: t\ninstall command /bin/true\n").collect();
        let mut indexes = IndexKind::ALL.map(Index::absent);
        indexes[0] = Index::text(IndexKind::Dep, DEP);
        let mut plan = Box::new(Plan::new(Sources { release: "r", trees: &indexes, config: &lines }));
        list::read(text.as_bytes(), "list", &mut |entry| {
            plan.add(entry.unwrap().module().unwrap(), Default::default()).unwrap()
        });
        let steps = plan.steps().iter().map(|_| PreparedStep::default()).collect();
        let schedule = Schedule::new(&plan, steps, threads).unwrap();
        check(&schedule);
        schedule.result()
    }

    /// The number and the name of the next step, which must be able to begin at once.
    fn next<'p>(schedule: &Schedule<'p, '_>) -> (usize, &'p str) {
        let (number, step, _) = schedule.next().unwrap();
        (number, str::from_utf8(step.module.name).unwrap())
    }

    fn done(schedule: &Schedule<'_, '_>, number: usize, outcome: Result<bool, Failure>) {
        schedule.done(number, &schedule.plan.steps()[number], outcome);
    }

    fn failure(name: &str) -> Result<bool, Failure> {
        Err(Failure::new(Code::InitFailed, name, "x"))
    }

    fn can_begin(schedule: &Schedule<'_, '_>) -> bool {
        schedule.progress().next_ready(schedule.plan).is_some()
    }

    #[test]
    fn one_thread_keeps_the_order() {
        let loaded = with_schedule("d; c; e", 1, |schedule| {
            for name in ["a", "b", "d", "s", "c", "t", "e"] {
                let (number, next) = next(schedule);
                assert_eq!(next, name);
                done(schedule, number, Ok(true));
            }
            assert!(schedule.next().is_none());
        });
        assert_eq!(loaded, Ok(7));
    }

    #[test]
    fn a_step_waits_for_what_it_depends_on_and_for_nothing_else() {
        let loaded = with_schedule("d; c; e", 8, |schedule| {
            assert_eq!([next(schedule), next(schedule)], [(0, "a"), (3, "s")]);
            assert!(!can_begin(schedule), "b needs a; d and c wait for others, and e begins after both");
            done(schedule, 3, Ok(true));
            assert!(!can_begin(schedule), "c begins after d");
            done(schedule, 0, Ok(true));
            assert_eq!(next(schedule), (1, "b"));
            assert!(!can_begin(schedule));
            done(schedule, 1, Ok(false));
            assert_eq!([next(schedule), next(schedule), next(schedule)], [(2, "d"), (4, "c"), (6, "e")]);
            assert!(!can_begin(schedule), "t needs c");
            done(schedule, 4, Ok(true));
            assert_eq!(next(schedule), (5, "t"));
            assert!(schedule.next().is_none(), "no thread waits for steps that others are doing");
            for number in [2, 5, 6] {
                done(schedule, number, Ok(true));
            }
        });
        assert_eq!(loaded, Ok(6));
    }

    #[test]
    fn the_first_failure_of_the_plan_is_the_one_reported() {
        let result = with_schedule("a; e; s; t", 4, |schedule| {
            assert_eq!([next(schedule), next(schedule), next(schedule)], [(0, "a"), (1, "e"), (2, "s")]);
            done(schedule, 2, failure("s"));
            assert!(schedule.next().is_none(), "t is after it in the plan");
            done(schedule, 1, failure("e"));
            done(schedule, 0, Ok(true));
        });
        assert_eq!(result.unwrap_err().subject.as_str(), "e");
    }

    #[test]
    fn what_stands_before_a_failure_is_still_done() {
        let result = with_schedule("c; e", 4, |schedule| {
            // The plan is s, c, t, e.
            assert_eq!(next(schedule), (0, "s"));
            assert!(!can_begin(schedule));
            done(schedule, 0, failure("s"));
            assert_eq!([next(schedule), next(schedule)], [(1, "c"), (3, "e")]);
            done(schedule, 3, failure("e"));
            assert!(!can_begin(schedule));
            done(schedule, 1, Ok(true));
            assert_eq!(next(schedule), (2, "t"));
            done(schedule, 2, Ok(true));
            assert!(schedule.next().is_none());
        });
        assert_eq!(result.unwrap_err().subject.as_str(), "e");
    }

    #[test]
    fn what_an_earlier_step_loaded_is_known() {
        let step = |schedule: &Schedule<'_, '_>, is_loaded, outcome| {
            let (number, _, prepared) = schedule.next().unwrap();
            assert_eq!(prepared.is_loaded, is_loaded);
            done(schedule, number, outcome);
        };
        // An optional step settles nothing for the next entry, so each entry has a step of its own.
        let result = with_schedule("?s; ?s; s", 1, |schedule| {
            step(schedule, false, failure("s"));
            step(schedule, false, Ok(false));
            step(schedule, true, Ok(false));
        });
        assert_eq!(result, Ok(0));
        let result = with_schedule("?command; command", 1, |schedule| {
            step(schedule, false, Ok(false));
            step(schedule, false, Ok(false));
        });
        assert_eq!(result, Ok(0));
    }

    #[test]
    fn an_optional_entry_fails_alone() {
        let result = with_schedule("?d; e", 1, |schedule| {
            assert_eq!(next(schedule), (0, "a"));
            done(schedule, 0, failure("a"));
            assert_eq!(next(schedule), (3, "e"));
            done(schedule, 3, Ok(true));
            assert!(schedule.next().is_none());
        });
        assert_eq!(result, Ok(1));
    }
}
