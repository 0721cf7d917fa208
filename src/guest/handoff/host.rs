//! The host's notifications: that the agent is started, or why the VM failed. No notification, and no channel that
//! can't be opened, is ever a reason to fail.

use core::time::Duration;

use rustix::io::{self, Errno};

use crate::failure::{Failure, IntoErrno};
use crate::guest::handoff::agent::can_be_executed;
use crate::guest::handoff::load_stage::Loaded;
use crate::guest::places::Places;
use crate::guest::places::drivers::{CONSOLES, VSOCKS};
use crate::guest::system::clock::{now, sleep};
use crate::guest::system::errno::strerror;
use crate::guest::watch::channel::{self, Receipt};
use crate::guest::watch::deadline::set_activity;
use crate::guest::watch::logger::Ending;
use crate::notification::Notification;
use crate::request::Request;
use crate::request::notify::Channel;

/// The number of waits for a virtio-serial port after its driver is loaded, and the time of each: 250 ms in all. The
/// driver and the device agree on the ports some time after that (control_work_handler in
/// drivers/char/virtio_console.c).
const RETRIES: usize = 25;
const PAUSE: Duration = Duration::from_millis(10);

/// The host, as far as the kernel command line names a channel to it.
#[derive(Debug)]
pub struct Host<'a> {
    channel: Option<Channel<'a>>,
    /// When guest-init had read the command line, as [`now`] returns it.
    since: Duration,
    /// Whether it could be opened.
    opened: io::Result<()>,
}

impl<'a> Host<'a> {
    /// Opens the channel of a request, and loads the drivers that it takes. From now on each thread can notify the
    /// host.
    pub fn open(request: &Request<'a>, places: &mut Places<'_>) -> Self {
        let mut host = Self { channel: request.notify, since: Duration::ZERO, opened: Ok(()) };
        if let Some(channel) = &request.notify {
            host.since = now();
            set_activity(format_args!("loading the drivers of {channel}"));
            host.opened = open(channel, places);
            set_activity("starting up");
        }
        host
    }

    /// Notifies the host that the agent is started. Right behind this the kernel executes the agent. If it seems that
    /// the kernel will refuse that, the host is only notified of the failure.
    pub fn notify_start(&self, agent: &[u8], loaded: &Loaded) {
        let Some(channel) = self.channel.as_ref().filter(|_| can_be_executed(agent)) else { return };
        // A list may have loaded the driver from a share or a disk.
        let opened = self.opened.or_else(|_| channel::open(channel));
        let (modules, since_boot) = (loaded.modules as u64, now());
        let total = since_boot.saturating_sub(self.since);
        let started = Notification::Started { agent, modules, total, loading: loaded.time, since_boot };
        self.log(opened.and_then(|()| channel::send(&started)));
    }

    /// Notifies the host of the failure that ends the VM.
    pub fn notify_failure(&self, failure: &Failure) {
        self.log(self.opened.and_then(|()| channel::send_failure(failure, Ending::Exit)));
    }

    /// Logs why the host may not be notified.
    fn log(&self, result: io::Result<Receipt>) {
        let Some(channel) = &self.channel else { return };
        match result {
            Ok(Receipt::Confirmed) => {}
            Ok(Receipt::Unconfirmed) => log::info!("notify {channel}: sent, and not confirmed by the host"),
            Err(error) => {
                log::warn!("notify {channel}: {:?}: {}: the host is not notified", error.into_errno(), reason(error));
            }
        }
    }
}

/// Loads the drivers of a channel, and opens it, if it is not open yet.
fn open(channel: &Channel<'_>, places: &mut Places<'_>) -> io::Result<()> {
    if channel::is_open() {
        return Ok(());
    }
    let devices = match channel {
        Channel::Vsock { .. } => VSOCKS,
        Channel::VirtioPort(_) => CONSOLES,
    };
    // A driver that can't be loaded is in the log, and the channel can't be opened then.
    if let Ok(drivers) = places.drivers() {
        drivers.purpose = "the host's channel";
        let _ = drivers.load_behind_transports(devices);
    }
    for _ in 0..RETRIES {
        match channel::open(channel) {
            Err(Errno::NOENT) => sleep(PAUSE),
            result => return result,
        }
    }
    Err(Errno::NOENT)
}

/// The reason of an error of the channel.
fn reason(error: Errno) -> &'static str {
    match error {
        Errno::NOENT => "no virtio-serial port of this VM has this name",
        Errno::AFNOSUPPORT | Errno::NODEV => {
            "this VM has no vsock device, or neither the kernel nor the image has its driver"
        }
        Errno::CONNRESET | Errno::CONNREFUSED => "nobody listens there",
        Errno::TIMEDOUT => "nobody is connected there",
        Errno::PIPE => "the host has closed the connection",
        other => strerror(other),
    }
}
