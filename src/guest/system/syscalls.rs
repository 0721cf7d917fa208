//! The system calls that rustix leaves to C libraries, each as one function.

extern crate alloc;

use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null;

use linux_raw_sys::general as linux;
use syscalls::{Errno, Sysno, raw_syscall, syscall};

use crate::guest::system::invocation::Strings;

/// Replaces this process by a program (execve(2)). Returns only if that failed: the error.
#[expect(unsafe_code, reason = "the arrays are raw pointers")]
pub fn execve<'a>(path: &CStr, arguments: impl Iterator<Item = &'a CStr>, environment: Strings) -> Errno {
    let arguments: Vec<*const c_char> = arguments.map(CStr::as_ptr).chain([null()]).collect();
    // SAFETY: `path` is a string, and both arrays hold strings and end with a null pointer.
    let result = unsafe { syscall!(Sysno::execve, path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    result.err().unwrap_or(Errno::EINVAL)
}

/// Ends this process and all its threads (exit_group(2)).
#[expect(unsafe_code, reason = "no wrapper of this call is safe and stable")]
pub fn exit(status: c_int) -> ! {
    loop {
        // SAFETY: nothing of this process is used afterwards.
        unsafe { raw_syscall!(Sysno::exit_group, status) };
    }
}

/// Calls `handler` at the next `signal` of this number, on the thread's signal stack (sigaction(2)). A second signal
/// finds the kernel's default again. `handler` must not return.
#[expect(unsafe_code, reason = "a handler runs in the middle of other code")]
pub fn catch(signal: u32, handler: extern "C" fn(c_int)) {
    // x86 demands SA_RESTORER, the address that a handler returns to (setup_rt_frame in arch/x86/kernel/signal_64.c).
    let flags = linux::SA_ONSTACK | linux::SA_RESETHAND | linux::SA_NODEFER | linux::SA_RESTORER;
    let action = linux::kernel_sigaction {
        sa_handler_kernel: Some(handler),
        sa_flags: flags.into(),
        sa_restorer: None,
        sa_mask: linux::kernel_sigset_t { sig: [0] },
    };
    let mask = size_of::<linux::kernel_sigset_t>();
    // SAFETY: a handler that returns jumps to the address 0 and faults, so the interrupted code never continues.
    let _ = unsafe { syscall!(Sysno::rt_sigaction, signal, &raw const action, 0, mask) };
}

/// Makes `size` bytes from `bottom` the stack of this thread's signal handlers (sigaltstack(2)).
///
/// # Safety
///
/// The memory lives as long as the thread, and nothing else uses it.
#[expect(unsafe_code, reason = "a stack is raw memory")]
pub unsafe fn use_signal_stack(bottom: *mut c_void, size: usize) {
    let stack = linux::stack_t { ss_sp: bottom, ss_flags: 0, ss_size: size as _ };
    // SAFETY: the caller's contract.
    let _ = unsafe { syscall!(Sysno::sigaltstack, &raw const stack, 0) };
}
