//! A virtio-serial port (drivers/char/virtio_console.c).

extern crate alloc;

use alloc::format;
use core::time::Duration;

use rustix::event::PollFlags;
use rustix::fd::OwnedFd;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno, write};

use super::{Receipt, TO_CONNECT, Time};
use crate::guest::system::clock::sleep;
use crate::guest::system::files::{Directory, read};

/// The longest name of a port, in bytes. A longer one counts as another.
const LONGEST_NAME: usize = 4096;
/// The time between two looks at whether the host is connected, of which the kernel sends no event.
const PAUSE: Duration = Duration::from_millis(10);

/// An open port. The kernel opens it for one program only, so it stays open.
pub(super) struct Port(OwnedFd);

impl Port {
    /// Opens the port of this name.
    ///
    /// Errors: ENOENT if no port has the name; EBUSY if another program has it open.
    pub(super) fn open(name: &[u8]) -> io::Result<Self> {
        let ports = Directory::open("/sys/class/virtio-ports")?;
        let is_named = |port: &&alloc::string::String| {
            let file = ports.regular(format!("{port}/name")).and_then(|file| read(&file, LONGEST_NAME));
            file.is_ok_and(|text| text.trim_ascii_end() == name)
        };
        let names = ports.names()?;
        let port = names.iter().find(is_named).ok_or(Errno::NOENT)?;
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        fs::open(format!("/dev/{port}"), flags, Mode::empty()).map(Self)
    }

    /// Sends a message, and waits until the device has it.
    pub(super) fn send(&self, message: &[u8], time: &Time) -> io::Result<Receipt> {
        // Without a program of the host at the other end, the event is a hang-up, and at once.
        while time.wait(&self.0, PollFlags::OUT, TO_CONNECT)?.contains(PollFlags::HUP) {
            sleep(PAUSE);
        }
        // The kernel takes up to 32 KiB at once (port_fops_write).
        io::retry_on_intr(|| write(&self.0, message))?;
        // The kernel takes no more before the device has the message (will_write_block).
        time.confirmed(&self.0, PollFlags::OUT)
    }
}
