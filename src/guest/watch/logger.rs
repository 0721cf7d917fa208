//! guest-init's own log, written to the kernel log, because every VM has that and the kernel prints it on the console.
//!
//! A record is one write to /dev/kmsg. If the write fails, the record is lost, and nothing else happens. No thread
//! waits for another's lock. The write itself takes time: unless the console has a printer thread of its own, the
//! kernel prints the record on the console before the write returns (vprintk_emit in kernel/printk/printk.c), and a
//! serial port is slow.

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat, open, unlink};
use rustix::io::{fcntl_dupfd_cloexec, write};
use rustix_futex_sync::Mutex;

use crate::failure::Failure;
use crate::text::Text;

/// A record as it is written: the priority and the text. The kernel refuses a write of more than 976 bytes
/// (LOG_LINE_MAX in kernel/printk/printk.c; 1,024 since Linux 6.3).
pub type Line = Text<960>;

/// The logger of the `log` crate's macros.
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

/// Starts to log, at level info until `guest_init.log` is known.
pub fn start() {
    let _ = log::set_logger(&Logger);
    set_level(LevelFilter::Info);
}

/// Sets the least urgent level that is logged.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// Logs one of several failures.
pub fn log_failure(failure: &Failure) {
    log::error!("{failure}");
}

/// Logs a failure that does not end the VM, because its entry is optional.
pub fn log_passed_over(failure: &Failure) {
    log::warn!("{failure}: optional, passed over");
}

/// Logs the failure of a parameter that does not end the VM, because `guest_init.strict` is 0.
pub fn log_ignored(failure: &Failure) {
    log::warn!("{failure}: ignored, without guest_init.strict=1");
}

/// The way in which a VM ends after its last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// PID 1 exits with the failure's code, and the kernel's panic line shows it.
    Exit,
    /// A panic by sysrq. The kernel's panic line does not show the code.
    Sysrq,
}

/// Logs the last word. The console shows it, whatever `quiet` and `loglevel=` say.
pub fn log_last_word(failure: &Failure, ending: Ending) {
    if let Ok(file) = open(c"/proc/sys/kernel/printk", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = write(file, CONSOLE_LEVEL);
    }
    emit(last_word(failure, ending));
}

/// The console's level while the last word is logged: records of level info and above are shown. With `loglevel=0` even
/// an emergency record would not be. The text is for /proc/sys/kernel/printk, and as a digit for /proc/sysrq-trigger.
pub const CONSOLE_LEVEL: &[u8] = b"7";

/// The last word: one record at emergency level that holds the failure. It has the word `exit` before the code only if
/// PID 1 exits with that code.
pub fn last_word(failure: &Failure, ending: Ending) -> Line {
    let word = match ending {
        Ending::Exit => "exit",
        Ending::Sysrq => "code",
    };
    Line::of(format_args!("<0>guest-init: failed: {failure} ({word} {})", failure.code))
}

/// The priority of a level, as syslog(2) numbers it. With `quiet` the console shows errors alone. Debug and trace have
/// the priority of info, so that the console shows them if `guest_init.log` asks for them.
const fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info | Level::Debug | Level::Trace => 6,
    }
}

fn emit(line: Line) {
    // If another thread uses the shared descriptor, this one opens its own instead of waiting.
    let mut own = None;
    let mut shared = DEVICE.try_lock();
    if let Some(device) = with_room(shared.as_deref_mut().unwrap_or(&mut own)) {
        device.records += 1;
        let _ = write(&device.file, line.as_str().as_bytes());
    }
}

/// Duplicates the descriptor of the kernel log, to read records or to write the deadline's last word.
pub fn duplicate() -> Option<OwnedFd> {
    let mut shared = DEVICE.try_lock()?;
    fcntl_dupfd_cloexec(&with_room(&mut shared)?.file, 0).ok()
}

/// The device, opened if it is not open, or if its open file has taken [`MOST_RECORDS`].
fn with_room(device: &mut Option<Device>) -> Option<&mut Device> {
    if device.as_ref().is_none_or(|device| device.records == MOST_RECORDS) {
        *device = open_device().map(|file| Device { file, records: 0 });
    }
    device.as_mut()
}

/// An open /dev/kmsg, and the number of records that were written to it.
struct Device {
    file: OwnedFd,
    records: u32,
}

static DEVICE: Mutex<Option<Device>> = Mutex::new(None);

/// The kernel drops all but ten records in five seconds of one open file description, and the write succeeds all the
/// same (devkmsg_open and devkmsg_write in kernel/printk/printk.c). One of the ten is left for the deadline's thread,
/// which has a duplicate of the descriptor.
const MOST_RECORDS: u32 = 9;

/// Opens /dev/kmsg. If /dev could not be mounted, opens a device node that is made and removed for that (MEM_MAJOR 1,
/// minor 11 in drivers/char/mem.c).
///
/// The file is opened to be written and read, because an open takes longer than all writes and reads that follow. With
/// O_NONBLOCK a read at the end of the log returns EAGAIN instead of waiting for the next record.
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
