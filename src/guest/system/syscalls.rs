//! The system calls that rustix leaves to C libraries, each as one function.

extern crate alloc;

use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::zeroed;
use core::ptr::null;

use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::bare::start::{HANDLER_FLAGS, system_call};
use crate::guest::system::invocation::Strings;

/// Replaces this process by a program (execve(2)). Returns only if that failed: the error.
#[expect(unsafe_code, reason = "the arrays are raw pointers")]
pub fn execve<'a>(path: &CStr, arguments: impl Iterator<Item = &'a CStr>, environment: Strings) -> Errno {
    let arguments: Vec<*const c_char> = arguments.map(CStr::as_ptr).chain([null()]).collect();
    // SAFETY: `path` is a string, and both arrays hold strings and end with a null pointer.
    let result = unsafe {
        call(
            linux::__NR_execve,
            [address(path.as_ptr()), address(arguments.as_ptr()), address(environment.as_ptr()), 0],
        )
    };
    Errno::from_ret(result).err().unwrap_or(Errno::EINVAL)
}

/// Ends this process and all its threads (exit_group(2)).
#[expect(unsafe_code, reason = "no wrapper of this call is safe and stable")]
pub fn exit(status: c_int) -> ! {
    loop {
        // SAFETY: nothing of this process is used afterwards.
        unsafe { call(linux::__NR_exit_group, [status as usize, 0, 0, 0]) };
    }
}

/// Calls `handler` at the next `signal` of this number, on the thread's signal stack (sigaction(2)). A second signal
/// finds the kernel's default again. `handler` must not return.
#[expect(unsafe_code, reason = "a handler runs in the middle of other code")]
pub fn catch(signal: u32, handler: extern "C" fn(c_int)) {
    let flags = linux::SA_ONSTACK | linux::SA_RESETHAND | linux::SA_NODEFER | HANDLER_FLAGS;
    // SAFETY: all zero, this is an action without handler, restorer and mask. Not every architecture has a restorer.
    let mut action: linux::kernel_sigaction = unsafe { zeroed() };
    action.sa_handler_kernel = Some(handler);
    action.sa_flags = flags.into();
    let mask = size_of::<linux::kernel_sigset_t>();
    // SAFETY: a handler that returns jumps to the address 0 and faults, so the interrupted code never continues.
    unsafe { call(linux::__NR_rt_sigaction, [signal as usize, address(&raw const action), 0, mask]) };
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
    unsafe { call(linux::__NR_sigaltstack, [address(&raw const stack), 0, 0, 0]) };
}

/// Makes the system call of a number, with up to four arguments. Returns what the kernel does: a negative errno, or the
/// call's result.
///
/// # Safety
///
/// The arguments are what this call expects. Memory that it reads or writes belongs to the caller.
#[expect(unsafe_code, reason = "a system call can do anything")]
unsafe fn call(number: u32, [a, b, c, d]: [usize; 4]) -> usize {
    // SAFETY: the caller's contract.
    unsafe { system_call(number as usize, a, b, c, d) }
}

/// The address behind a pointer that the kernel reads.
fn address<T>(pointer: *const T) -> usize {
    pointer.expose_provenance()
}
