//! Signals become events.

use std::os::raw::c_int;
use std::sync::mpsc::SyncSender;
use std::{fs, thread};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::event::Event;

/// The signals that end a program, and that the command gets in this one's place.
const ENDING: [c_int; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Makes an event of each signal that ends a program, and of SIGCHLD.
///
/// A signal that was ignored when this program started stays so, because a handler here would be the default action in
/// the command: nohup(1) ignores SIGHUP, and a shell ignores SIGINT and SIGQUIT for `&`.
pub fn watch(events: &SyncSender<Event>) -> Result<()> {
    let ignored = ignored();
    let heeded = ENDING.into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = Signals::new(heeded.chain([SIGCHLD])).context("signals")?;
    let events = events.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        // The session has ended if its queue is gone.
        signals.forever().take_while(|signal| events.send(Event::Signal(*signal)).is_ok()).for_each(drop);
    })?;
    Ok(())
}

/// The signals that this process ignores: bit N-1 for signal N (proc_pid_status(5)).
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
