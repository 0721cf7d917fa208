//! The promise that a VM reaches its agent or panics in bounded time, even where PID 1 itself sleeps and nothing wakes it.
//!
//! A second thread waits for the deadline. It takes no lock and allocates nothing once it waits, and what it needs then is
//! open: at that time the rest of the system may stand still. The agent's execve ends it.

use core::fmt::{Display, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::write;
use rustix::system::{RebootCommand, reboot};

use crate::failure::{Code, Failure};
use crate::guest::system::clock::sleep;
use crate::guest::system::thread;
use crate::guest::watch::logger::{self, Ending};
use crate::request::MOST_JOBS;
use crate::text::Text;

/// The longest note on what is in progress, in bytes.
const LONGEST: usize = 120;
/// Enough for the thread's frames, in bytes.
const STACK: usize = 16 << 10;

static WATCHING: AtomicBool = AtomicBool::new(false);

/// What each thread has in progress, the main thread first.
static NOTES: [Note; MOST_JOBS] = [const { Note::new() }; MOST_JOBS];

/// A line that one thread writes and the watch reads. One that changes while it is read comes out mixed, and harms nobody.
struct Note {
    bytes: [AtomicU8; LONGEST],
    length: AtomicUsize,
}

impl Note {
    const fn new() -> Self {
        Self { bytes: [const { AtomicU8::new(0) }; LONGEST], length: AtomicUsize::new(0) }
    }

    fn set(&self, what: impl Display) {
        let text = Text::<LONGEST>::of(what);
        for (slot, byte) in self.bytes.iter().zip(text.as_str().bytes()) {
            slot.store(byte, Ordering::Relaxed);
        }
        self.length.store(text.as_str().len(), Ordering::Release);
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.bytes.iter().take(self.length.load(Ordering::Acquire)).map(|slot| slot.load(Ordering::Relaxed))
    }
}

/// Notes what is in progress, as it is to stand behind "while".
pub fn note(what: impl Display) {
    note_of(0, what);
}

/// The same of a thread that loads modules beside the main thread, which is number 0.
pub fn note_of(thread: usize, what: impl Display) {
    if let Some(note) = NOTES.get(thread) {
        note.set(what);
    }
}

fn noted() -> Text<300> {
    let mut text = Text::new();
    for note in &NOTES {
        let mut bytes = note.bytes().peekable();
        if bytes.peek().is_some() && !text.as_str().is_empty() {
            let _ = text.write_str(" and ");
        }
        bytes.for_each(|byte| text.write_char(char::from(byte)).unwrap_or_default());
    }
    if text.as_str().is_empty() { Text::of("starting up") } else { text }
}

/// Starts the watch: in `limit` from now, the VM panics. Zero is no limit; a watch that runs already is enough.
///
/// Failure: [`Code::NoWatch`] where the thread can't be started.
pub fn start(limit: Duration) -> Result<(), Failure> {
    if limit.is_zero() || WATCHING.load(Ordering::Relaxed) {
        return Ok(());
    }
    let devices = Devices::open();
    let expire = move || {
        sleep(limit);
        devices.end(limit);
    };
    thread::start(STACK, expire).map_err(|error| {
        Failure::from_errno(Code::NoWatch, "guest_init.deadline", error, "its thread can't be started")
    })?;
    WATCHING.store(true, Ordering::Relaxed);
    Ok(())
}

/// What it takes to end a VM, open beforehand.
struct Devices {
    kernel_log: Option<OwnedFd>,
    sysrq: Option<OwnedFd>,
    /// Where there is no `sysrq`, whose digits set the console's level as well.
    printk: Option<OwnedFd>,
}

impl Devices {
    fn open() -> Self {
        let writable = |path| open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).ok();
        let sysrq = writable(c"/proc/sysrq-trigger");
        let printk = if sysrq.is_some() { None } else { writable(c"/proc/sys/kernel/printk") };
        Self { kernel_log: logger::share(), sysrq, printk }
    }

    /// One record, and a panic; without a /proc/sysrq-trigger a restart, which nothing can hold up either.
    fn end(&self, limit: Duration) {
        let subject = format_args!("of {} s", limit.as_secs());
        let failure = Failure::new(Code::DeadlinePassed, subject, format_args!("passed while {}", noted()));
        let say = |file: &Option<OwnedFd>, text: &[u8]| file.as_ref().map(|file| write(file, text));
        say(&self.sysrq, logger::CONSOLE_SHOWS_ALL);
        say(&self.printk, logger::CONSOLE_SHOWS_ALL);
        say(&self.kernel_log, logger::last_record(&failure, Ending::Sysrq).as_str().as_bytes());
        say(&self.sysrq, b"c");
        let _ = reboot(RebootCommand::Restart);
    }
}
