//! Standard output. It has colours on a terminal, unless NO_COLOR is set. A reader that closes its pipe early is no
//! error.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use serde::Serialize;

use super::progress;

/// The style of a failure, which ends a VM.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// The style of a warning: the VM starts, but something is not as the list asks for.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// The style of a note.
pub const NOTE: Style = AnsiColor::Cyan.on_default();
/// The style of a good result.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();

/// A text in a style.
pub fn styled(style: Style, text: impl Display) -> impl Display {
    format!("{style}{text}{style:#}")
}

/// Prints a text. EPIPE is success: `head` has read enough.
pub fn print(text: &str) -> Result<()> {
    let mut output = anstream::stdout().lock();
    match progress::apart(|| output.write_all(text.as_bytes()).and_then(|()| output.flush())) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}

/// Prints a value as JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(&json(value)?)
}

/// A value as JSON, with a newline at its end.
pub fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
