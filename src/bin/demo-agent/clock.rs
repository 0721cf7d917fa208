//! The times at which the kernel and PID 1 started.
//!
//! They come from three sources of different precision:
//!
//! * CLOCK_BOOTTIME counts from the kernel's set-up of its clock, so it lacks the time of firmware and boot loader.
//! * The kernel's log has the start of PID 1 to the microsecond: `Run /init as init process`, which the kernel logs
//!   just before it executes the file. This program logs a record of its own when it starts. The difference of the two
//!   records is the time from PID 1's start to now: all of guest-init, both calls of execve, and the start of this
//!   program.
//! * /proc/1/stat has the time at which PID 1's thread was created, in clock ticks of 10 ms. The initramfs is unpacked
//!   after that, so this time counts the kernel's own work as PID 1's.
//!
//! The log's clock was 18 to 33 ms ahead of CLOCK_BOOTTIME on 6.1 and 6.12 under QEMU, so one is never subtracted from
//! the other. PID 1's start on CLOCK_BOOTTIME is now less the difference of the two records.

use crate::text::{FILE_LIMIT, read_bounded, read_text};
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

/// The start of PID 1, as far as it is known.
pub enum Start {
    /// From the kernel's log: the text of the record, and the time from there to this program's record.
    Logged {
        record: String,
        ago: Duration,
    },
    /// From /proc/1/stat, in whole ticks, because a record is missing.
    Created {
        at: Duration,
    },
    Unknown,
}

/// The time since the kernel started, including suspend.
pub fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// Logs this program's record, at debug level, which the console does not show by default. Returns whether that
/// succeeded.
pub fn mark() -> bool {
    let kmsg = OpenOptions::new().write(true).open("/dev/kmsg");
    kmsg.and_then(|mut kmsg| kmsg.write_all(format!("<7>{}\n", mark_text()).as_bytes())).is_ok()
}

/// The start of PID 1 from the best source. `marked`: whether this program's record was logged.
pub fn start(marked: bool) -> Start {
    if marked
        && let Ok(log) = read_bounded("/dev/kmsg", FILE_LIMIT)
        && let Some(start) = logged(&String::from_utf8_lossy(&log), &mark_text())
    {
        return start;
    }
    match created(&read_text("/proc/1/stat"), rustix::param::clock_ticks_per_second()) {
        Some(at) => Start::Created { at },
        None => Start::Unknown,
    }
}

fn mark_text() -> String {
    format!("demo-agent[{}]: started", std::process::id())
}

/// Finds the two records in the text of /dev/kmsg. A record is `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT`, and
/// lines of properties, which begin with a blank (Documentation/ABI/testing/dev-kmsg).
fn logged(log: &str, mark: &str) -> Option<Start> {
    let (mut run, mut own) = (None, None);
    for (facility, at, text) in log.lines().filter_map(record) {
        // Facility 0 is the kernel's alone, so no process can forge this record. The last record counts, because
        // without init= the kernel tries several files.
        if facility == 0 && text.starts_with("Run ") && text.ends_with(" as init process") {
            run = Some((text, at));
        } else if text == mark {
            own = Some(at);
        }
    }
    let ((text, at), own) = (run?, own?);
    Some(Start::Logged { record: text.to_string(), ago: own.checked_sub(at)? })
}

/// The facility, the time and the text of a record's first line.
fn record(line: &str) -> Option<(u32, Duration, &str)> {
    let (head, text) = line.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let micros: u64 = fields.nth(1)?.parse().ok()?;
    Some((priority >> 3, Duration::from_micros(micros), text))
}

/// Field 22 of a stat file, proc_pid_stat(5). The fields are counted from behind the command's name, because a name may
/// have blanks and parentheses.
fn created(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some(Duration::from_millis(ticks.checked_mul(1000)?.checked_div(ticks_per_second)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "6,490,1000000,-;Run /init as init process\n SUBSYSTEM=x\n\
                       12,491,1300000,-;Run /x as init process\n\
                       garbage\n15,492,1250500,-,caller=T1;demo-agent[1]: started\n";

    #[test]
    fn only_the_kernels_own_record_is_the_start() {
        let Some(Start::Logged { record, ago }) = logged(LOG, "demo-agent[1]: started") else {
            panic!("both records are there");
        };
        assert_eq!((record.as_str(), ago.as_micros()), ("Run /init as init process", 250_500));
    }

    #[test]
    fn without_both_records_the_start_is_unknown() {
        assert!(logged(LOG, "demo-agent[2]: started").is_none());
        assert!(logged("", "demo-agent[1]: started").is_none());
    }

    #[test]
    fn the_creation_time_is_found_behind_any_name() {
        let stat = format!("1 (a) b 3) S 0{} 42 0\n", " 7".repeat(17));
        assert_eq!(created(&stat, 100), Some(Duration::from_millis(420)));
        assert_eq!(created("1 (x) S", 100), None);
    }
}
