//! System calls that rustix leaves to C libraries: each a function.

extern crate alloc;

use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::mem::{MaybeUninit, size_of};
use core::ptr::null;

use linux_raw_sys::general as linux;
use syscalls::{Errno, Sysno, raw_syscall, syscall};

use crate::guest::system::invocation::Strings;

/// Replaces this process by a program (execve(2)). That it returns means it could not, and why.
#[allow(unsafe_code)]
pub fn execve<'a>(path: &CStr, arguments: impl Iterator<Item = &'a CStr>, environment: Strings) -> Errno {
    let arguments: Vec<*const c_char> = arguments.map(CStr::as_ptr).chain([null()]).collect();
    // SAFETY: `path` is a string, and both arrays hold strings and end with a null pointer.
    let result = unsafe { syscall!(Sysno::execve, path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    result.err().unwrap_or(Errno::EINVAL)
}

/// Ends this process and all its threads (exit_group(2)).
#[allow(unsafe_code)]
pub fn exit(status: c_int) -> ! {
    loop {
        // SAFETY: nothing of this process is used afterwards.
        unsafe { raw_syscall!(Sysno::exit_group, status) };
    }
}

/// Has a signal call `handler`, which must not return, once, on the stack of [`use_signal_stack`] (sigaction(2)). A second
/// of its kind finds the default again.
#[allow(unsafe_code)]
pub fn catch(signal: u32, handler: extern "C" fn(c_int)) {
    // x86 asks for the address that a handler returns to, here none (setup_rt_frame in arch/x86/kernel/signal_64.c).
    let flags = linux::SA_ONSTACK | linux::SA_RESETHAND | linux::SA_NODEFER | linux::SA_RESTORER;
    let action = linux::kernel_sigaction {
        sa_handler_kernel: Some(handler),
        sa_flags: flags.into(),
        sa_restorer: None,
        sa_mask: linux::kernel_sigset_t { sig: [0] },
    };
    let mask = size_of::<linux::kernel_sigset_t>();
    // SAFETY: a handler that returns does so to the address 0, and faults: nothing goes on in a state that it left.
    let _ = unsafe { syscall!(Sysno::rt_sigaction, signal, &raw const action, 0, mask) };
}

/// Gives signal handlers of this thread a stack of their own (sigaltstack(2)).
#[allow(unsafe_code)]
pub fn use_signal_stack(stack: &'static mut [MaybeUninit<u8>]) {
    let stack = linux::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() as _ };
    // SAFETY: the memory lives as long as the process, and is used for nothing else.
    let _ = unsafe { syscall!(Sysno::sigaltstack, &raw const stack, 0) };
}
