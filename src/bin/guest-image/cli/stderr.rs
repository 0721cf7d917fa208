//! Standard error: failures and warnings, one a line.

use std::fmt;
use std::io::Write;

use guest_init::failure::{Code, Failure};

use super::progress;

/// Failures of the library as one error. Its text has a line for each.
#[derive(Debug)]
pub struct Failures(pub Vec<Failure>);

impl From<Failure> for Failures {
    fn from(failure: Failure) -> Self {
        Self(vec![failure])
    }
}

impl Failures {
    /// Warns, with `allow_missing`, of the failures that mean that a module is missing. `Ok` if no other is left.
    pub fn tolerate(mut self, allow_missing: bool) -> Result<(), Self> {
        let is_missing = |failure: &mut Failure| {
            matches!(failure.code, Code::UnknownModule | Code::MissingFile | Code::InstallCommand)
        };
        let tolerated: Vec<_> = self.0.extract_if(.., |failure| allow_missing && is_missing(failure)).collect();
        self.into_result()?;
        tolerated.iter().for_each(warn);
        Ok(())
    }

    /// `Ok` if there is no failure.
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

/// Prints the error that ends the command. Each line of its text gets the program's name.
pub fn report(error: &anyhow::Error) {
    for line in format!("{error:#}").lines() {
        print(format_args!("guest-image: {line}"));
    }
}

/// Prints a warning.
pub fn warn(text: impl fmt::Display) {
    print(format_args!("guest-image: warning: {text}"));
}

/// Prints a line, or several. Nothing happens if standard error is closed.
pub fn print(line: impl fmt::Display) {
    let _ = progress::apart(|| writeln!(anstream::stderr(), "{line}"));
}
