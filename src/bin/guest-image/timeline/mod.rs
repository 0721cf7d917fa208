//! `guest-image timeline`: where the time of a boot went, from its console or kernel log.
//!
//! [`boot`] reads a log. [`table`], [`json`] and [`picture`] show what it has read.

mod boot;
mod json;
mod picture;
mod table;

use anyhow::Result;
use clap::Args;
use guest_init::text::Shown;

use crate::cli::exit::Exit;
use crate::cli::stderr;
use crate::cli::stdout::{print, print_json};
use crate::shared::log_file;

use boot::{Boot, MOST};

const EXAMPLES: &str = "\
Examples:
  guest-image timeline console.log
  guest-image timeline console.log --svg >boot.svg
  guest-image timeline jobs-1.log jobs-auto.log --svg >both.svg
  dmesg | guest-image timeline -";

const STATUS: &str = "\
Exit status:
  0  every log has guest-init's lines of level debug
  1  a log lacks them; what it has is printed
  2  wrong arguments, or a log can't be read";

/// Shows where the time of a boot went, from its console or kernel log.
///
/// The VM must be booted with guest_init.log=debug. LOG is a file with the console's log or with the output of dmesg,
/// or `-` for standard input. If several boots are in one log, the last one is shown.
///
/// Printed are the phases, from the kernel's start to the agent, and each step of guest-init's plans with its start,
/// its time and its thread. `slowest` marks the step that took longest. `critical` marks the critical path, from the
/// last end back: before each step comes the one whose end is the last before that step's start. A step in which the VM
/// ended is `unfinished`. All starts are times since the start of the kernel.
///
/// --svg prints a picture: the phases, and a lane for each thread, with bars to scale from the start of PID 1 on.
/// Several logs have one scale.
///
/// --json prints an array with an object for each log: "log", "boot" (its number in the log), "init_us" (the start of
/// PID 1), "end_us", "agent", "failure", "phases" ("name", "start_us", "took_us") and "steps" ("module", "action",
/// "start_us", "took_us", "thread", "outcome", "critical", "slowest"). A value that the log does not have is null.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{STATUS}"))]
pub struct Arguments {
    /// A file with a console's or a kernel's log, or `-`
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<String>,
    /// Print a picture
    #[arg(long, conflicts_with = "json")]
    svg: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let mut texts = Vec::new();
    for file in &arguments.logs {
        let name = log_file::name(file);
        match log_file::read(file) {
            Ok(text) => texts.push((name, text)),
            Err(error) => {
                stderr::print(format_args!("guest-image: {}: {error}", Shown(name.as_bytes())));
                return Ok(Exit::Usage);
            }
        }
    }
    let mut boots = Vec::new();
    let mut exit = Exit::Done;
    for (name, text) in &texts {
        let boot = Boot::read(text);
        for missing in what_is_missing(boot.as_ref()) {
            stderr::warn(format_args!("{}: {missing}", Shown(name.as_bytes())));
        }
        if !boot.as_ref().is_some_and(|boot| boot.has_details) {
            exit = Exit::Failed;
        }
        boots.extend(boot.map(|boot| (*name, boot)));
    }
    match arguments {
        Arguments { json: true, .. } => print_json(&json::logs(&boots))?,
        Arguments { svg: true, .. } if boots.is_empty() => {}
        Arguments { svg: true, .. } => print(&picture::draw(&boots))?,
        _ => print(&table::tables(&boots))?,
    }
    Ok(exit)
}

/// The remarks on what a log lacks.
fn what_is_missing(boot: Option<&Boot<'_>>) -> Vec<String> {
    let Some(boot) = boot else {
        return vec!["no line of guest-init, and none of the kernel about the start of PID 1".into()];
    };
    let mut missing = Vec::new();
    if !boot.has_details {
        missing.push("no activities and modules in this log: boot with guest_init.log=debug, and without quiet".into());
    } else if boot.end.is_none() {
        missing
            .push("its lines have no times, so nothing is known but how long each module took: printk.time=1".into());
    }
    if boot.left_out > 0 {
        missing.push(format!("more than {MOST} modules: {} lines are left out", boot.left_out));
    }
    missing
}

/// A log's name and its boot in one line: how long it took, and how it ended.
fn summary(name: &str, boot: &Boot<'_>) -> String {
    let name = Shown(name.as_bytes());
    let number = if boot.number > 1 { format!(", boot {}", boot.number) } else { String::new() };
    let kernel = boot.init.map(|init| format!("kernel {} ms, ", milliseconds(init))).unwrap_or_default();
    let took = boot.took().map(|took| format!(" {} ms", milliseconds(took))).unwrap_or_default();
    let end = match (boot.agent, boot.failure) {
        (Some(agent), _) => format!("to {}", Shown(agent.as_bytes())),
        (None, Some(_)) => "to the failure".into(),
        (None, None) if boot.has_details => "to the end of the log".into(),
        (None, None) => "to its last line".into(),
    };
    format!("{name}{number}: {kernel}guest-init{took} {end}")
}

/// Microseconds as milliseconds with three decimal places.
fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:03}", microseconds / 1000, microseconds % 1000)
}
