//! The deadline: within a bounded time a VM starts its agent or panics, even if PID 1 hangs in the kernel.
//!
//! A second thread sleeps until the deadline. Then any other thread may hang, and hold any lock. So this thread takes
//! no lock, allocates nothing, and writes only to files that were opened before, and to the host's channel. The execve
//! of the agent ends the thread (execve(2)).

use core::fmt::{Display, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use core::time::Duration;

use log::Level;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::write;
use rustix::system::{RebootCommand, reboot};

use crate::failure::{Code, Failure};
use crate::guest::system::clock::sleep;
use crate::guest::system::thread;
use crate::guest::watch::channel;
use crate::guest::watch::logger::{self, Ending};
use crate::request::MOST_JOBS;
use crate::text::Text;

/// The longest text of an activity, in bytes.
const LONGEST: usize = 120;
/// The stack of the deadline's thread, in bytes. Its largest frames hold the texts of the last word and of the host's
/// notification, 6 KiB.
const STACK: usize = 32 << 10;

/// Whether the deadline's thread runs.
static WATCHING: AtomicBool = AtomicBool::new(false);

/// The activity of each thread that loads modules. The first is the main thread's.
static ACTIVITIES: [Activity; MOST_JOBS] = [const { Activity::new() }; MOST_JOBS];

/// The text that says what a thread is doing. That thread writes it, and the deadline's thread reads it without a lock.
/// If the text changes while it is read, the last word shows parts of both texts.
struct Activity {
    bytes: [AtomicU8; LONGEST],
    length: AtomicUsize,
}

impl Activity {
    const fn new() -> Self {
        Self { bytes: [const { AtomicU8::new(0) }; LONGEST], length: AtomicUsize::new(0) }
    }

    fn set(&self, text: &Text<LONGEST>) {
        for (slot, byte) in self.bytes.iter().zip(text.as_str().bytes()) {
            slot.store(byte, Ordering::Relaxed);
        }
        self.length.store(text.as_str().len(), Ordering::Release);
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.bytes.iter().take(self.length.load(Ordering::Acquire)).map(|slot| slot.load(Ordering::Relaxed))
    }
}

/// Sets what the main thread is doing. The last word shows it after "while", and the log at level debug has a line for
/// each change.
pub fn set_activity(what: impl Display) {
    set_main_activity(&Text::of(what));
}

/// Out of line, because activities are set in many places.
#[inline(never)]
fn set_main_activity(text: &Text<LONGEST>) {
    let [main, ..] = &ACTIVITIES;
    if log::log_enabled!(Level::Debug) && !main.bytes().eq(text.as_str().bytes()) {
        log::debug!("activity: {text}");
    }
    main.set(text);
}

/// Sets what a thread that loads modules is doing. The main thread is number 0.
pub fn set_thread_activity(thread: usize, what: impl Display) {
    if let Some(activity) = ACTIVITIES.get(thread) {
        activity.set(&Text::of(what));
    }
}

/// The activities of all threads as one text.
fn activities() -> Text<300> {
    let mut text = Text::new();
    for activity in &ACTIVITIES {
        let mut bytes = activity.bytes().peekable();
        if bytes.peek().is_some() && !text.as_str().is_empty() {
            let _ = text.write_str(" and ");
        }
        bytes.for_each(|byte| text.write_char(char::from(byte)).unwrap_or_default());
    }
    if text.as_str().is_empty() { Text::of("starting up") } else { text }
}

/// Starts the thread that panics the VM in `limit` from now. Zero is no limit. If the thread runs already, its deadline
/// remains.
///
/// Failure: [`Code::NoWatch`].
pub fn start(limit: Duration) -> Result<(), Failure> {
    if limit.is_zero() || WATCHING.load(Ordering::Relaxed) {
        return Ok(());
    }
    let files = PanicFiles::open();
    let expire = move || {
        sleep(limit);
        files.end_vm(limit);
    };
    thread::start(STACK, expire).map_err(|error| {
        Failure::from_errno(Code::NoWatch, "guest_init.deadline", error, "its thread can't be started")
    })?;
    WATCHING.store(true, Ordering::Relaxed);
    Ok(())
}

/// The files that the end of a VM takes. `None`: the kernel does not have the file.
struct PanicFiles {
    kernel_log: Option<OwnedFd>,
    sysrq: Option<OwnedFd>,
    /// Sets the console's level. Opened only if there is no `sysrq`, because a digit written to that sets the level as
    /// well.
    printk: Option<OwnedFd>,
}

impl PanicFiles {
    fn open() -> Self {
        let writable = |path| open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).ok();
        let sysrq = writable(c"/proc/sysrq-trigger");
        let printk = if sysrq.is_some() { None } else { writable(c"/proc/sys/kernel/printk") };
        Self { kernel_log: logger::duplicate(), sysrq, printk }
    }

    /// Logs the last word and panics the VM by sysrq. If the kernel has no sysrq, restarts the VM (reboot(2)).
    fn end_vm(&self, limit: Duration) {
        let subject = format_args!("of {} s", limit.as_secs());
        let failure = Failure::new(Code::DeadlinePassed, subject, format_args!("passed while {}", activities()));
        let write_to = |file: &Option<OwnedFd>, text: &[u8]| file.as_ref().map(|file| write(file, text));
        write_to(&self.sysrq, logger::CONSOLE_LEVEL);
        write_to(&self.printk, logger::CONSOLE_LEVEL);
        write_to(&self.kernel_log, logger::last_word(&failure, Ending::Sysrq).as_str().as_bytes());
        let _ = channel::send_failure(&failure, Ending::Sysrq);
        write_to(&self.sysrq, b"c");
        let _ = reboot(RebootCommand::Restart);
    }
}
