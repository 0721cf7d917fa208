//! A thread that collects every child that ends, as kata-agent 4.1.0's handler of SIGCHLD does.
//!
//! A wait for one child can come too late then. The thread has taken the exit status, and waitpid(2) fails with ECHILD.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, sleep};
use std::time::Duration;

static RUNS: AtomicBool = AtomicBool::new(false);

/// The time from the signal to the collection. In kata-agent the signal passes through a socket to the runtime, which
/// wakes a task.
const COLLECTED_AFTER: Duration = Duration::from_millis(1);

/// The time from the end of a program's output to the wait for the program, on an agent that has other work.
const LATE: Duration = Duration::from_millis(3);

/// Starts to collect children. Programs that are started later don't have the signal blocked, because `Command`
/// unblocks all signals for them.
pub fn start() -> std::io::Result<()> {
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block()?;
    Builder::new().spawn(move || {
        while children.wait().is_ok() {
            sleep(COLLECTED_AFTER);
            while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status.pid().is_some()) {}
        }
    })?;
    RUNS.store(true, Ordering::Relaxed);
    Ok(())
}

/// Comes late to a wait for a child, if children are collected.
pub fn be_late() {
    if RUNS.load(Ordering::Relaxed) {
        sleep(LATE);
    }
}
