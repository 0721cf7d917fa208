//! All mistakes of a stage together, and the one failure that stands for them.

use core::fmt::Write;

use super::Failure;
use crate::text::Text;

/// The number of failures of which each is logged on a line of its own. A slow console needs time for each line, and so
/// many failures have one cause.
const MOST_LOGGED: usize = 64;

/// Collects failures, so that all mistakes of a stage are reported and not only the first.
///
/// If there is one failure, it is the verdict, and nothing is logged. If there are several, each is logged, and the
/// verdict names the subjects of all.
///
/// ```
/// use guest_init::failure::{Code, Failure, Report};
///
/// let mut logged = Vec::new();
/// let mut log = |failure: &Failure| logged.push(failure.to_string());
/// let mut report = Report::new(&mut log);
/// report.add(Failure::new(Code::UnknownModule, "e1001e", "nearest: e1000e"));
/// report.add(Failure::new(Code::UnknownModule, "i951", "nearest: i915"));
/// let verdict = report.verdict().unwrap_err().to_string();
/// assert_eq!(verdict, "plan e1001e, i951: ENOENT: a name is no module, alias or built-in of this kernel");
/// assert_eq!(logged.len(), 2);
/// ```
pub struct Report<'l> {
    log: &'l mut dyn FnMut(&Failure),
    first: Option<Failure>,
    /// The subjects of all failures, separated by commas.
    subjects: Text<320>,
    count: usize,
    /// Whether all failures have the code of the first.
    alike: bool,
}

impl<'l> Report<'l> {
    /// Creates a report without failures. `log` is called with each of several failures.
    pub fn new(log: &'l mut dyn FnMut(&Failure)) -> Self {
        Self { log, first: None, subjects: Text::new(), count: 0, alike: true }
    }

    /// Adds a failure.
    pub fn add(&mut self, failure: Failure) {
        let _ = write!(self.subjects, "{}{}", if self.count == 0 { "" } else { ", " }, failure.subject);
        self.count += 1;
        let Some(first) = &self.first else {
            self.first = Some(failure);
            return;
        };
        self.alike &= failure.code == first.code;
        if self.count == 2 {
            (self.log)(first);
        }
        if self.count <= MOST_LOGGED {
            (self.log)(&failure);
        }
    }

    /// The failure that stands for all failures so far, if there is any.
    pub fn verdict(&self) -> Result<(), Failure> {
        let Some(first) = &self.first else { return Ok(()) };
        let reason = match (self.count, self.alike) {
            (1, _) => first.reason.clone(),
            (_, true) => Text::of(first.code.meaning()),
            (count, _) if count > MOST_LOGGED => {
                Text::of(format_args!("{count} failures, {MOST_LOGGED} of them above"))
            }
            (count, false) => Text::of(format_args!("{count} failures, a line each above")),
        };
        Err(Failure { code: first.code, subject: self.subjects.clone(), errno: first.errno, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;
    use std::string::ToString;

    #[test]
    fn a_verdict_names_every_subject() {
        let mut logged = std::vec::Vec::new();
        let mut log = |failure: &Failure| logged.push(failure.to_string());
        let mut report = Report::new(&mut log);
        assert_eq!(report.verdict(), Ok(()));
        let mut verdict_with = |code, subject, reason| {
            report.add(Failure::new(code, subject, reason));
            report.verdict().unwrap_err().to_string()
        };
        assert_eq!(verdict_with(Code::UnknownModule, "a", "x"), "plan a: ENOENT: x");
        let alike = "plan a, b: ENOENT: a name is no module, alias or built-in of this kernel";
        assert_eq!(verdict_with(Code::UnknownModule, "b", "y"), alike);
        let mixed = "plan a, b, c: ENOENT: 3 failures, a line each above";
        assert_eq!(verdict_with(Code::MissingFile, "c", "z"), mixed);
        assert_eq!(logged, ["plan a: ENOENT: x", "plan b: ENOENT: y", "plan c: ENOENT: z"]);
    }
}
