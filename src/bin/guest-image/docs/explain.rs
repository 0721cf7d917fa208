//! `guest-image explain`: the meaning of a failure's code, and what to look at.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{IsTerminal, Read};

use anyhow::{Context, Result, bail};
use clap::Args;
use guest_init::failure::Code;
use serde::Serialize;

use crate::cli::exit::{self, Exit};
use crate::cli::stderr;
use crate::cli::stdout::{BAD, print, print_json, styled};

const EXAMPLES: &str = "\
Examples:
  guest-image explain 0x42
  guest-image explain 'Kernel panic - not syncing: Attempted to kill init! exitcode=0x00004200'
  guest-image explain <console.log";

/// Explains the failures of guest-init, and what to look at.
///
/// TEXT is a code in hexadecimal (0x42) or decimal (66), the exit code of the kernel's panic line (0x00004200), or a
/// console log that contains `(exit 0x42)`, `(code 0x60)` or `exitcode=0x00004200`. Without TEXT, the log is read from
/// standard input.
///
/// --json prints an array with an object for each code: "code", "number", "name", "stage", "meaning", "look".
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::STATUS))]
pub struct Arguments {
    /// A code or a console log
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// Explain every code
    #[arg(long, conflicts_with = "text")]
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
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let codes = match arguments.all {
        true => Code::ALL.to_vec(),
        false => match codes(&text(arguments)?) {
            Ok(codes) => codes,
            Err(error) => {
                stderr::report(&error);
                return Ok(Exit::Usage);
            }
        },
    };
    let explanations: Vec<_> = codes.into_iter().map(explanation).collect();
    match arguments.json {
        true => print_json(&explanations)?,
        false => print(&shown(&explanations))?,
    }
    Ok(Exit::Done)
}

fn text(arguments: &Arguments) -> Result<String> {
    if !arguments.text.is_empty() {
        return Ok(arguments.text.join(" "));
    }
    let mut input = std::io::stdin().lock();
    if input.is_terminal() {
        stderr::warn("reading standard input; paste the console log and press Ctrl-D");
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).context("standard input")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The codes in a text, each once: first those of guest-init's own lines, then those of panics.
fn codes(text: &str) -> Result<Vec<Code>> {
    let text = text.trim();
    if let Some(number) = number(text) {
        let code = code(number).with_context(|| format!("{text}: guest-init has no such code{}", hint(text)))?;
        return Ok(vec![code]);
    }
    let after = |mark| text.split(mark).skip(1).filter_map(|rest: &str| number(leading(rest)));
    let mut seen = BTreeSet::new();
    // A panic by sysrq has no exit code, so its line says `code`.
    let named = after("(exit ").chain(after("(code ")).chain(after("exitcode=")).filter_map(code);
    let codes: Vec<_> = named.filter(|code| seen.insert(*code as u8)).collect();
    if codes.is_empty() {
        let killed = after("exitcode=").find(|number| (1..0x80).contains(number));
        match killed {
            Some(signal) => {
                bail!("PID 1 was killed by signal {signal}, which is not a failure that guest-init reports")
            }
            None => bail!("no code of guest-init in this text; a code is 0x42, `(exit 0x42)` or `exitcode=0x00004200`"),
        }
    }
    Ok(codes)
}

/// The start of a text that can be a number.
fn leading(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The code for a number, which is the code itself or the exit code of a panic, with the code in the second byte.
fn code(number: u32) -> Option<Code> {
    let plain = if number > 0xff && number & 0xff == 0 { number >> 8 } else { number };
    Code::ALL.iter().copied().find(|code| u32::from(*code as u8) == plain)
}

/// A hint in case the 0x was left out.
fn hint(text: &str) -> String {
    let code = u32::from_str_radix(text, 16).ok().and_then(code);
    code.map(|code| format!("; as hexadecimal, it is {code}")).unwrap_or_default()
}

fn explanation(code: Code) -> Explanation {
    Explanation {
        code: code.to_string(),
        number: code as u8,
        name: format!("{code:?}"),
        stage: code.stage().to_string(),
        meaning: code.meaning(),
        look: code.look(),
    }
}

fn shown(explanations: &[Explanation]) -> String {
    let mut text = String::new();
    for Explanation { code, name, stage, meaning, look, .. } in explanations {
        let _ = writeln!(text, "{} {name} ({stage}): {meaning}\n     look at {look}", styled(BAD, code));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> String {
        match codes(text) {
            Ok(codes) => codes.iter().map(Code::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_code_is_found_in_whatever_way_it_is_written() {
        let panic = "[    2.4] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00004200";
        let line = "guest-init: failed: load nvidia: ENOEXEC: built for 6.1 (exit 0x42)";
        for text in ["0x42", "66", " 0X42\n", "0x00004200", "0x4200", panic, line, &format!("{line}\n{panic}\n")] {
            assert_eq!(found(text), "0x42", "{text}");
        }
        assert_eq!(found(&format!("{panic}\nx (exit 0x32)\ny (exit 0x32)")), "0x32 0x42");
        assert_eq!(found("guest-init: failed: deadline of 3 s: ETIMEDOUT: passed (code 0x60)"), "0x60");
    }

    #[test]
    fn what_is_no_code_says_so() {
        assert_eq!(found("42"), "0x2a");
        assert_eq!(found("30"), "30: guest-init has no such code; as hexadecimal, it is 0x30");
        assert_eq!(found("0xff"), "0xff: guest-init has no such code");
        let signal = "Attempted to kill init! exitcode=0x0000000b";
        assert_eq!(found(signal), "PID 1 was killed by signal 11, which is not a failure that guest-init reports");
        for text in ["", "hello", "exitcode=", "exitcode=0xzz", "(exit 0x99)", "99999999999"] {
            assert!(found(text).contains("no code of guest-init"), "{text}: {}", found(text));
        }
    }
}
