//! What goes wrong on the host: lines on standard error, each naming its subject.

use std::fmt;
use std::io::Write;

use guest_init::failure::Failure;

/// Failures of the library, a line each.
#[derive(Debug)]
pub struct Failures(pub Vec<Failure>);

impl From<Failure> for Failures {
    fn from(failure: Failure) -> Self {
        Self(vec![failure])
    }
}

impl Failures {
    /// Nothing went wrong, or this did.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Failures {}

/// Says why the command ends.
pub fn report(error: &anyhow::Error) {
    for line in format!("{error:#}").lines() {
        print(format_args!("guest-image: {line}"));
    }
}

/// Says what is passed over.
pub fn warn(text: impl fmt::Display) {
    print(format_args!("guest-image: warning: {text}"));
}

/// A line on standard error, where there is one.
pub fn print(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
