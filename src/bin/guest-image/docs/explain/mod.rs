//! `guest-image explain`: the meaning of a failure's code, and what to look at.
//!
//! [`console_log`] reads a console's log.

mod console_log;

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use guest_init::failure::Code;
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::stderr;
use crate::cli::stdout::{BAD, print, print_json, styled};
use crate::shared::log_file;

use console_log::{EXIT_CODE, Log, OWN_CODES, has_times, leading, number};

const EXAMPLES: &str = "\
Examples:
  guest-image explain console.log
  guest-image explain 0x42
  guest-image explain 'Kernel panic - not syncing: Attempted to kill init! exitcode=0x00004200'
  journalctl -t kata | guest-image explain -";

const STATUS: &str = "\
Exit status:
  0  the failure is explained, or guest-init reports none
  1  the log has no line of guest-init, or its agent ended
  2  wrong arguments, or the log can't be read";

/// Explains the failures of guest-init, and what to look at.
///
/// WHAT is a file with a console's log, or `-` for standard input. guest-init's own line is printed, and then the
/// meaning of its code. A log without that line has no failure of guest-init: if PID 1 ended all the same, the agent
/// did, or the line is not in this log.
///
/// WHAT may also be a code in hexadecimal (0x42) or decimal (66), the exit code of the kernel's panic line
/// (0x00004200), or that line. Without WHAT, the log is read from standard input.
///
/// --json prints an array with an object for each failure: "code", "number", "name", "stage", "meaning", "look", and
/// "line" (guest-init's own, after lines of mistakes that it sums up; or null).
///
/// If the log shows the time of each module, because the VM was booted with guest_init.log=debug, the answer names
/// guest-image-timeline(1).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{STATUS}"))]
pub struct Arguments {
    /// A file with a console's log, `-`, a code, or a panic line
    #[arg(value_name = "WHAT")]
    subjects: Vec<String>,
    /// Explain every code
    #[arg(long, conflicts_with = "subjects")]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A code and its explanation.
#[derive(Debug, Serialize)]
struct Explanation {
    code: String,
    number: u8,
    name: String,
    stage: String,
    meaning: &'static str,
    look: &'static str,
    line: Option<String>,
}

/// The answer about one subject.
#[derive(Debug)]
struct Answer {
    explanations: Vec<Explanation>,
    /// The answer in words, or a remark on the explanations.
    remark: Option<String>,
    exit: Exit,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Arguments { subjects, all, json } = arguments;
    let joined = subjects.join(" ");
    let is_line = OWN_CODES.into_iter().chain([EXIT_CODE]).any(|mark| joined.contains(mark));
    let answers: Vec<_> = match &subjects[..] {
        [] if *all => vec![Answer::codes(Code::ALL.iter().map(|code| explanation(*code, None)))],
        [] => vec![about("-")],
        // A panic line may be given without quotes.
        [first, ..] if is_line && !Path::new(first).exists() => vec![about_line(&joined)],
        _ => subjects.iter().map(|subject| about(subject)).collect(),
    };
    let exit = answers.iter().map(|answer| answer.exit).max_by_key(|exit| exit.status()).unwrap_or(Exit::Done);
    let several = answers.len() > 1;
    let mut explanations = Vec::new();
    for (answer, subject) in answers.into_iter().zip(subjects.iter().map(String::as_str).chain(["-"])) {
        if !json {
            let heading = if several { format!("# {subject}\n") } else { String::new() };
            print(&(heading + &shown(&answer.explanations)))?;
        }
        match answer.remark {
            Some(remark) if !json && answer.exit != Exit::Usage && answer.explanations.is_empty() => {
                print(&(remark + "\n"))?;
            }
            Some(remark) => stderr::print(format_args!("guest-image: {remark}")),
            None => {}
        }
        explanations.extend(answer.explanations);
    }
    if *json {
        print_json(&explanations)?;
    }
    Ok(exit)
}

impl Answer {
    /// Codes that are explained.
    fn codes(explanations: impl Iterator<Item = Explanation>) -> Self {
        Self { explanations: explanations.collect(), remark: None, exit: Exit::Done }
    }

    /// An answer in words alone.
    fn words(exit: Exit, remark: impl Into<String>) -> Self {
        Self { explanations: Vec::new(), remark: Some(remark.into()), exit }
    }
}

/// The answer about a code, a file or standard input.
fn about(subject: &str) -> Answer {
    if let Some(number) = number(subject.trim()) {
        return about_number(subject.trim(), number);
    }
    let name = log_file::name(subject);
    match log_file::read(subject) {
        Ok(text) => about_log_and_times(name, &text),
        Err(error) => Answer::words(Exit::Usage, format!("{name}: {error}; a code is written 0x42{}", hint(subject))),
    }
}

/// The answer about a number: the code itself, or the exit code of a panic.
fn about_number(text: &str, number: u32) -> Answer {
    let Some(code) = code(number) else {
        return Answer::words(Exit::Usage, format!("{text}: guest-init has no such code{}", hint(text)));
    };
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let remark = match in_hexadecimal(text) {
        _ if number > 0xff => Some(caveat(code)),
        Some(other) if is_decimal => {
            Some(format!("{text} is read as decimal, {code}; in hexadecimal it is {other} {other:?}"))
        }
        _ => None,
    };
    Answer { remark, ..Answer::codes([explanation(code, None)].into_iter()) }
}

/// The answer about a line that is given as an argument.
fn about_line(line: &str) -> Answer {
    let own = OWN_CODES.into_iter().filter_map(|mark| Some(line.rsplit_once(mark)?.1)).next();
    if let Some(code) = own.and_then(|rest| code(number(leading(rest))?)) {
        return Answer::codes([explanation(code, None)].into_iter());
    }
    match Log::read(line) {
        Log::Exited { status, .. } => match code(status.into()) {
            Some(code) => Answer { remark: Some(caveat(code)), ..Answer::codes([explanation(code, None)].into_iter()) },
            None => Answer::words(Exit::Failed, exited(status)),
        },
        _ => about_log("this line", line),
    }
}

/// The answer about a log, with a remark if the log has the times of the modules.
fn about_log_and_times(name: &str, text: &str) -> Answer {
    let answer = about_log(name, text);
    if !has_times(text) {
        return answer;
    }
    let times = format!("{name} has the time of each module: guest-image timeline LOG --svg draws them");
    let remark = answer.remark.into_iter().chain([times]).collect::<Vec<_>>().join("\n");
    Answer { remark: Some(remark), ..answer }
}

/// The answer about a log.
fn about_log(name: &str, text: &str) -> Answer {
    match Log::read(text) {
        Log::Failed(failures) => Answer::codes(failures.into_iter().map(|failure| {
            let lines = failure.mistakes.into_iter().chain([failure.line]).collect::<Vec<_>>().join("\n");
            explanation(failure.code, Some(&lines))
        })),
        Log::Exited { status, is_agent, name: of_init } => {
            let what = match is_agent {
                true => format!("the agent ended with status {status}: guest-init reports no failure in this log"),
                false => exited(status),
            };
            let of_init = of_init.map_or(String::new(), |of_init| format!("; PID 1 was called {of_init}"));
            Answer::words(Exit::Failed, format!("{name}: {what}{of_init}"))
        }
        Log::Killed(signal) => {
            let reason = "which is no failure that guest-init reports; the agent, as PID 1, may have crashed";
            Answer::words(Exit::Failed, format!("{name}: PID 1 was killed by signal {signal}, {reason}"))
        }
        Log::Healthy(line, panic) => {
            let panic = panic.map_or(String::new(), |panic| format!("\nthe kernel's own: {panic}"));
            Answer::words(Exit::Done, format!("{name}: no failure of guest-init; its last line: {line}{panic}"))
        }
        Log::Silent(init, panic) => {
            let init = init.map_or(String::new(), |init| format!("; the kernel ran {init}"));
            let panic = panic.map_or(String::new(), |panic| format!("\nthe kernel's own: {panic}"));
            let look = "look at rdinit= and init=; whether the log reaches to its end; `quiet`, which hides all lines \
                        but a failure's";
            Answer::words(Exit::Failed, format!("{name}: no line of guest-init{init}\n{look}{panic}"))
        }
    }
}

/// The words for the end of PID 1, if nothing shows whether guest-init or the agent was PID 1.
fn exited(status: u8) -> String {
    let or = match code(status.into()) {
        Some(code) => format!(", or guest-init failed with {code} and its line is not in this log"),
        None => String::new(),
    };
    format!("the agent ended with status {status}{or}")
}

/// The remark on a panic's exit code without guest-init's own line.
fn caveat(code: Code) -> String {
    let number = code as u8;
    format!(
        "this holds if guest-init's own line `(exit {code})` is in the log; without it, the agent ended with status {number}"
    )
}

/// The code for a number, which is the code itself or the exit code of a panic, with the code in the second byte.
fn code(number: u32) -> Option<Code> {
    let plain = if number > 0xff && number & 0xff == 0 { number >> 8 } else { number };
    Code::ALL.iter().copied().find(|code| u32::from(*code as u8) == plain)
}

/// The code that a text is in hexadecimal.
fn in_hexadecimal(text: &str) -> Option<Code> {
    u32::from_str_radix(text, 16).ok().and_then(code)
}

/// A hint in case the 0x was left out.
fn hint(text: &str) -> String {
    in_hexadecimal(text).map(|code| format!("; as hexadecimal, it is {code}")).unwrap_or_default()
}

fn explanation(code: Code, line: Option<&str>) -> Explanation {
    Explanation {
        code: code.to_string(),
        number: code as u8,
        name: format!("{code:?}"),
        stage: code.stage().to_string(),
        meaning: code.meaning(),
        look: code.look(),
        line: line.map(str::to_string),
    }
}

fn shown(explanations: &[Explanation]) -> String {
    let mut text = String::new();
    for Explanation { code, name, stage, meaning, look, line, .. } in explanations {
        line.iter().for_each(|line| text += &format!("{line}\n"));
        let _ = writeln!(text, "{} {name} ({stage}): {meaning}\n     look at {look}", styled(BAD, code));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that are explained, and the remark.
    fn found(answer: Answer) -> (String, String) {
        let codes: Vec<_> = answer.explanations.into_iter().map(|explanation| explanation.code).collect();
        (codes.join(" "), answer.remark.unwrap_or_default())
    }

    #[test]
    fn a_code_is_found_in_whatever_way_it_is_written() {
        for text in ["0x42", "66", " 0X42\n", "0x00004200", "0x4200"] {
            assert_eq!(found(about(text)).0, "0x42", "{text}");
        }
        let panic = "[    2.4] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00004200";
        let (codes, remark) = found(about_line(panic));
        assert_eq!(codes, "0x42");
        assert!(remark.ends_with("without it, the agent ended with status 66"), "{remark}");
        let line = "guest-init: failed: load nvidia: ENOEXEC: built for 6.1 (exit 0x42)";
        assert_eq!(found(about_line(line)), ("0x42".into(), String::new()));
        assert_eq!(found(about_line("x (code 0x60)")), ("0x60".into(), String::new()));
    }

    #[test]
    fn a_bare_number_is_decimal_and_says_so() {
        let both = "42 is read as decimal, 0x2a; in hexadecimal it is 0x42 OtherKernel";
        assert_eq!(found(about("42")), ("0x2a".into(), both.into()));
        assert_eq!(found(about("66")), ("0x42".into(), String::new()));
        assert_eq!(found(about("0x42")).1, "");
        let none = "10: guest-init has no such code; as hexadecimal, it is 0x10";
        assert_eq!(found(about("10")), (String::new(), none.into()));
        assert_eq!(found(about("0xff")).1, "0xff: guest-init has no such code");
    }

    #[test]
    fn an_agent_that_ended_is_not_explained_by_a_code() {
        let panic = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00003200\n";
        let either =
            "log: the agent ended with status 50, or guest-init failed with 0x32 and its line is not in this log";
        assert_eq!(found(about_log("log", panic)), (String::new(), either.into()));
        let agents = found(about_log("log", &format!("guest-init: no modules asked for\n{panic}")));
        assert!(agents.0.is_empty() && agents.1.starts_with("log: the agent ended with status 50: "), "{agents:?}");
        let other = about_log("log", &panic.replace("3200", "0700"));
        assert_eq!(found(other).1, "log: the agent ended with status 7");
    }
}
