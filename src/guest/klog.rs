//! What guest-init says, said on the kernel log: the one place that a host sees in every set-up.
//!
//! A record is one write to a descriptor opened for it alone: the kernel limits records per open file, and drops what
//! is over without an error. Nothing here can fail in a way that matters, or stops anyone.

use core::fmt::{self, Write};

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat, open, unlink};
use rustix::io::write;

use crate::failure::{Failure, Failures};
use crate::text::Text;

/// The kernel takes records of up to 976 bytes with their priority, LOG_LINE_MAX less its own prefix.
type Line = Text<960>;

struct KernelLog;

impl Log for KernelLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            emit(priority(record.level()), record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts logging, at level info until the command line is read.
pub fn start() {
    let _ = log::set_logger(&KernelLog);
    log::set_max_level(LevelFilter::Info);
}

/// Logs each failure, where there are several, and returns the one to end with.
pub fn report(failures: Failures) -> Failure {
    if failures.iter().count() > 1 {
        failures.iter().for_each(|failure| log::error!("{failure}"));
    }
    failures.verdict()
}

/// The last word: one emergency record, on the console whatever `quiet` or `loglevel=` say.
pub fn last_word(failure: &Failure) {
    if let Ok(file) = open(c"/proc/sys/kernel/printk", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = write(file, b"7");
    }
    emit(0, format_args!("failed: {failure} (exit {})", failure.code));
}

/// syslog's numbers: the console shows errors even with `quiet`.
const fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn emit(priority: u8, message: impl fmt::Display) {
    let mut line = Line::new();
    let _ = write!(line, "<{priority}>guest-init: {message}");
    if let Some(kernel_log) = device() {
        let _ = write(kernel_log, line.as_str().as_bytes());
    }
}

/// /dev/kmsg, or where /dev could not be mounted, a node of our own.
fn device() -> Option<OwnedFd> {
    const NODE: &core::ffi::CStr = c"/.kmsg";
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    open(c"/dev/kmsg", flags, Mode::empty())
        .or_else(|_| {
            mknodat(CWD, NODE, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 11))?;
            let node = open(NODE, flags, Mode::empty());
            unlink(NODE)?;
            node
        })
        .ok()
}
