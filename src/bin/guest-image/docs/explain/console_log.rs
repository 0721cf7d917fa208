//! A console's log: guest-init's own lines in it, and the end of the VM.

use std::collections::BTreeSet;

use guest_init::failure::Code;

use super::code;

/// The start of each record that guest-init logs.
const RECORD: &str = "guest-init: ";
/// The start of its last word on a failure.
const FAILED: &str = "guest-init: failed: ";
/// The ends of records of mistakes that do not end the VM.
const PASSED: [&str; 3] =
    [": optional, passed over", ": ignored, without guest_init.strict=1", ": a soft dependency, passed over"];
/// The start of the kernel's number in its panic line, if PID 1 has ended.
pub const EXIT_CODE: &str = "exitcode=";
/// The start of the code in the last word. After a panic by sysrq there is no exit code, and the word is `code`.
pub const OWN_CODES: [&str; 2] = ["(exit ", "(code "];

/// A part of guest-init's line at the end of each step, at level debug.
const STEP_DONE: &str = " us by thread ";

/// Whether a log has the times of the modules, which `guest-image timeline` shows.
pub fn has_times(text: &str) -> bool {
    text.lines().filter_map(record).any(|line| line.contains(STEP_DONE))
}

/// The end of a VM, as its log shows it.
#[derive(Debug, PartialEq, Eq)]
pub enum Log<'a> {
    /// guest-init failed: its last words, each once.
    Failed(Vec<LastWord<'a>>),
    /// PID 1 ended with this status, and the log has no last word of guest-init.
    Exited {
        /// The exit status.
        status: u8,
        /// Whether the log has other lines of guest-init. Then the agent was PID 1 when it ended.
        is_agent: bool,
        /// The kernel's name for PID 1, if the log has it.
        name: Option<&'a str>,
    },
    /// PID 1 was killed by this signal.
    Killed(u8),
    /// guest-init logged, and reports no failure: its last line, and the kernel's panic line if there is one.
    Healthy(&'a str, Option<&'a str>),
    /// No line of guest-init: the program that the kernel ran as init, and the kernel's panic line, if they are there.
    Silent(Option<&'a str>, Option<&'a str>),
}

/// The last word of guest-init on a failure.
#[derive(Debug, PartialEq, Eq)]
pub struct LastWord<'a> {
    /// The line, without what the console or a log collector put around it.
    pub line: &'a str,
    /// The code that it ends in.
    pub code: Code,
    /// The lines before it that it sums up, if the stage found several mistakes.
    pub mistakes: Vec<&'a str>,
}

impl<'a> Log<'a> {
    /// Reads a log.
    pub fn read(text: &'a str) -> Self {
        let mut seen = BTreeSet::new();
        let failures: Vec<_> = last_words(text).into_iter().filter(|failure| seen.insert(failure.line)).collect();
        if !failures.is_empty() {
            return Self::Failed(failures);
        }
        let last_line = text.lines().filter_map(record).next_back();
        // Several boots may be in one log. The last one counts.
        let ended = text.rsplit_once(EXIT_CODE).and_then(|(_, rest)| number(leading(rest)));
        let panic = text.lines().filter_map(|line| line.get(line.find("Kernel panic")?..)).next_back();
        let ended = ended.map(|number| number.to_le_bytes());
        // The console may have lost the end of the last word.
        let cut = text.lines().filter_map(|line| Some(line.get(line.find(FAILED)?..)?.trim_end())).next_back();
        if let (Some([_, status, ..]), Some(line)) = (ended, cut)
            && let Some(code) = code(status.into())
        {
            return Self::Failed(vec![LastWord { line, code, mistakes: Vec::new() }]);
        }
        match (ended, last_line) {
            (Some([signal, ..]), _) if signal & 0x7f != 0 => Self::Killed(signal & 0x7f),
            (Some([_, status, ..]), line) => Self::Exited { status, is_agent: line.is_some(), name: name(text) },
            (None, Some(line)) => Self::Healthy(line, panic),
            (None, None) => Self::Silent(init(text), panic),
        }
    }
}

/// The last words of all boots in a log.
fn last_words(text: &str) -> Vec<LastWord<'_>> {
    let (mut found, mut records) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if let Some((line, code)) = last_word(line) {
            let stage = format!("{RECORD}{} ", code.stage());
            let is_mistake =
                |record: &&str| record.starts_with(&stage) && !PASSED.iter().any(|end| record.ends_with(end));
            let mistakes = std::mem::take(&mut records).into_iter().filter(is_mistake).collect();
            found.push(LastWord { line, code, mistakes });
        } else {
            records.extend(record(line));
        }
    }
    found
}

/// A record of guest-init.
fn record(line: &str) -> Option<&str> {
    Some(line.get(line.find(RECORD)?..)?.trim_end())
}

/// The last word of guest-init on a line, without what the console or a log collector put around it, and its code.
fn last_word(line: &str) -> Option<(&str, Code)> {
    let line = line.get(line.find(FAILED)?..)?;
    let code_at = OWN_CODES.into_iter().filter_map(|mark| Some(line.rfind(mark)? + mark.len())).max()?;
    let rest = line.get(code_at..)?;
    let end = code_at + rest.find(')')? + 1;
    Some((line.get(..end)?, code(number(leading(rest))?)?))
}

/// The name of PID 1 in the kernel's last list of registers (dump_stack_print_info in lib/dump_stack.c).
fn name(text: &str) -> Option<&str> {
    text.rsplit_once("PID: 1 Comm: ")?.1.split([' ', '\r', '\n']).next().filter(|name| !name.is_empty())
}

/// The program that the kernel ran as init (run_init_process in init/main.c).
fn init(text: &str) -> Option<&str> {
    let (before, _) = text.rsplit_once(" as init process")?;
    Some(before.rsplit_once("Run ")?.1).filter(|program| program.starts_with('/') && !program.contains('\n'))
}

/// The start of a text that can be a number.
pub fn leading(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

/// A number, hexadecimal if it begins with 0x.
pub fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a VM's console whose list names a module that does not exist.
    const FAILURE: &str = "\
[    2.418816] Run /init as init process
[    2.426106] guest-init: failed: plan e1001e: ENOENT: no module, alias or built-in of 6.1.0-56-amd64; nearest: e1000e (exit 0x32)
[    2.427823] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00003200
[    2.428331] CPU: 0 PID: 1 Comm: init Not tainted 6.1.0-56-amd64 #1  Debian 6.1.176-1
";

    #[test]
    fn a_failure_is_guest_inits_own_line() {
        let line = "guest-init: failed: plan e1001e: ENOENT: no module, alias or built-in of 6.1.0-56-amd64; nearest: \
                    e1000e (exit 0x32)";
        let unknown = || LastWord { line, code: Code::UnknownModule, mistakes: Vec::new() };
        assert_eq!(Log::read(FAILURE), Log::Failed(vec![unknown()]));
        let twice = FAILURE.repeat(2).replace('\n', "\r\n");
        assert_eq!(Log::read(&twice), Log::Failed(vec![unknown()]));
        let collected = format!("level=debug vmconsole=\"[    2.4] {line}\" sandbox=x");
        assert_eq!(Log::read(&collected), Log::Failed(vec![unknown()]));
        let lost = FAILURE.replace(" (exit 0x32)", "");
        assert!(matches!(&Log::read(&lost), Log::Failed(failures) if failures[0].code == Code::UnknownModule));
        let late = "guest-init: failed: deadline of 3 s: ETIMEDOUT: passed while loading (a) (code 0x60)";
        let late = LastWord { line: late, code: Code::DeadlinePassed, mistakes: Vec::new() };
        assert_eq!(Log::read(late.line), Log::Failed(vec![late]));
    }

    #[test]
    fn the_mistakes_that_a_last_word_sums_up_are_found() {
        let mistakes = ["guest-init: plan a: ENOENT: no module", "guest-init: plan b: ENOENT: no module"];
        let passed = "guest-init: plan c: ENOENT: no module: optional, passed over";
        let line = "guest-init: failed: plan a, b: ENOENT: a name is no module (exit 0x32)";
        let text = format!("[1] {passed}\n[1] {}\r\n[1] {}\n[1] {line}\n", mistakes[0], mistakes[1]);
        let expected = LastWord { line, code: Code::UnknownModule, mistakes: mistakes.to_vec() };
        assert_eq!(Log::read(&text), Log::Failed(vec![expected]));
    }

    #[test]
    fn the_end_of_an_agent_is_no_failure_of_guest_init() {
        let panic = "[    3.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00003200\n";
        assert_eq!(Log::read(panic), Log::Exited { status: 50, is_agent: false, name: None });
        let whole = format!("[    2.4] guest-init: modules loaded: 3\n{panic}");
        assert_eq!(Log::read(&whole), Log::Exited { status: 50, is_agent: true, name: None });
        let named = format!("{panic}[    3.2] CPU: 0 UID: 0 PID: 1 Comm: kata-agent Not tainted 6.12\n");
        assert_eq!(Log::read(&named), Log::Exited { status: 50, is_agent: false, name: Some("kata-agent") });
        let killed = whole.replace("3200", "000b");
        assert_eq!(Log::read(&killed), Log::Killed(11));
        assert_eq!(Log::read(&whole.replace("3200", "008b")), Log::Killed(11));
    }

    #[test]
    fn a_log_without_an_end_is_healthy_or_silent() {
        let loaded = "guest-init: modules loaded: 3";
        assert_eq!(Log::read(&format!("[    2.4] {loaded}\r\nagent: ready\n")), Log::Healthy(loaded, None));
        assert_eq!(Log::read("agent: ready\n"), Log::Silent(None, None));
        let panic = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";
        let text = format!("[    1.0] Run /sbin/init as init process\n[    1.1] {panic}\n");
        assert_eq!(Log::read(&text), Log::Silent(Some("/sbin/init"), Some(panic)));
        for text in ["", "exitcode=", "exitcode=0xzz", "(exit 0x32)"] {
            assert_eq!(Log::read(text), Log::Silent(None, None), "{text}");
        }
    }
}
