//! A boot as its log shows it: the phases from the kernel's start to the agent, and the steps of guest-init's plans.
//!
//! A log is hostile input: its times may run backwards or be absent, and its lines may be cut. Reading takes time and
//! memory in proportion to the log, and at most [`MOST`] steps and as many activities are kept. This folder needs no
//! crate but guest-init's library, because the fuzzer includes it.

mod critical_path;
mod line;
mod reader;

use std::borrow::Cow;

use reader::Reader;

/// The most steps of a boot, and the most activities. A plan has 2,048 steps at most.
pub const MOST: usize = 1 << 17;

/// The last boot of a log.
#[derive(Debug, Default)]
pub struct Boot<'a> {
    /// The number of this boot in its log, from 1.
    pub number: usize,
    /// The kernel, its first mounts, and the activities of the main thread, in the order of the log.
    pub phases: Vec<Phase<'a>>,
    /// The steps, by their starts.
    pub steps: Vec<Step<'a>>,
    /// The kernel's start of PID 1.
    pub init: Option<u64>,
    /// The agent, if guest-init became it.
    pub agent: Option<&'a str>,
    /// The failure that ended the VM.
    pub failure: Option<&'a str>,
    /// The end: the agent's start, or the failure, or else the last line that has a time. Without lines of level debug,
    /// guest-init's own last line.
    pub end: Option<u64>,
    /// Whether the log has guest-init's lines of level debug.
    pub has_details: bool,
    /// The number of steps and activities that were left out, because there are more than [`MOST`].
    pub left_out: usize,
}

/// A phase. All times are microseconds since the kernel's start, and `None` if the log does not have them.
#[derive(Debug, PartialEq, Eq)]
pub struct Phase<'a> {
    /// The name: `kernel`, or the text of an activity.
    pub name: &'a str,
    /// The start.
    pub start: Option<u64>,
    /// The time to the start of the next phase, or to the end.
    pub took: Option<u64>,
}

/// A step of a plan.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The module's name, with `_` for `-`.
    pub module: Cow<'a, str>,
    /// The action of the step, such as `insmod`. `None`: the log lacks the line of its start.
    pub action: Option<&'a str>,
    /// The start.
    pub start: Option<u64>,
    /// The time that the step took, or if the VM ended in it, the time to that end.
    pub took: Option<u64>,
    /// The number of the thread, which the line of the end has.
    pub thread: Option<u8>,
    /// The outcome.
    pub outcome: Outcome,
    /// Whether the end depends on the step: no step of the critical path could have taken longer without a later end.
    pub is_critical: bool,
    /// Whether this is the step that took longest.
    pub is_slowest: bool,
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The step is done.
    Done,
    /// The step has failed.
    Failed,
    /// The VM ended in the step.
    Unfinished,
    /// The boot went on, but the log lacks the line of the step's end.
    EndMissing,
}

impl<'a> Boot<'a> {
    /// Reads a log. `None`: the log has no line of guest-init, and does not show the start of PID 1.
    pub fn read(log: &'a str) -> Option<Self> {
        let mut reader = Reader::default();
        log.lines().for_each(|line| reader.take(line));
        reader.finish()
    }

    /// The time from the kernel's start of PID 1 to the end.
    pub fn took(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.init?))
    }
}

impl Step<'_> {
    /// The end.
    pub fn end(&self) -> Option<u64> {
        Some(self.start?.saturating_add(self.took?))
    }
}
