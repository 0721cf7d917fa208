//! A crash of guest-init itself: a Rust panic, or a signal that only a bug or a broken machine raises.
//!
//! A crash ends PID 1, and with it the VM, with a line on the kernel log. Without the handlers here the kernel would
//! end PID 1 as well, but log no more than the signal's number. execve(2) resets handlers and signal stacks, so the
//! agent starts with the signals as the kernel gave them to PID 1.

extern crate alloc;

use alloc::boxed::Box;
use core::ffi::c_int;
use core::fmt::Display;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use linux_raw_sys::general::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};

use crate::failure::{Code, Failure};
use crate::guest::boot::{command_line, console, mounts, sysctl};
use crate::guest::system::syscalls::{catch, exit, use_signal_stack};
use crate::guest::system::thread::{SIGNAL_STACK, others_may_stay};
use crate::guest::watch::channel;
use crate::guest::watch::logger::{self, Ending};
use crate::text::Text;

/// The signals that a fault of the program raises, and their names in the last word.
const FAULTS: [(u32, &str); 5] = [
    (SIGSEGV, "SIGSEGV"),
    (SIGBUS, "SIGBUS: perhaps a mapped file was truncated"),
    (SIGILL, "SIGILL"),
    (SIGFPE, "SIGFPE"),
    (SIGABRT, "SIGABRT"),
];
/// The number of bytes of the command line that are read. No architecture has more than 4 KiB without a bootconfig.
const LONGEST_LINE: usize = 8 << 10;

/// Installs the handlers. From now on, a fault of any thread is reported before the process ends.
#[expect(unsafe_code, reason = "a signal stack is raw memory")]
pub fn catch_faults() {
    let stack: &mut [MaybeUninit<u8>] = Box::leak(Box::new_uninit_slice(SIGNAL_STACK));
    // SAFETY: the leaked memory lives as long as the process, and nothing else uses it. Other threads have a stack of
    // their own.
    unsafe { use_signal_stack(stack.as_mut_ptr().cast(), stack.len()) };
    FAULTS.iter().for_each(|(signal, _)| catch(*signal, on_fault));
}

/// Reports a Rust panic and ends this process.
pub fn on_panic(panic: &PanicInfo<'_>) -> ! {
    let place = panic.location().map_or_else(Text::<160>::new, Text::of);
    die(format_args!("panicked at {place}"))
}

/// Reports a signal and ends this process.
extern "C" fn on_fault(signal: c_int) {
    let name = FAULTS.iter().find(|(fault, _)| i64::from(*fault) == i64::from(signal));
    die(name.map_or("a signal", |(_, name)| name))
}

/// Reports a crash and ends this process. The function only makes system calls, because the heap may be corrupt.
fn die(what: impl Display) -> ! {
    // If the crash comes before the first mount, /proc is missing, and kernel.panic can't be set without it.
    let _ = mounts::mount_proc();
    let mut buffer = [0; LONGEST_LINE];
    let kernel = command_line::kernel_words(&mut buffer);
    sysctl::restart_after_panic(&kernel);
    console::wait_for_virtio(&kernel);
    let failure = Failure::new(Code::Bug, "in guest-init", what);
    // The kernel panics when the last thread of PID 1 has ended. If another thread may hang in the kernel, an exit is
    // not enough.
    let ending = if others_may_stay() { Ending::Sysrq } else { Ending::Exit };
    logger::log_last_word(&failure, ending);
    let _ = channel::send_failure(&failure, ending);
    if ending == Ending::Sysrq {
        sysctl::panic_by_sysrq();
    }
    exit(Code::Bug as c_int)
}
