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
use crate::guest::watch::logger::{self, Ending};
use crate::text::Text;

/// The signals of a program's own faults.
const FAULTS: [(u32, &str); 5] = [
    (SIGSEGV, "SIGSEGV"),
    (SIGBUS, "SIGBUS: perhaps a mapped file was truncated"),
    (SIGILL, "SIGILL"),
    (SIGFPE, "SIGFPE"),
    (SIGABRT, "SIGABRT"),
];
/// How much of the command line is read, in bytes: the longest of any architecture without a bootconfig is 4,096.
const LONGEST_LINE: usize = 8 << 10;

/// From now on, reports a fault of any thread before the process ends.
#[expect(unsafe_code, reason = "a signal stack is raw memory")]
pub fn catch_faults() {
    let stack: &mut [MaybeUninit<u8>] = Box::leak(Box::new_uninit_slice(SIGNAL_STACK));
    // SAFETY: what is leaked lives for ever, and nothing else knows of it. Other threads bring their own.
    unsafe { use_signal_stack(stack.as_mut_ptr().cast(), stack.len()) };
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

/// Reports the fault and ends this process. It makes system calls and nothing else: the heap may be what is broken.
fn die(what: impl Display) -> ! {
    // A crash before the first mount has no /proc, and without it the kernel would not restart after its panic.
    let _ = mounts::mount_proc();
    let mut buffer = [0; LONGEST_LINE];
    let kernel = command_line::kernel_words(&mut buffer);
    sysctl::restart_after_panic(&kernel);
    console::wait_for_virtio(&kernel);
    let failure = Failure::new(Code::Bug, "in guest-init", what);
    // The kernel panics when the last thread of PID 1 is gone, so exit does not suffice while another may stay.
    if others_may_stay() {
        logger::log_last_word(&failure, Ending::Sysrq);
        sysctl::panic_by_sysrq();
    } else {
        logger::log_last_word(&failure, Ending::Exit);
    }
    exit(Code::Bug as c_int)
}
