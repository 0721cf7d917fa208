//! Standard output: in colours on a terminal, plain elsewhere and where NO_COLOR is set, whole, and never a panic.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use serde::Serialize;

/// What ends a VM.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What will not be as it was asked for.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// What is good to know.
pub const NOTE: Style = AnsiColor::Cyan.on_default();
/// What is well.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();

/// A text in a style.
pub fn styled(style: Style, text: impl Display) -> impl Display {
    format!("{style}{text}{style:#}")
}

/// Prints a text. That nobody reads it to its end is none of our business.
pub fn print(text: &str) -> Result<()> {
    let mut output = anstream::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}

/// Prints a value as JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}
