//! The device that this program prints to: the console, unless the environment names another one.
//!
//! The kernel's log is on the console as well, and can interrupt any line there: the kernel writes a record to the port
//! at once, while a process's text waits in the terminal's buffer. A program that reads this one's lines gives the VM a
//! second serial port, and names its device.

use crate::text::{errno_name, print_line};
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The variable of the environment with the device's path. The kernel gives PID 1 a variable for each word `NAME=VALUE`
/// of its command line that means nothing to it.
const VARIABLE: &str = "agent_report";

/// Replaces standard output by the device. If that fails, the console stays, and has a line about the failure.
pub fn open() {
    let Some(device) = std::env::var_os(VARIABLE) else { return };
    if let Err(error) = redirect(Path::new(&device)) {
        print_line(&format!("agent: {}: {}", device.display(), errno_name(&error)));
    }
}

/// NOCTTY: a controlling terminal would be one more difference to a process that the kernel starts.
fn redirect(device: &Path) -> io::Result<()> {
    let flags = OFlags::NOCTTY.bits().cast_signed();
    let device = OpenOptions::new().write(true).custom_flags(flags).open(device)?;
    Ok(rustix::stdio::dup2_stdout(device)?)
}
