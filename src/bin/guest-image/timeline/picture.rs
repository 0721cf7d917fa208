//! The timeline as a picture: for each log the phases, a lane for each thread, and an axis.
//!
//! All logs have one scale, and each begins with its start of PID 1. A bar's tooltip has its name and its times.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use guest_init::request::MOST_JOBS;
use guest_init::text::Shown;
use svg::Document;
use svg::node::element::{Group, Line, Rectangle, Style, Text, Title};

use super::boot::{Boot, Outcome, Step};
use super::{milliseconds, summary};

/// The widths of the picture, of the lanes' names and of the bars at full scale, and the heights of a row and of a bar,
/// in pixels.
const WIDTH: usize = 820;
const NAMES: usize = 70;
const PLOT: usize = 740;
const ROW: usize = 24;
const BAR: usize = 18;
/// The widest character of a bar's label, in pixels.
const LETTER: f64 = 6.6;
/// The thinnest bar, in pixels.
const THINNEST: f64 = 0.5;
/// The longest line of text, in bytes.
const LINE: usize = 116;
/// The most bars of a kind that are drawn: more than the steps of the longest plan. The longest are drawn.
const MOST_BARS: usize = 4096;
/// The number of steps that are named as the slowest.
const NAMED: usize = 3;
/// The most ticks of the axis.
const MOST_TICKS: u64 = 8;

/// Colours that are legible on light and on dark pages.
const STYLE: &str = "text { font: 12px sans-serif; fill: #57606a } .title { font-weight: bold; font-size: 13px }
.label { font-size: 11px; fill: #ffffff } .phase { fill: #57606a } .phase.odd { fill: #7d8590 }
.step { fill: #7d8590 } .critical { fill: #1f6feb } .failed, text.failure { fill: #cf222e }
.unfinished { fill: #cf222e; fill-opacity: 0.7 } .slowest { stroke: #bf8700; stroke-width: 2 }
line { stroke: #8c959f; stroke-width: 1 } line.failure { stroke: #cf222e; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #adbac7 } .label { fill: #ffffff } text.failure { fill: #f47067 } }";

/// Draws all boots, each below the name of its log.
pub fn draw(boots: &[(&str, Boot<'_>)]) -> String {
    let span = boots.iter().map(|(_, boot)| latest(boot).saturating_sub(origin(boot))).max().unwrap_or_default();
    let scale = Scale { span: span.max(1) };
    let mut document = Document::new().add(Style::new(STYLE));
    let mut top = 0;
    for (name, boot) in boots {
        let (group, rows) = Chart { boot, scale, origin: origin(boot) }.draw(name);
        document = document.add(group.set("transform", format!("translate(0 {top})")));
        top += rows * ROW + ROW / 2;
    }
    document.set("viewBox", (0, 0, WIDTH, top)).to_string() + "\n"
}

/// The start of the axis: that of PID 1, or of whatever the log has first behind the kernel.
fn origin(boot: &Boot<'_>) -> u64 {
    let starts = boot.phases.iter().filter_map(|phase| phase.start);
    let starts = starts.chain(boot.steps.iter().filter_map(|step| step.start));
    boot.init.or_else(|| starts.min()).unwrap_or_default()
}

/// The last time that is drawn.
fn latest(boot: &Boot<'_>) -> u64 {
    let phases = boot.phases.iter().filter_map(|phase| Some(phase.start?.saturating_add(phase.took?)));
    phases.chain(boot.steps.iter().filter_map(Step::end)).chain(boot.end).max().unwrap_or_default()
}

/// The scale of all charts.
#[derive(Clone, Copy)]
struct Scale {
    /// The microseconds of the whole width.
    span: u64,
}

impl Scale {
    /// The pixels of a time.
    fn pixels(self, microseconds: u64) -> f64 {
        PLOT as f64 * microseconds as f64 / self.span as f64
    }

    /// The time between two ticks: 1, 2 or 5 of a power of ten.
    fn tick(self) -> u64 {
        let powers = (0..u64::MAX.ilog10()).map(|power| 10_u64.pow(power));
        let ticks = powers.flat_map(|power| [1, 2, 5].map(|number| power.saturating_mul(number)));
        ticks.into_iter().find(|tick| self.span / tick <= MOST_TICKS).unwrap_or(u64::MAX)
    }
}

/// The chart of a boot.
struct Chart<'b> {
    boot: &'b Boot<'b>,
    scale: Scale,
    /// The time at the left end.
    origin: u64,
}

impl Chart<'_> {
    /// Draws the chart. Returns its number of rows as well.
    fn draw(&self, name: &str) -> (Group, usize) {
        let threads: BTreeSet<_> = self.boot.steps.iter().filter_map(|step| step.thread).collect();
        let is_unfinished = |step: &&Step<'_>| step.outcome == Outcome::Unfinished;
        let unfinished: Vec<_> = self.boot.steps.iter().filter(is_unfinished).take(MOST_JOBS).collect();
        let mut group = Group::new().add(text(&summary(name, self.boot), 0, 0).set("class", "title"));
        group = self.phases(group, 1).add(lane("phases", 1));
        let mut row = 2;
        for thread in threads {
            group = self.steps(group, row, self.longest(|step| step.thread == Some(thread)));
            group = group.add(lane(&format!("thread {thread}"), row));
            row += 1;
        }
        for step in unfinished {
            group = self.steps(group, row, vec![step]).add(lane("unfinished", row));
            row += 1;
        }
        group = self.axis(group, row);
        let (group, notes) = self.notes(group, row + 1);
        (group, row + 1 + notes)
    }

    /// The steps that `belong`, by their starts. If there are too many, the longest.
    fn longest(&self, belong: impl Fn(&Step<'_>) -> bool) -> Vec<&Step<'_>> {
        let mut steps: Vec<_> = self.boot.steps.iter().filter(|step| belong(step)).collect();
        if steps.len() > MOST_BARS {
            steps.sort_by_key(|step| Reverse(step.took));
            steps.truncate(MOST_BARS);
            steps.sort_by_key(|step| step.start);
        }
        steps
    }

    /// The phases from the origin on.
    fn phases(&self, group: Group, row: usize) -> Group {
        let phases = self.boot.phases.iter().filter(|phase| phase.start.is_some_and(|start| start >= self.origin));
        phases.take(MOST_BARS).enumerate().fold(group, |group, (number, phase)| {
            let class = if number % 2 == 1 { "phase odd" } else { "phase" };
            self.bar(group, row, class, phase.name, phase.start.zip(phase.took))
        })
    }

    fn steps(&self, group: Group, row: usize, steps: Vec<&Step<'_>>) -> Group {
        steps.into_iter().fold(group, |group, step| {
            let outcome = match step.outcome {
                Outcome::Failed => " failed",
                Outcome::Unfinished => " unfinished",
                Outcome::Done | Outcome::EndMissing => "",
            };
            let critical = if step.is_critical { " critical" } else { "" };
            let slowest = if step.is_slowest { " slowest" } else { "" };
            let class = format!("step{critical}{outcome}{slowest}");
            self.bar(group, row, &class, &step.module, step.start.zip(step.took))
        })
    }

    /// Adds a bar, and its label if that fits. A bar without times is left out.
    fn bar(&self, group: Group, row: usize, class: &str, name: &str, times: Option<(u64, u64)>) -> Group {
        let Some((start, took)) = times else { return group };
        let name = Shown(name.as_bytes()).to_string();
        let (left, length) = (self.left(start), self.scale.pixels(took).max(THINNEST));
        let tooltip = format!("{name}: {} ms, from {} ms on", milliseconds(took), milliseconds(start));
        let bar = Rectangle::new().set("x", format!("{left:.2}")).set("y", row * ROW + (ROW - BAR) / 2);
        let bar = bar.set("width", format!("{length:.2}")).set("height", BAR).set("class", class);
        let group = group.add(bar.add(Title::new(tooltip)));
        if name.len() as f64 * LETTER + 4.0 > length {
            return group;
        }
        let label = Text::new(name).set("x", format!("{:.2}", left + length / 2.0)).set("y", baseline(row));
        group.add(label.set("text-anchor", "middle").set("class", "label"))
    }

    /// The axis, with the times since the origin in seconds.
    fn axis(&self, group: Group, row: usize) -> Group {
        let (tick, top) = (self.scale.tick(), row * ROW + 3);
        let digits = usize::try_from(6_u32.saturating_sub(tick.ilog10())).unwrap_or_default();
        let group = group.add(line(NAMES as f64, top, (NAMES + PLOT) as f64, top));
        (0..=self.scale.span / tick).map(|number| number * tick).fold(group, |group, time| {
            let left = NAMES as f64 + self.scale.pixels(time);
            let number = format!("{:.*} s", digits, time as f64 / 1e6);
            let label = Text::new(number).set("x", format!("{left:.2}")).set("y", baseline(row) + 2);
            group.add(line(left, top, left, top + 4)).add(label.set("text-anchor", "middle"))
        })
    }

    /// The names of the slowest steps and of the failure. Returns the number of rows as well.
    fn notes(&self, mut group: Group, row: usize) -> (Group, usize) {
        let mut notes = 0;
        let mut slowest: Vec<_> = self.boot.steps.iter().filter_map(|step| Some((step.took?, &step.module))).collect();
        slowest.sort_by_key(|(took, _)| Reverse(*took));
        if !slowest.is_empty() {
            let slowest =
                slowest.iter().take(NAMED).map(|(took, module)| format!("{module} {} ms", milliseconds(*took)));
            let slowest = slowest.collect::<Vec<_>>().join(", ");
            group = group.add(text(&format!("slowest: {slowest}; blue: the critical path"), NAMES, row));
            notes += 1;
        }
        if let Some(failure) = self.boot.failure {
            if let Some(end) = self.boot.end {
                let left = self.left(end);
                group = group.add(line(left, ROW, left, row * ROW - ROW).set("class", "failure"));
            }
            group = group.add(text(&format!("failed: {failure}"), NAMES, row + notes).set("class", "failure"));
            notes += 1;
        }
        (group, notes)
    }

    /// The left end of a bar that starts then.
    fn left(&self, time: u64) -> f64 {
        NAMES as f64 + self.scale.pixels(time.saturating_sub(self.origin))
    }
}

/// The name of a lane.
fn lane(name: &str, row: usize) -> Text {
    text(name, NAMES - 6, row).set("text-anchor", "end")
}

/// A line of text, which is cut if it does not fit.
fn text(content: &str, left: usize, row: usize) -> Text {
    let shown = guest_init::text::Text::<LINE>::of(Shown(content.as_bytes()));
    Text::new(shown.as_str()).set("x", left).set("y", baseline(row))
}

fn line(x1: f64, y1: usize, x2: f64, y2: usize) -> Line {
    Line::new().set("x1", format!("{x1:.2}")).set("y1", y1).set("x2", format!("{x2:.2}")).set("y2", y2)
}

/// The vertical place of the text of a row.
const fn baseline(row: usize) -> usize {
    row * ROW + ROW - 8
}
