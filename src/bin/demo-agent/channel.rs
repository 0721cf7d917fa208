//! Where this program prints: the console, unless its environment names another device.
//!
//! The console also shows the kernel's log, and a record of the log can fall into the middle of a line that a process
//! prints there: the kernel writes records to the port itself, and the terminal's text waits in a buffer. A reader that
//! must not mistake one for the other gives the VM a second serial port, and its device in the variable.

use crate::text::{errno_name, say};
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The variable of the environment. The kernel makes one of each word `NAME=VALUE` of its command line that it does not
/// know, for PID 1.
const VARIABLE: &str = "agent_report";

/// Makes the device that the environment names the standard output. If that fails, the console stays, and says so.
pub fn open() {
    let Some(device) = std::env::var_os(VARIABLE) else { return };
    if let Err(error) = redirect(Path::new(&device)) {
        say(&format!("agent: {}: {}", device.display(), errno_name(&error)));
    }
}

/// As a controlling terminal the device would change what the report shows of this process.
fn redirect(device: &Path) -> io::Result<()> {
    let flags = OFlags::NOCTTY.bits().cast_signed();
    let device = OpenOptions::new().write(true).custom_flags(flags).open(device)?;
    Ok(rustix::stdio::dup2_stdout(device)?)
}
