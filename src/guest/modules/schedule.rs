//! Who does what next, where several threads do a plan: each step in its turn, as soon as what it waits for is done.
//!
//! What comes out is the same however many threads there are: a failure ends only the steps behind it, so the one that is
//! reported is the first of the plan. With one thread, the order is the plan's.

extern crate alloc;

use alloc::vec::Vec;

use rustix_futex_sync::{Condvar, Mutex, MutexGuard};

use crate::failure::Failure;
use crate::guest::modules::file::ModuleFile;
use crate::guest::watch::logger::log_passed_over;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::waits::each_dependency;
use crate::resolve::plan::{Action, Plan, Step};

/// What a step needs when its turn comes.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Its file, if it has one, and if as many may stay open.
    pub file: Option<ModuleFile>,
    /// Its parameters, in one piece.
    pub parameters: Vec<u8>,
    /// Whether an earlier step loaded its module, or found it there.
    pub is_there: bool,
}

/// A plan in progress.
pub struct Schedule<'p, 'a> {
    plan: &'p Plan<'a>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

struct Progress {
    turns: Vec<Turn>,
    /// Before this one, all have begun.
    first: usize,
    /// From this one on, none begins any more.
    end: usize,
    failure: Option<Failure>,
    /// Requests that are passed over: one of their steps failed.
    given_up: Vec<u16>,
    loaded: usize,
    /// How many threads wait for a change.
    idle: usize,
}

/// A step's turn.
struct Turn {
    prepared: Prepared,
    begun: bool,
    /// How many steps it still waits for.
    waits_for: usize,
    /// Whether it is done, and loaded its module or found it there.
    is_there: bool,
    /// Who waits for it.
    waiting: Vec<usize>,
}

impl<'p, 'a> Schedule<'p, 'a> {
    /// Nothing done yet of `plan`, whose steps these are. For one thread nobody needs to wait.
    ///
    /// Failures: those of [`each_dependency`].
    pub fn new(plan: &'p Plan<'a>, steps: Vec<Prepared>, threads: usize) -> Result<Self, Failure> {
        let turn = |prepared| Turn { prepared, begun: false, waits_for: 0, is_there: false, waiting: Vec::new() };
        let mut turns: Vec<_> = steps.into_iter().map(turn).collect();
        if threads > 1 {
            each_dependency(plan, &mut |earlier, later| {
                if let Some(turn) = turns.get_mut(earlier) {
                    turn.waiting.push(later);
                }
                if let Some(turn) = turns.get_mut(later) {
                    turn.waits_for += 1;
                }
            })?;
        }
        let end = turns.len();
        let progress = Progress { turns, first: 0, end, failure: None, given_up: Vec::new(), loaded: 0, idle: 0 };
        Ok(Self { plan, progress: Mutex::new(progress), changed: Condvar::new() })
    }

    /// The next step to do, as soon as there is one; none if no more will begin.
    pub fn next(&self) -> Option<(usize, &'p Step<'a>, Prepared)> {
        let mut progress = self.progress();
        while !progress.is_over() {
            let Some(number) = progress.ready(self.plan) else {
                progress.idle += 1;
                progress = self.changed.wait(progress);
                progress.idle -= 1;
                continue;
            };
            let prepared = progress.begin(number);
            match self.plan.steps().get(number) {
                Some(step) if !progress.given_up.contains(&step.wanted) => {
                    // Said before another begins, so that the lines stand in the order of the beginnings.
                    log::debug!("{}", self.plan.show(step));
                    let is_there = self.plan.earlier_steps(step).any(|(earlier, _)| progress.is_there(earlier));
                    return Some((number, step, Prepared { is_there, ..prepared }));
                }
                _ => progress.end(number),
            }
        }
        None
    }

    /// Takes what came of a step: whether it loaded a module. A failure of what only soft dependencies ask for is passed
    /// over; one of an optional entry ends that.
    pub fn done(&self, number: usize, step: &Step<'a>, outcome: Result<bool, Failure>) {
        let mut progress = self.progress();
        match outcome {
            Ok(was_loaded) => {
                progress.loaded += usize::from(was_loaded);
                if let Some(turn) = progress.turns.get_mut(number) {
                    turn.is_there = matches!(step.action, Action::Load(_));
                }
            }
            Err(failure) => match step.consequence {
                Consequence::Nothing => log::info!("{failure}: a soft dependency, passed over"),
                Consequence::EndsItsEntry => {
                    log_passed_over(&failure);
                    progress.given_up.push(step.wanted);
                }
                Consequence::EndsTheVm if number < progress.end => {
                    progress.end = number;
                    progress.failure = Some(failure);
                }
                // An earlier step failed meanwhile: one thread alone would never have begun this one.
                Consequence::EndsTheVm => {}
            },
        }
        progress.end(number);
        if progress.idle > 0 {
            self.changed.notify_all();
        }
    }

    /// How many modules were loaded, or why the plan could not be done.
    pub fn result(self) -> Result<usize, Failure> {
        let progress = self.progress.into_inner();
        progress.failure.map_or(Ok(progress.loaded), Err)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock()
    }
}

impl Progress {
    /// Whether none will begin any more.
    fn is_over(&mut self) -> bool {
        while self.turns.get(self.first).is_some_and(|turn| turn.begun) {
            self.first += 1;
        }
        self.first >= self.end
    }

    /// The first step that waits for nothing. The entries' own modules begin in the order of the list.
    fn ready(&self, plan: &Plan<'_>) -> Option<usize> {
        let mut others_have_begun = true;
        for (number, (turn, step)) in self.turns.iter().zip(plan.steps()).enumerate().take(self.end).skip(self.first) {
            if turn.begun {
                continue;
            }
            if turn.waits_for == 0 && (others_have_begun || !step.asked_for) {
                return Some(number);
            }
            others_have_begun &= !step.asked_for;
        }
        None
    }

    /// Whether a step left its module there.
    fn is_there(&self, number: usize) -> bool {
        self.turns.get(number).is_some_and(|turn| turn.is_there)
    }

    fn begin(&mut self, number: usize) -> Prepared {
        let Some(turn) = self.turns.get_mut(number) else { return Prepared::default() };
        turn.begun = true;
        core::mem::take(&mut turn.prepared)
    }

    fn end(&mut self, number: usize) {
        let waiting = self.turns.get_mut(number).map(|turn| core::mem::take(&mut turn.waiting));
        for later in waiting.into_iter().flatten() {
            if let Some(turn) = self.turns.get_mut(later) {
                turn.waits_for -= 1;
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

    /// Runs `check` on a list's plan, with a softdep of c on s before and t behind it, and a command that is no module.
    fn with(text: &str, threads: usize, check: impl FnOnce(&Schedule<'_, '_>)) -> Result<usize, Failure> {
        let lines: Vec<_> = directives(b"softdep c pre: s post: t\ninstall command /bin/true\n").collect();
        let mut indexes = IndexKind::ALL.map(Index::absent);
        indexes[0] = Index::text(IndexKind::Dep, DEP);
        let mut plan = Box::new(Plan::new(Sources { release: "r", indexes: &indexes, config: &lines }));
        list::read(text.as_bytes(), "list", &mut |entry| plan.add(&entry.unwrap(), Default::default()).unwrap());
        let steps = plan.steps().iter().map(|_| Prepared::default()).collect();
        let schedule = Schedule::new(&plan, steps, threads).unwrap();
        check(&schedule);
        schedule.result()
    }

    /// The name of the next step, which must be there without waiting.
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

    fn ready(schedule: &Schedule<'_, '_>) -> bool {
        schedule.progress().ready(schedule.plan).is_some()
    }

    #[test]
    fn one_thread_keeps_the_order() {
        let loaded = with("d; c; e", 1, |schedule| {
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
        let loaded = with("d; c; e", 8, |schedule| {
            assert_eq!([next(schedule), next(schedule)], [(0, "a"), (3, "s")]);
            assert!(!ready(schedule), "b needs a; d and c need others, and e begins behind both");
            done(schedule, 3, Ok(true));
            assert!(!ready(schedule), "c begins behind d");
            done(schedule, 0, Ok(true));
            assert_eq!(next(schedule), (1, "b"));
            assert!(!ready(schedule));
            done(schedule, 1, Ok(false));
            assert_eq!([next(schedule), next(schedule), next(schedule)], [(2, "d"), (4, "c"), (6, "e")]);
            assert!(!ready(schedule), "t needs c");
            done(schedule, 4, Ok(true));
            assert_eq!(next(schedule), (5, "t"));
            assert!(schedule.next().is_none(), "nobody waits for those that others do");
            for number in [2, 5, 6] {
                done(schedule, number, Ok(true));
            }
        });
        assert_eq!(loaded, Ok(6));
    }

    #[test]
    fn the_first_failure_of_the_plan_is_the_one_reported() {
        let result = with("a; e; s; t", 4, |schedule| {
            assert_eq!([next(schedule), next(schedule), next(schedule)], [(0, "a"), (1, "e"), (2, "s")]);
            done(schedule, 2, failure("s"));
            assert!(schedule.next().is_none(), "t stands behind it");
            done(schedule, 1, failure("e"));
            done(schedule, 0, Ok(true));
        });
        assert_eq!(result.unwrap_err().subject.as_str(), "e");
    }

    #[test]
    fn what_stands_before_a_failure_is_still_done() {
        let result = with("c; e", 4, |schedule| {
            // s before c, c, t behind it, e.
            assert_eq!(next(schedule), (0, "s"));
            assert!(!ready(schedule));
            done(schedule, 0, failure("s"));
            assert_eq!([next(schedule), next(schedule)], [(1, "c"), (3, "e")]);
            done(schedule, 3, failure("e"));
            assert!(!ready(schedule));
            done(schedule, 1, Ok(true));
            assert_eq!(next(schedule), (2, "t"));
            done(schedule, 2, Ok(true));
            assert!(schedule.next().is_none());
        });
        assert_eq!(result.unwrap_err().subject.as_str(), "e");
    }

    #[test]
    fn what_an_earlier_step_loaded_is_known() {
        let turn = |schedule: &Schedule<'_, '_>, is_there, outcome| {
            let (number, _, prepared) = schedule.next().unwrap();
            assert_eq!(prepared.is_there, is_there);
            done(schedule, number, outcome);
        };
        // What is optional settles nothing for the next: each has a turn.
        let result = with("?s; ?s; s", 1, |schedule| {
            turn(schedule, false, failure("s"));
            turn(schedule, false, Ok(false));
            turn(schedule, true, Ok(false));
        });
        assert_eq!(result, Ok(0));
        let result = with("?command; command", 1, |schedule| {
            turn(schedule, false, Ok(false));
            turn(schedule, false, Ok(false));
        });
        assert_eq!(result, Ok(0));
    }

    #[test]
    fn an_optional_entry_fails_alone() {
        let result = with("?d; e", 1, |schedule| {
            assert_eq!(next(schedule), (0, "a"));
            done(schedule, 0, failure("a"));
            assert_eq!(next(schedule), (3, "e"));
            done(schedule, 3, Ok(true));
            assert!(schedule.next().is_none());
        });
        assert_eq!(result, Ok(1));
    }
}
