//! What goes wrong on the host: lines on standard error, each naming its subject.

use std::fmt;
use std::io::Write;

use guest_init::failure::Failure;

/// Failures of the library, a line each.
#[derive(Debug)]
pub struct Wrong(pub Vec<Failure>);

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self(vec![failure])
    }
}

impl Wrong {
    /// Nothing went wrong, or this did.
    pub fn verdict(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Wrong {}

/// Says why the command ends.
pub fn report(error: &anyhow::Error) {
    for line in format!("{error:#}").lines() {
        say(format_args!("guest-image: {line}"));
    }
}

/// Says what is passed over.
pub fn warn(text: impl fmt::Display) {
    say(format_args!("guest-image: warning: {text}"));
}

/// A line on standard error, where there is one.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
