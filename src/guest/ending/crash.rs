//! When guest-init itself is at fault: a Rust panic, or a signal that only a bug or a broken machine raises.
//!
//! Each ends PID 1 at once with a line that says so, and with it the VM. Without this a signal would end it as well, and
//! say nothing but its number. execve gives the agent the signals as the kernel gave them to PID 1.

extern crate alloc;

use alloc::boxed::Box;
use core::ffi::c_int;
use core::fmt::Display;
use core::panic::PanicInfo;

use linux_raw_sys::general::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};

use crate::failure::{Code, Failure};
use crate::guest::boot::{command_line, console, mounts, sysctl};
use crate::guest::system::syscalls::{catch, exit, use_signal_stack};
use crate::guest::system::thread;
use crate::guest::watch::logger::{self, Ending};
use crate::text::Text;

/// The signals of a program's own faults.
const FAULTS: [(u32, &str); 5] = [
    (SIGSEGV, "SIGSEGV"),
    (SIGBUS, "SIGBUS, perhaps a file was cut short under it"),
    (SIGILL, "SIGILL"),
    (SIGFPE, "SIGFPE"),
    (SIGABRT, "SIGABRT"),
];
/// The stack for the last words of a program whose own stack overflowed, in bytes.
const STACK: usize = 64 << 10;

/// How much of the command line is looked at, in bytes: the longest of any architecture without a bootconfig is 4,096.
const LONGEST_LINE: usize = 8 << 10;

/// Says so before dying, from now on.
pub fn catch_faults() {
    use_signal_stack(Box::leak(Box::new_uninit_slice(STACK)));
    FAULTS.iter().for_each(|(signal, _)| catch(*signal, on_fault));
}

/// Ends this process for a panic.
pub fn on_panic(panic: &PanicInfo<'_>) -> ! {
    let place = panic.location().map_or_else(Text::<160>::new, Text::of);
    die(format_args!("panicked at {place}"))
}

extern "C" fn on_fault(signal: c_int) {
    let name = FAULTS.iter().find(|(fault, _)| i64::from(*fault) == i64::from(signal));
    die(name.map_or("a signal", |(_, name)| name))
}

/// The last word on a bug. It makes system calls and nothing else: the heap may be what is broken.
fn die(what: impl Display) -> ! {
    // A crash before the first mount has no /proc, and without it the kernel would not restart after its panic.
    let _ = mounts::mount_proc();
    let mut buffer = [0; LONGEST_LINE];
    let kernel = command_line::kernel_words(&mut buffer);
    sysctl::let_panic_end(&kernel);
    console::wait_for_virtio(&kernel);
    let failure = Failure::new(Code::Bug, "in guest-init", what);
    // The kernel panics when the last thread of PID 1 is gone, and another thread may never end.
    if thread::are_several() {
        logger::last_word(&failure, Ending::Sysrq);
        sysctl::panic();
    } else {
        logger::last_word(&failure, Ending::Exit);
    }
    exit(Code::Bug as c_int)
}
