//! The timeline as JSON.

use serde::Serialize;

use super::boot::{Boot, Outcome};

/// A log.
#[derive(Debug, Serialize)]
pub struct Log<'a> {
    log: &'a str,
    boot: usize,
    init_us: Option<u64>,
    end_us: Option<u64>,
    agent: Option<&'a str>,
    failure: Option<&'a str>,
    phases: Vec<Phase<'a>>,
    steps: Vec<Step<'a>>,
}

#[derive(Debug, Serialize)]
struct Phase<'a> {
    name: &'a str,
    start_us: Option<u64>,
    took_us: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Step<'a> {
    module: &'a str,
    action: Option<&'a str>,
    start_us: Option<u64>,
    took_us: Option<u64>,
    thread: Option<u8>,
    outcome: &'static str,
    critical: bool,
    slowest: bool,
}

/// The logs with these names.
pub fn logs<'a>(boots: &'a [(&'a str, Boot<'a>)]) -> Vec<Log<'a>> {
    let log = |(name, boot): &'a (&'a str, Boot<'a>)| Log {
        log: name,
        boot: boot.number,
        init_us: boot.init,
        end_us: boot.end,
        agent: boot.agent,
        failure: boot.failure,
        phases: boot.phases.iter().map(phase).collect(),
        steps: boot.steps.iter().map(step).collect(),
    };
    boots.iter().map(log).collect()
}

fn phase<'a>(phase: &super::boot::Phase<'a>) -> Phase<'a> {
    Phase { name: phase.name, start_us: phase.start, took_us: phase.took }
}

fn step<'a>(step: &'a super::boot::Step<'a>) -> Step<'a> {
    Step {
        module: &step.module,
        action: step.action,
        start_us: step.start,
        took_us: step.took,
        thread: step.thread,
        outcome: match step.outcome {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Unfinished => "unfinished",
            Outcome::EndMissing => "end missing",
        },
        critical: step.is_critical,
        slowest: step.is_slowest,
    }
}
