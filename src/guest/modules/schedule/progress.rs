//! The progress of a plan: the state of each step, and the choice of the step that begins next.

extern crate alloc;

use alloc::vec::Vec;

use crate::failure::Failure;
use crate::guest::modules::file::ModuleFile;
use crate::resolve::plan::Plan;
use crate::resolve::plan::calls::PassedOver;

use super::PreparedStep;

/// The bytes of a module that take as long as the parts of a load that do not depend on the size.
const PER_LOAD: u64 = 64 << 10;

/// The progress of a plan.
pub struct Progress {
    states: Vec<StepState>,
    /// All steps before this number have begun.
    first: usize,
    /// No step from this number on begins.
    pub end: usize,
    /// The failure that ends the VM.
    pub failure: Option<Failure>,
    /// The wanted modules that are passed over.
    pub passed_over: PassedOver,
    /// The number of modules that were loaded.
    pub loaded: usize,
    /// The number of threads that wait for a step to begin.
    pub idle: usize,
}

/// The state of a step.
struct StepState {
    prepared: PreparedStep,
    has_begun: bool,
    /// The number of steps that must be done before this one begins.
    waits_for: usize,
    /// The steps that wait for this one.
    dependents: Vec<usize>,
    /// The sizes of this step's module and of those behind it on the longest chain of dependents, in bytes. The time
    /// that the kernel takes for a module grows with its size. Behind an entry's own module stands that of the next
    /// entry, which begins later. 0 with one thread.
    chain: u64,
    /// Whether the step is done, and loaded its module or found it loaded.
    is_loaded: bool,
}

impl Progress {
    /// No step has begun, and none waits for another.
    pub fn new(steps: Vec<PreparedStep>) -> Self {
        let state = |prepared| StepState {
            prepared,
            has_begun: false,
            waits_for: 0,
            dependents: Vec::new(),
            chain: 0,
            is_loaded: false,
        };
        let states: Vec<_> = steps.into_iter().map(state).collect();
        let end = states.len();
        Self { states, first: 0, end, failure: None, passed_over: PassedOver::default(), loaded: 0, idle: 0 }
    }

    /// Lets a step wait for an earlier one.
    pub fn add_wait(&mut self, earlier: usize, later: usize) {
        if let Some(state) = self.states.get_mut(earlier) {
            state.dependents.push(later);
        }
        if let Some(state) = self.states.get_mut(later) {
            state.waits_for += 1;
        }
    }

    /// Measures the chain of each step. Dependents are later steps, so their chains are measured before.
    pub fn measure_chains(&mut self, plan: &Plan<'_>) {
        let mut next_own = 0;
        for (number, step) in plan.steps().iter().enumerate().rev() {
            let Some(state) = self.states.get(number) else { continue };
            let chains = state.dependents.iter().filter_map(|later| self.states.get(*later)).map(|later| later.chain);
            let longest = chains.max().unwrap_or(0).max(if step.asked_for { next_own } else { 0 });
            let size = state.prepared.file.as_ref().map_or(0, ModuleFile::size);
            let chain = longest.saturating_add(size).saturating_add(PER_LOAD);
            if step.asked_for {
                next_own = chain;
            }
            if let Some(state) = self.states.get_mut(number) {
                state.chain = chain;
            }
        }
    }

    /// The chains, in loads of modules without a size.
    #[cfg(test)]
    pub fn chains(&self) -> Vec<u64> {
        self.states.iter().map(|state| state.chain / PER_LOAD).collect()
    }

    #[cfg(test)]
    pub fn set_chains(&mut self, chains: &[u64]) {
        assert_eq!(self.states.len(), chains.len());
        self.states.iter_mut().zip(chains).for_each(|(state, chain)| state.chain = *chain);
    }

    /// Whether no more steps will begin.
    pub fn is_over(&mut self) -> bool {
        while self.states.get(self.first).is_some_and(|state| state.has_begun) {
            self.first += 1;
        }
        self.first >= self.end
    }

    /// The step that begins next: of those that can begin, the one with the longest chain, or the first of these. A
    /// step can begin if all steps that it waits for are done. A step for an entry's own module also waits until those
    /// of all earlier entries have begun, so that they begin in the order of the list.
    pub fn next_ready(&self, plan: &Plan<'_>) -> Option<usize> {
        let mut is_first_own = true;
        let mut next: Option<(usize, u64)> = None;
        for (number, (state, step)) in self.states.iter().zip(plan.steps()).enumerate().take(self.end).skip(self.first)
        {
            if state.has_begun {
                continue;
            }
            let is_in_turn = is_first_own || !step.asked_for;
            if state.waits_for == 0 && is_in_turn && next.is_none_or(|(_, chain)| state.chain > chain) {
                next = Some((number, state.chain));
                // With one thread all chains are 0, and the first step is the next.
                if state.chain == 0 {
                    break;
                }
            }
            is_first_own &= !step.asked_for;
        }
        next.map(|(number, _)| number)
    }

    /// Notes whether a step that is done loaded its module, or found it loaded.
    pub fn set_loaded(&mut self, number: usize, is_loaded: bool) {
        if let Some(state) = self.states.get_mut(number) {
            state.is_loaded = is_loaded;
        }
    }

    /// Whether a step loaded its module, or found it loaded.
    pub fn is_loaded(&self, number: usize) -> bool {
        self.states.get(number).is_some_and(|state| state.is_loaded)
    }

    /// Begins a step.
    pub fn begin(&mut self, number: usize) -> PreparedStep {
        let Some(state) = self.states.get_mut(number) else { return PreparedStep::default() };
        state.has_begun = true;
        core::mem::take(&mut state.prepared)
    }

    /// Notes for each step that waits for this one that this one is done.
    pub fn release_dependents(&mut self, number: usize) {
        let dependents = self.states.get_mut(number).map(|state| core::mem::take(&mut state.dependents));
        for later in dependents.into_iter().flatten() {
            if let Some(state) = self.states.get_mut(later) {
                state.waits_for -= 1;
            }
        }
    }
}
