//! The timeline as tables for people: the phases, and the steps.

use comfy_table::{CellAlignment, Table};
use guest_init::text::Shown;

use super::boot::{Boot, Outcome, Phase, Step};
use super::{milliseconds, summary};
use crate::cli::stdout::{BAD, styled};

/// A time that the log does not have.
const UNKNOWN: &str = "-";

/// The tables of all logs, each below a line that sums it up.
pub fn tables(boots: &[(&str, Boot<'_>)]) -> String {
    let texts: Vec<_> = boots.iter().map(|(name, boot)| of_boot(name, boot)).collect();
    texts.join("\n")
}

fn of_boot(name: &str, boot: &Boot<'_>) -> String {
    let mut text = summary(name, boot) + "\n";
    if !boot.phases.is_empty() {
        text += &table(&["start ms", "time ms", "phase"], 2, boot.phases.iter().map(phase));
    }
    if !boot.steps.is_empty() {
        text += &table(&["start ms", "time ms", "thread", "module", ""], 3, boot.steps.iter().map(step));
    }
    if let Some(failure) = boot.failure {
        text += &format!("\n{} {}\n", styled(BAD, "failed:"), Shown(failure.as_bytes()));
    }
    text
}

fn phase(phase: &Phase<'_>) -> Vec<String> {
    vec![time(phase.start), time(phase.took), shown(phase.name)]
}

fn step(step: &Step<'_>) -> Vec<String> {
    let thread = step.thread.map_or(UNKNOWN.into(), |thread| thread.to_string());
    // A module that is loaded needs no word for it.
    let action = step.action.filter(|action| *action != "insmod").unwrap_or_default();
    vec![time(step.start), time(step.took), thread, shown(&step.module), marks(step, action).join(", ")]
}

/// The words behind a step.
fn marks<'a>(step: &Step<'_>, action: &'a str) -> Vec<&'a str> {
    let outcome = match step.outcome {
        Outcome::Done => "",
        Outcome::Failed => "failed",
        Outcome::Unfinished => "unfinished",
        Outcome::EndMissing => "end not in the log",
    };
    let critical = if step.is_critical { "critical" } else { "" };
    let slowest = if step.is_slowest { "slowest" } else { "" };
    [action, outcome, critical, slowest].into_iter().filter(|mark| !mark.is_empty()).collect()
}

/// A table whose first columns, up to this number, hold numbers.
fn table(headers: &[&str], numbers: usize, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(headers).add_rows(rows);
    for column in table.column_iter_mut().take(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines = table.lines().map(|line| line.trim_end().to_string() + "\n");
    ["\n".to_string()].into_iter().chain(lines).collect()
}

fn time(microseconds: Option<u64>) -> String {
    microseconds.map_or(UNKNOWN.into(), milliseconds)
}

/// A text of the log that can't control a terminal.
fn shown(text: &str) -> String {
    Shown(text.as_bytes()).to_string()
}
