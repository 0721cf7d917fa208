//! The end of modprobe under an agent that reaps its children in two places.
//!
//! kata-agent 4.1.0 starts modprobe with `Command::output()` of Rust, which reads stdout and stderr to their ends and
//! then waits for the child. The agent's handler of SIGCHLD waits for any child. If modprobe exits before `output()`
//! waits, the handler takes the exit status, and the agent reports "No child processes" for a module that is loaded
//! (`setup_signal_handler` and `load_kernel_module` of its src/agent/src).

use core::time::Duration;

use rustix::fs::{FileType, fstat};
use rustix::process::{Pid, getppid};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::guest::boot::console::stdout;
use crate::guest::system::clock::sleep;
use crate::guest::system::files::open_directory;

/// The time from the end of the output to the exit: enough for the agent to come from its last read to its wait, on a
/// busy machine too. With 3 ms, 4 of 210 loads of a kata-agent still failed.
const PAUSE: Duration = Duration::from_millis(10);

/// Ends the output and lets some time pass, if the caller is PID 1 and reads the output from a pipe. So the caller
/// already waits for this process when it exits.
pub(super) fn wait_for() {
    let is_agents = getppid().is_some_and(Pid::is_init);
    let is_pipe = || fstat(stdout()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
    if is_agents && is_pipe() {
        // A file in its place closes the pipe. The numbers stay taken, as `console` expects.
        if let Ok(top) = open_directory("/") {
            let _ = dup2_stdout(&top);
            let _ = dup2_stderr(&top);
        }
        sleep(PAUSE);
    }
}
