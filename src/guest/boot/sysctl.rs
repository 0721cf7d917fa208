//! Switches of the kernel's: one that panics, one that lets a panic end the VM, and one that ends module loading.

use core::ffi::CStr;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{self, write};

use crate::failure::{Code, Failure};
use crate::guest::system::files::head;
use crate::request::kernel::KernelWords;

const SYSRQ: &CStr = c"/proc/sysrq-trigger";
const PANIC: &CStr = c"/proc/sys/kernel/panic";
const MODULES_DISABLED: &CStr = c"/proc/sys/kernel/modules_disabled";

/// A kernel whose `kernel.panic` is 0 waits for ever once it has panicked; then nobody learns of it. Unless the command
/// line asks for that, it restarts at once instead.
///
/// Takes no memory from the heap: a crash may call it.
pub fn let_panic_end(kernel: &KernelWords<'_>) {
    // `panic=0` is a wish, too.
    if kernel.sets_panic {
        return;
    }
    let mut value = [0; 16];
    let waits = head(PANIC, &mut value).trim_ascii() == b"0";
    if waits && set(PANIC, b"-1").is_ok() {
        log::info!("kernel.panic was 0, with which a VM waits for ever after a panic: set to -1");
    }
}

/// Panics the VM at once, whatever its threads do, if the kernel has sysrq at all.
pub fn panic() {
    let _ = set(SYSRQ, b"c");
}

/// If that is asked for, lets no more modules be loaded until the kernel starts anew.
///
/// Failure: [`Code::NotLocked`].
pub fn lock_modules(asked_for: bool) -> Result<(), Failure> {
    if !asked_for {
        return Ok(());
    }
    match set(MODULES_DISABLED, b"1") {
        // A kernel without CONFIG_MODULES is locked as it is.
        Ok(()) | Err(io::Errno::NOENT) => Ok(()),
        Err(error) => {
            let reason = "module loading can't be disabled";
            Err(Failure::from_errno(Code::NotLocked, "kernel.modules_disabled", error, reason))
        }
    }
}

fn set(path: &CStr, value: &[u8]) -> io::Result<()> {
    write(open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?, value).map(drop)
}
