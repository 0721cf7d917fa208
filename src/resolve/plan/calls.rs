//! The calls of install commands in a plan: which of their steps are done, and what the failure of one means. A shell
//! decides in the same way, by the exit status of the calls before.

use crate::resolve::command::{Call, CallSet, Calls, Command};
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::{Action, MOST_WANTED, Plan, Step};

/// The number of words that have a bit for each wanted module.
const WORDS: usize = MOST_WANTED as usize / 64;

/// The wanted modules whose remaining steps are passed over, because a step that they need failed.
#[derive(Clone, Debug, Default)]
pub struct PassedOver([u64; WORDS]);

impl PassedOver {
    /// Whether a wanted module is passed over.
    pub fn has(&self, wanted: u16) -> bool {
        self.0.get(usize::from(wanted / 64)).is_some_and(|word| word >> (wanted % 64) & 1 == 1)
    }

    /// The calls of the install command of a step that are passed over.
    fn calls(&self, command: &Step<'_>, calls: &Calls<'_>) -> CallSet {
        let call = |number: u8| CallSet::from(self.has(command.first_called + u16::from(number))) << number;
        (0..calls.count).fold(0, |set, number| set | call(number))
    }

    fn add(&mut self, wanted: u16) {
        if let Some(word) = self.0.get_mut(usize::from(wanted / 64)) {
            *word |= 1 << (wanted % 64);
        }
    }
}

impl Step<'_> {
    /// Whether the step belongs to a call of an install command.
    pub fn is_called(&self) -> bool {
        self.call.command.number().is_some()
    }
}

impl<'a> Plan<'a> {
    /// The step of the install command that a step belongs to, with its number.
    pub fn command_of(&self, step: &Step<'a>) -> Option<(usize, &Step<'a>)> {
        let number = step.call.command.number()?;
        Some((number, self.steps.get(number)?))
    }

    /// The call that a step belongs to, and the step of its install command.
    pub fn call_of(&self, step: &Step<'a>) -> Option<(&Step<'a>, Call<'a>)> {
        let (command, calls) = self.calls_of(step)?;
        Some((command, calls.get(step.call.number)?))
    }

    /// The number of the last step that belongs to the calls of a step's install command, or that of the step itself.
    pub fn last_called(&self, number: usize) -> usize {
        let behind = self.steps.iter().skip(number + 1);
        number + behind.take_while(|step| step.call.command.number() >= Some(number)).count()
    }

    /// Whether a step is done. It is not if its wanted module is passed over, or if a shell would not come to its call.
    pub fn is_reached(&self, step: &Step<'a>, passed_over: &PassedOver) -> bool {
        if passed_over.has(step.wanted) {
            return false;
        }
        match self.calls_of(step) {
            Some((command, calls)) => {
                let reached = calls.reached(passed_over.calls(command, &calls));
                self.is_reached(command, passed_over) && reached >> step.call.number & 1 == 1
            }
            None => true,
        }
    }

    /// Notes that a step failed, and returns the consequence. If the step belongs to an install command that has failed
    /// with it, the consequence is that of the command.
    pub fn fail(&self, step: &Step<'a>, passed_over: &mut PassedOver) -> Consequence {
        if step.consequence != Consequence::EndsItsEntry {
            return step.consequence;
        }
        passed_over.add(step.wanted);
        match self.calls_of(step) {
            Some((command, calls)) if calls.fails(passed_over.calls(command, &calls)) => {
                self.fail(command, passed_over)
            }
            _ => Consequence::EndsItsEntry,
        }
    }

    /// The step of the install command that a step belongs to, and the command's calls.
    fn calls_of(&self, step: &Step<'a>) -> Option<(&Step<'a>, Calls<'a>)> {
        let (_, command) = self.command_of(step)?;
        match command.action {
            Action::Install(text) => match Command::read(text) {
                Command::Calls(calls) => Some((command, calls)),
                _ => None,
            },
            _ => None,
        }
    }
}
