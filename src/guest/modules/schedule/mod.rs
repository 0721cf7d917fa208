//! The schedule: which step of a plan a thread does next. A step begins when the steps that it depends on are done. Of
//! several that can begin, the one with the longest chain of steps behind it begins first.
//!
//! The result does not depend on the number of threads. A failure that ends the VM keeps the later steps of the plan
//! from beginning, and the earlier steps are still done. So the failure that is reported is always the first in the
//! order of the plan. One thread does all steps in the order of the plan.

extern crate alloc;

mod progress;

use alloc::vec::Vec;

use rustix_futex_sync::{Condvar, Mutex, MutexGuard};

use crate::failure::Failure;
use crate::guest::modules::file::ModuleFile;
use crate::guest::watch::logger::log_passed_over;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::waits::each_dependency;
use crate::resolve::plan::{Action, Plan, Step};
use progress::Progress;

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

impl<'p, 'a> Schedule<'p, 'a> {
    /// Creates the schedule of a plan. Nothing is done yet. One thread keeps the order of the plan, so no step waits
    /// for another.
    ///
    /// Failures: those of [`each_dependency`].
    pub fn new(plan: &'p Plan<'a>, steps: Vec<PreparedStep>, threads: usize) -> Result<Self, Failure> {
        let mut progress = Progress::new(steps);
        if threads > 1 {
            each_dependency(plan, &mut |earlier, later| progress.add_wait(earlier, later))?;
            progress.measure_chains(plan);
        }
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
                progress.set_loaded(number, matches!(step.action, Action::Load(_)));
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

    /// Gives the steps these chains, in place of those that sizes make.
    fn set_chains(schedule: &Schedule<'_, '_>, chains: &[u64]) {
        schedule.progress().set_chains(chains);
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
    fn a_chain_has_the_dependents_and_the_entries_behind_it() {
        let chains = |text, threads| {
            let mut chains = Vec::new();
            with_schedule(text, threads, |schedule| chains = schedule.progress().chains()).unwrap();
            chains
        };
        // The plan is a, b, d: d needs b, which needs a.
        assert_eq!(chains("d", 2), [3, 2, 1]);
        // The plan is a, e, s, c, t: c begins behind e, and e behind a.
        assert_eq!(chains("a; e; c", 2), [4, 3, 3, 2, 1]);
        assert_eq!(chains("d", 1), [0, 0, 0]);
    }

    #[test]
    fn the_longest_chain_begins_first_and_the_order_of_the_list_stays() {
        // The plan is a, e, c with s before it and t after it.
        let names = ["a", "e", "s", "c", "t"];
        let begin = |chains: [u64; 5], expected: &[&str]| {
            let loaded = with_schedule("a; e; c", 4, |schedule| {
                set_chains(schedule, &chains);
                for name in expected {
                    let (number, next) = next(schedule);
                    assert_eq!((next, next), (names[number], *name), "{chains:?}");
                    done(schedule, number, Ok(true));
                }
            });
            assert_eq!(loaded, Ok(5));
        };
        begin([1, 1, 1, 1, 1], &["a", "e", "s", "c", "t"]);
        // s is no entry of the list, so it may begin before those.
        begin([8, 7, 9, 6, 1], &["s", "a", "e", "c", "t"]);
        begin([9, 7, 8, 6, 1], &["a", "s", "e", "c", "t"]);
        // c has the longest chain, and waits for its turn.
        begin([1, 1, 9, 8, 1], &["s", "a", "e", "c", "t"]);
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
