//! The kernel's monotonic clock, and sleep.

use core::time::Duration;

use rustix::thread::{NanosleepRelativeResult, nanosleep};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Sleeps. If a signal interrupts the sleep, the rest of the time is slept as well (nanosleep(2)).
pub fn sleep(duration: Duration) {
    let mut left = Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    while let NanosleepRelativeResult::Interrupted(rest) = nanosleep(&left) {
        left = rest;
    }
}

/// The time since an unspecified point in the past (CLOCK_MONOTONIC in clock_gettime(2)). Only the difference of two
/// such times has a meaning.
pub fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}
