//! Reads the lines of a log into its last boot.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use super::line::{Line, Record, failed_module};
use super::{Boot, MOST, Outcome, Phase, Step, critical_path};

/// The names of the phases before the first activity. Without lines of level debug, the second lasts to the end.
const KERNEL: &str = "kernel";
const MOUNTS: &str = "mounts and command line";
const GUEST_INIT: &str = "guest-init";

/// The boots of a log so far. Only the last one is kept.
#[derive(Debug, Default)]
pub struct Reader<'a> {
    boots: usize,
    /// Whether the kernel of the next boot has started.
    is_kernel_next: bool,
    boot: Lines<'a>,
}

/// The lines of a boot so far.
#[derive(Debug, Default)]
struct Lines<'a> {
    boot: Boot<'a>,
    /// Whether a line of guest-init was read, and the time of the last one.
    has_own: bool,
    last_own: Option<u64>,
    /// The activities and their starts.
    activities: Vec<(&'a str, Option<u64>)>,
    /// The steps that have begun and not ended, by module.
    open: HashMap<Cow<'a, str>, VecDeque<usize>>,
    /// The last step of each module that has ended.
    ended: HashMap<&'a str, usize>,
}

impl<'a> Reader<'a> {
    /// Reads the next line.
    pub fn take(&mut self, line: &'a str) {
        let Line { time, record } = Line::read(line);
        match record {
            Some(Record::KernelStarts) => self.is_kernel_next = true,
            // If the kernel can't execute one init, it tries the next (kernel_init in init/main.c).
            Some(Record::InitStarts) => {
                if self.boot.has_own || self.is_kernel_next || self.boots == 0 {
                    self.begin();
                }
                self.boot.boot.init = time;
                self.boot.pass(time);
            }
            Some(record) => {
                if self.is_kernel_next || self.boots == 0 || self.boot.is_over_before(time) {
                    self.begin();
                }
                self.boot.take(time, record);
            }
            None if self.is_kernel_next => {}
            None => self.boot.pass(time),
        }
    }

    /// Begins the next boot.
    fn begin(&mut self) {
        self.boots += 1;
        self.is_kernel_next = false;
        self.boot = Lines::default();
    }

    /// The last boot.
    pub fn finish(self) -> Option<Boot<'a>> {
        (self.boots > 0).then(|| Boot { number: self.boots, ..self.boot.finish() })
    }
}

impl<'a> Lines<'a> {
    /// Whether the boot has ended, and this time is before its end. Then the line is one of the next boot.
    fn is_over_before(&self, time: Option<u64>) -> bool {
        self.is_over() && time.zip(self.boot.end).is_some_and(|(time, end)| time < end)
    }

    fn is_over(&self) -> bool {
        self.boot.agent.is_some() || self.boot.failure.is_some()
    }

    /// Notes the time of a line.
    fn pass(&mut self, time: Option<u64>) {
        if !self.is_over() {
            self.boot.end = self.boot.end.max(time);
        }
    }

    /// Takes a record of guest-init.
    fn take(&mut self, time: Option<u64>, record: Record<'a>) {
        self.has_own = true;
        self.last_own = time.or(self.last_own);
        match record {
            // Also behind the line of the agent, if the kernel refuses to execute it.
            Record::Fails(failure) if self.boot.failure.is_none() => {
                self.fail(failed_module(failure).unwrap_or_default());
                self.boot.end = time.or(self.boot.end);
                self.boot.failure = Some(failure);
                self.boot.agent = None;
            }
            // The agent may print anything, and a failure ends all.
            _ if self.is_over() => {}
            Record::Executes(agent) => {
                self.boot.end = time.or(self.boot.end);
                self.boot.agent = Some(agent);
                self.boot.has_details = true;
            }
            Record::Activity(name) if self.activities.len() < MOST => self.activities.push((name, time)),
            Record::StepBegins { action, module } if self.boot.steps.len() < MOST => self.begin(time, action, module),
            Record::StepEnds { module, took, thread } => self.end(time, module, took, thread),
            Record::StepFails(module) => self.fail(module),
            Record::Activity(_) | Record::StepBegins { .. } => self.boot.left_out += 1,
            Record::Fails(_) | Record::KernelStarts | Record::InitStarts | Record::Other => {}
        }
        self.pass(time);
    }

    /// Takes the begin of a step.
    fn begin(&mut self, time: Option<u64>, action: &'a str, module: Cow<'a, str>) {
        let number = self.add(time, Some(action), module.clone());
        self.open.entry(module).or_default().push_back(number);
    }

    /// Takes the end of a step. The kernel notes the time of this record when it is written, before the console prints
    /// it. So the start is better known from the end than from the record of the start, which took time to print.
    fn end(&mut self, time: Option<u64>, module: &'a str, took: u64, thread: u8) {
        let number = match self.open.get_mut(module).and_then(VecDeque::pop_front) {
            Some(number) => number,
            None if self.boot.steps.len() < MOST => self.add(None, None, Cow::Borrowed(module)),
            None => return self.boot.left_out += 1,
        };
        let Some(step) = self.boot.steps.get_mut(number) else { return };
        step.start = time.map(|end| end.saturating_sub(took));
        step.took = Some(time.map_or(took, |end| took.min(end)));
        step.thread = Some(thread);
        step.outcome = Outcome::Done;
        self.ended.insert(module, number);
    }

    /// Adds a step, and returns its number.
    fn add(&mut self, start: Option<u64>, action: Option<&'a str>, module: Cow<'a, str>) -> usize {
        let (took, thread, is_critical, is_slowest) = (None, None, false, false);
        let outcome = Outcome::Unfinished;
        self.boot.steps.push(Step { module, action, start, took, thread, outcome, is_critical, is_slowest });
        self.boot.steps.len() - 1
    }

    /// Takes the failure of a module. Its step has ended before.
    fn fail(&mut self, module: &str) {
        if let Some(step) = self.ended.get(module).and_then(|number| self.boot.steps.get_mut(*number)) {
            step.outcome = Outcome::Failed;
        }
    }

    /// The boot, when its last line is read.
    fn finish(mut self) -> Boot<'a> {
        self.boot.has_details |= !self.activities.is_empty() || !self.boot.steps.is_empty();
        if !self.boot.has_details && self.boot.failure.is_none() {
            // Without the line of the agent, the lines of the kernel may be from long after it.
            self.boot.end = self.last_own;
        }
        self.boot.phases = self.phases();
        let mut boot = self.boot;
        for step in boot.steps.iter_mut().filter(|step| step.outcome == Outcome::Unfinished) {
            match boot.agent {
                Some(_) => step.outcome = Outcome::EndMissing,
                None => step.took = boot.end.zip(step.start).map(|(end, start)| end.saturating_sub(start)),
            }
        }
        boot.steps.sort_by_key(|step| step.start);
        critical_path::mark(&mut boot.steps);
        if let Some(slowest) = boot.steps.iter_mut().filter(|step| step.took.is_some()).max_by_key(|step| step.took) {
            slowest.is_slowest = true;
        }
        boot
    }

    /// The phases. Each lasts to the start of the next.
    fn phases(&mut self) -> Vec<Phase<'a>> {
        let Boot { init, end, has_details, .. } = self.boot;
        let second = if has_details { MOUNTS } else { GUEST_INIT };
        let early = init.map(|init| [(KERNEL, Some(0)), (second, Some(init))]);
        let phases: Vec<_> = early.into_iter().flatten().chain(std::mem::take(&mut self.activities)).collect();
        let ends = phases.iter().map(|(_, start)| *start).skip(1).chain([end]);
        let took = |start: Option<u64>, end: Option<u64>| Some(end?.saturating_sub(start?));
        phases.iter().zip(ends).map(|(&(name, start), end)| Phase { name, start, took: took(start, end) }).collect()
    }
}
