//! A line of a log: the time of its record, and what guest-init or the kernel reports in it.
//!
//! A console, dmesg, a journal or a log collector may have put text around the record.

use std::borrow::Cow;

use guest_init::request::MOST_JOBS;
use guest_init::resolve::tree::dep::module_of;

/// The start of each record that guest-init logs.
const RECORD: &str = "guest-init: ";
/// The start of the kernel's first record.
const KERNEL: &str = "Linux version ";
/// The start and the end of the kernel's record of PID 1 (run_init_process in init/main.c).
const INIT: (&str, &str) = ("Run /", " as init process");
/// The actions of steps that are for one module, as a plan shows them.
const ACTIONS: [&str; 5] = ["insmod", "adjust", "builtin", "blacklisted", "missing"];
/// The longest time in brackets, in bytes.
const LONGEST_TIME: usize = 24;

/// A line of a log.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The time of the record since the kernel's start, in microseconds.
    pub time: Option<u64>,
    /// The record, if the timeline needs it.
    pub record: Option<Record<'a>>,
}

/// A record that the timeline needs.
#[derive(Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// The kernel's first record.
    KernelStarts,
    /// The kernel starts PID 1.
    InitStarts,
    /// The main thread's activity from now on.
    Activity(&'a str),
    /// A step of a plan begins.
    StepBegins {
        /// The action of the step, such as `insmod`.
        action: &'a str,
        /// The module's name, with `_` for `-`.
        module: Cow<'a, str>,
    },
    /// A step of a plan ends.
    StepEnds {
        /// The module's name, with `_` for `-`.
        module: &'a str,
        /// The time that the step took, in microseconds.
        took: u64,
        /// The number of its thread.
        thread: u8,
    },
    /// The step for this module has failed.
    StepFails(&'a str),
    /// guest-init becomes this agent.
    Executes(&'a str),
    /// The last word on a failure, behind `failed: `.
    Fails(&'a str),
    /// Another record of guest-init.
    Other,
}

impl<'a> Line<'a> {
    /// Reads a line.
    pub fn read(line: &'a str) -> Self {
        if let Some((head, rest)) = line.split_once(RECORD) {
            // An agent that shares the console may have left the start of a line before the record.
            return Self { time: times(head).next_back(), record: Some(Record::read(message(head, rest))) };
        }
        Self { time: times(line).next(), record: of_kernel(line) }
    }
}

impl<'a> Record<'a> {
    /// Reads a record of guest-init.
    fn read(message: &'a str) -> Self {
        // The first, because a module may be called `activity`.
        if let Some(end) = step_end(message) {
            return end;
        }
        if let Some(activity) = message.strip_prefix("activity: ") {
            return Self::Activity(activity);
        }
        if let Some(agent) = message.strip_prefix("executing ") {
            return Self::Executes(agent);
        }
        if let Some(failure) = message.strip_prefix("failed: ") {
            return Self::Fails(failure);
        }
        if let Some(module) = failed_module(message) {
            return Self::StepFails(module);
        }
        step_begin(message).unwrap_or(Self::Other)
    }
}

/// The module that a failure of stage load is about.
pub fn failed_module(failure: &str) -> Option<&str> {
    failure.strip_prefix("load ")?.split_once(": ").map(|(module, _)| module)
}

/// The line of a step that begins: its action, the module or the module's file, and perhaps parameters.
fn step_begin(message: &str) -> Option<Record<'_>> {
    let (action, rest) = message.split_once(' ').filter(|(action, _)| ACTIONS.contains(action))?;
    let subject = rest.split(' ').next()?;
    let module = str::from_utf8(module_of(subject.as_bytes())).ok()?;
    let module = if module.contains('-') { Cow::Owned(module.replace('-', "_")) } else { Cow::Borrowed(module) };
    Some(Record::StepBegins { action, module })
}

/// The line of a step that ends. A later record may stand directly behind it.
fn step_end(message: &str) -> Option<Record<'_>> {
    let (module, rest) = message.split_once(": done in ").filter(|(module, _)| !module.contains(' '))?;
    let (took, rest) = rest.split_once(" us by thread ")?;
    let thread = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let thread = thread.parse().ok().filter(|thread| usize::from(*thread) < MOST_JOBS)?;
    Some(Record::StepEnds { module, took: number(took)?, thread })
}

/// A record of the kernel.
fn of_kernel(line: &str) -> Option<Record<'_>> {
    // Behind the time, or at the start of the line. Another program may quote these records.
    let begins = |start: &str| {
        let (head, _) = line.split_once(start)?;
        let head = head.trim_end();
        (head.is_empty() || head.ends_with(']') || head.ends_with(" kernel:")).then_some(())
    };
    let (start, end) = INIT;
    match () {
        () if begins(KERNEL).is_some() => Some(Record::KernelStarts),
        () if line.contains(end) && begins(start).is_some() => Some(Record::InitStarts),
        () => None,
    }
}

/// The text of a record, without what a log collector put behind it. A collector may have quoted the console's line,
/// with `\r` for the carriage return.
fn message<'a>(head: &str, rest: &'a str) -> &'a str {
    let is_quoted = head.contains("\"[") || head.ends_with('"');
    let mut quotes = rest.match_indices('"').map(|(at, _)| at);
    let end = quotes.find(|at| is_quoted && !rest[..*at].ends_with('\\')).unwrap_or(rest.len());
    rest[..end].trim_end().trim_end_matches("\\r")
}

/// The times in brackets, in microseconds, such as `[    2.418816]`.
fn times(text: &str) -> impl DoubleEndedIterator<Item = u64> {
    text.match_indices('[').filter_map(|(at, _)| {
        let rest = &text.as_bytes()[at + 1..];
        let rest = &rest[..rest.len().min(LONGEST_TIME)];
        let end = rest.iter().position(|&b| b == b']')?;
        let (seconds, fraction) = str::from_utf8(&rest[..end]).ok()?.trim_start().split_once('.')?;
        let fraction = number(fraction).filter(|_| fraction.len() == 6)?;
        number(seconds)?.checked_mul(1_000_000)?.checked_add(fraction)
    })
}

/// A number in decimal digits. `None` also if it has more than 64 bits.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "guest-init: i2c_algo_bit: done in 23159 us by thread 1";

    #[test]
    fn a_record_is_found_whatever_is_put_around_it() {
        let end = Record::StepEnds { module: "i2c_algo_bit", took: 23_159, thread: 1 };
        let expected = Line { time: Some(5_604_000), record: Some(end) };
        let lines = [
            format!("[    5.604000] {END}\r"),
            format!("[    5.604000][    T1] {END}"),
            format!("user  :info  : [    5.604000] {END}"),
            format!("[    5.604000] host {END}"),
            format!("agent: [1] [    9.999999] hello[    5.604000] {END}[    5.700000] other"),
            format!("level=debug msg=\"reading [x]\" vmconsole=\"[    5.604000] {END}\\r\" sandbox=\"[    7.000000]\""),
        ];
        for line in lines {
            assert_eq!(Line::read(&line), expected, "{line}");
        }
        assert_eq!(Line::read(END).time, None);
    }

    #[test]
    fn each_record_is_told_from_the_others() {
        let record = |text: &'static str| Line::read(text).record;
        let begins = |action, module: &'static str| Some(Record::StepBegins { action, module: module.into() });
        assert_eq!(record("guest-init: insmod kernel/a-b.ko.xz x=\"1 2\""), begins("insmod", "a_b"));
        assert_eq!(record("guest-init: builtin tcp_cubic"), begins("builtin", "tcp_cubic"));
        assert_eq!(record("guest-init: activity: planning"), Some(Record::Activity("planning")));
        assert_eq!(
            record("x vmconsole=\"[1] guest-init: activity: a \\\"b\\\"\" y"),
            Some(Record::Activity("a \\\"b\\\""))
        );
        assert_eq!(record("guest-init: executing /sbin/agent"), Some(Record::Executes("/sbin/agent")));
        assert_eq!(record("guest-init: load a: ENOEXEC: b: optional, passed over"), Some(Record::StepFails("a")));
        assert_eq!(record("guest-init: failed: load a: ENOEXEC: b"), Some(Record::Fails("load a: ENOEXEC: b")));
        assert_eq!(record("guest-init: modules loaded: 3, for the list"), Some(Record::Other));
        let end = Record::StepEnds { module: "activity", took: 1, thread: 63 };
        assert_eq!(record("guest-init: activity: done in 1 us by thread 63"), Some(end));
    }

    #[test]
    fn the_kernels_records_count_only_at_the_start_of_a_line() {
        let record = |text: &'static str| Line::read(text).record;
        for head in ["[    5.226511] ", "[    5.226511][    T1] ", "", "Nov 26 07:43:25 host kernel: "] {
            assert_eq!(Line::read(&format!("{head}Run /init as init process\r")).record, Some(Record::InitStarts));
            assert_eq!(Line::read(&format!("{head}Linux version 6.1.0")).record, Some(Record::KernelStarts));
        }
        assert_eq!(record("  kernel's start to PID 1's  5253.506 ms  log: \"Run /init as init process\""), None);
        assert_eq!(record("[    0.000000] Command line: rdinit=/init"), None);
    }

    #[test]
    fn damaged_and_huge_numbers_are_no_numbers() {
        for text in
            ["done in 18446744073709551616 us by thread 0", "done in 1 us by thread 64", "done in +1 us by thread 0"]
        {
            assert_eq!(Record::read(&format!("a: {text}")), Record::Other, "{text}");
        }
        for time in ["[99999999999999.000000]", "[1.5]", "[]", "[.]", "[", "[+1.000000]", "[1.0000001]", "[1.000000"] {
            assert_eq!(Line::read(&format!("{time} x")).time, None, "{time}");
        }
    }
}
