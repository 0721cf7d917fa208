//! What guest-init says, said on the kernel log: the one place that a host sees in every set-up.
//!
//! A record is one write. Nothing here can fail in a way that matters, or makes anyone wait.

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat, open, unlink};
use rustix::io::{fcntl_dupfd_cloexec, write};
use rustix_futex_sync::Mutex;

use crate::failure::Failure;
use crate::text::Text;

/// The kernel takes records of up to 976 bytes with their priority, LOG_LINE_MAX less its own prefix.
pub type Line = Text<960>;

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            emit(Line::of(format_args!("<{}>guest-init: {}", priority(record.level()), record.args())));
        }
    }

    fn flush(&self) {}
}

/// Starts logging, at level info until the command line is read.
pub fn start() {
    let _ = log::set_logger(&Logger);
    log::set_max_level(LevelFilter::Info);
}

/// Logs one failure of several.
pub fn tell(failure: &Failure) {
    log::error!("{failure}");
}

/// Logs a failure that was allowed for.
pub fn tell_passed_over(failure: &Failure) {
    log::warn!("{failure}: optional, passed over");
}

/// Logs what is wrong with a parameter, where that is not to be a failure.
pub fn tell_ignored(failure: &Failure) {
    log::warn!("{failure}: ignored, without guest_init.strict=1");
}

/// How a VM ends after the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// PID 1 exits with the failure's code, and the kernel's panic line shows it.
    Exit,
    /// A panic by sysrq, whose line shows no code.
    Sysrq,
}

/// The last word: one emergency record, on the console whatever `quiet` or `loglevel=` say.
pub fn last_word(failure: &Failure, ending: Ending) {
    if let Ok(file) = open(c"/proc/sys/kernel/printk", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = write(file, CONSOLE_SHOWS_ALL);
    }
    emit(last_record(failure, ending));
}

/// The level up to which the console shows records, for /proc/sys/kernel/printk and /proc/sysrq-trigger.
pub const CONSOLE_SHOWS_ALL: &[u8] = b"7";

/// The record of a last word. It says `exit` only of a code that PID 1 really exits with.
pub fn last_record(failure: &Failure, ending: Ending) -> Line {
    let word = match ending {
        Ending::Exit => "exit",
        Ending::Sysrq => "code",
    };
    Line::of(format_args!("<0>guest-init: failed: {failure} ({word} {})", failure.code))
}

/// syslog's numbers. The console shows errors even with `quiet`; what `guest_init.log` asks for beyond info is shown
/// wherever info is.
const fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info | Level::Debug | Level::Trace => 6,
    }
}

fn emit(line: Line) {
    // Whoever finds the descriptor in use by another thread opens one, and waits for nobody.
    let mut own = None;
    let mut shared = DEVICE.try_lock();
    if let Some(device) = opened(shared.as_deref_mut().unwrap_or(&mut own)) {
        device.records += 1;
        let _ = write(&device.file, line.as_str().as_bytes());
    }
}

/// A further descriptor of the kernel log, for reading, or for one last record of its own.
pub fn share() -> Option<OwnedFd> {
    let mut shared = DEVICE.try_lock()?;
    fcntl_dupfd_cloexec(&opened(&mut shared)?.file, 0).ok()
}

fn opened(device: &mut Option<Device>) -> Option<&mut Device> {
    if device.as_ref().is_none_or(|device| device.records == MOST_RECORDS) {
        *device = open_device().map(|file| Device { file, records: 0 });
    }
    device.as_mut()
}

/// The kernel log, open, and how many records it took.
struct Device {
    file: OwnedFd,
    records: u32,
}

static DEVICE: Mutex<Option<Device>> = Mutex::new(None);

/// The kernel drops an open file's records after ten in five seconds, and reports no error (printk_ratelimit). One is left
/// for whoever shares it.
const MOST_RECORDS: u32 = 9;

/// /dev/kmsg, or where /dev could not be mounted, a node of our own. To open it takes more time than all else that is done
/// with it, so it is opened once, to write and to read without waiting.
pub fn open_device() -> Option<OwnedFd> {
    const NODE: &core::ffi::CStr = c"/.kmsg";
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    open(c"/dev/kmsg", flags, Mode::empty())
        .or_else(|_| {
            mknodat(CWD, NODE, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 11))?;
            let node = open(NODE, flags, Mode::empty());
            unlink(NODE)?;
            node
        })
        .ok()
}
