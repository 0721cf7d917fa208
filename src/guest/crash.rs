//! When guest-init itself is at fault: a Rust panic, or a signal that only a bug or a broken machine raises.
//!
//! Each ends PID 1 at once with a line that says so, and with it the VM. Without this a signal would end it as well, and
//! say nothing but its number. execve gives the agent the signals as the kernel gave them to PID 1.

extern crate std;

use core::ffi::c_int;
use core::fmt::Display;
use std::boxed::Box;
use std::panic;

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::{console, klog};
use crate::failure::{Code, Failure};
use crate::text::Text;

/// The signals of a program's own faults.
const FAULTS: [Signal; 5] = [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT];
/// The stack for the last words of a program whose own stack overflowed, in bytes.
const STACK: usize = 64 << 10;

/// Says so before dying, from now on.
pub fn watch() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(Text::<160>::new, Text::of);
        die(format_args!("panicked at {place}"));
    }));
    use_own_stack();
    FAULTS.into_iter().for_each(catch);
}

/// The last word on a bug.
fn die(what: impl Display) -> ! {
    console::wait_for_virtio();
    klog::last_word(&Failure::new(Code::Bug, "in guest-init", what));
    leave(Code::Bug)
}

extern "C" fn on_fault(signal: c_int) {
    let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
    let advice = if signal == Signal::SIGBUS as c_int { ", perhaps a file was cut short under it" } else { "" };
    die(format_args!("{name}{advice}"));
}

#[allow(unsafe_code)]
fn catch(signal: Signal) {
    // A fault in the handler finds the default again, and ends the process.
    let flags = SaFlags::SA_ONSTACK | SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER;
    let action = SigAction::new(SigHandler::Handler(on_fault), flags, SigSet::empty());
    // SAFETY: the handler returns to nobody: it writes a record from its own stack, and exits.
    let _ = unsafe { sigaction(signal, &action) };
}

#[allow(unsafe_code)]
fn use_own_stack() {
    let stack = Box::leak(Box::<[u8; STACK]>::new_uninit());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK };
    // SAFETY: the memory is never freed and used for nothing else.
    unsafe { libc::sigaltstack(&stack, core::ptr::null_mut()) };
}

#[allow(unsafe_code)]
fn leave(code: Code) -> ! {
    // SAFETY: nothing of this process is used afterwards. Not exit, which would run what the C library registered.
    unsafe { libc::_exit(c_int::from(code as u8)) }
}
