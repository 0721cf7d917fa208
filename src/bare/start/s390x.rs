//! s390x.

#![expect(unsafe_code, reason = "the first instructions of a program and of a thread have no stack frame to return to")]

use core::arch::naked_asm;
use core::ffi::c_void;
use core::sync::atomic::AtomicU32;

use linux_raw_sys::general as linux;

use crate::machine::{self, Machine};

/// The row of this architecture in the table of machines.
pub const MACHINE: &Machine = &machine::S390X;

/// The flags that every signal handler must have here: none.
pub const HANDLER_FLAGS: u32 = 0;

/// Where the kernel starts the program. On the stack it leaves the number of arguments, the arguments, a null pointer,
/// the environment and a null pointer (`create_elf_tables` in fs/binfmt_elf.c).
///
/// # Safety
///
/// Only the kernel jumps here.
#[cfg(feature = "bare")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "lg %r2, 0(%r15)",         // main's first argument is the number of arguments,
        "la %r3, 8(%r15)",         // its second the arguments,
        "sllg %r4, %r2, 3",        // its third the environment,
        "la %r4, 8(%r4,%r3)",      // which follows the arguments and their null pointer.
        "aghi %r15, -160",         // Make a frame, in which main saves registers. The kernel aligned the stack.
        "xc 0(8,%r15), 0(%r15)",   // End the chain of frames here.
        "brasl %r14, main",        // Call the program's main.
        "lghi %r1, {exit_group}",  // Exit with what it returned: name the system call,
        "svc 0",                   // and make it. It does not return.
        exit_group = const linux::__NR_exit_group,
    )
}

/// Makes a system call, with four arguments. Returns what the kernel does: a negative errno, or the call's result.
/// The crate `syscalls` has it only for compilers with unstable features.
///
/// # Safety
///
/// The arguments are what this call expects. Memory that it reads or writes belongs to the caller.
#[unsafe(naked)]
pub unsafe extern "C" fn system_call(number: usize, a: usize, b: usize, c: usize, d: usize) -> usize {
    naked_asm!(
        "lgr %r1, %r2", // Name the system call.
        "lgr %r2, %r3", // The kernel finds the first argument in r2,
        "lgr %r3, %r4", // the second in r3,
        "lgr %r4, %r5", // the third in r4,
        "lgr %r5, %r6", // and the fourth in r5.
        "svc 0",        // Make the call. It changes r2 alone,
        "br %r14",      // which is what this function returns.
    )
}

/// Starts a thread (clone(2)), which calls `run` with `argument` and exits. Once the kernel no longer uses its stack,
/// it sets `running` to zero and wakes who waits there (CLONE_CHILD_CLEARTID). Returns the thread's id or a negative
/// errno.
///
/// # Safety
///
/// `flags` are those of a thread, without CLONE_SETTLS. `stack` is the end of a stack, aligned to 16 bytes. Stack and
/// references live until `running` is zero. `run` uses no thread-local storage: it finds that of the calling thread.
#[unsafe(naked)]
pub unsafe extern "C" fn clone<T>(
    flags: usize,
    stack: *mut c_void,
    running: &AtomicU32,
    run: extern "C" fn(&T),
    argument: &T,
) -> isize {
    naked_asm!(
        "lgr %r0, %r5",           // Keep `run` where no argument of clone is.
        "lgr %r5, %r4",           // clone's fourth argument is what to set to zero.
        "lghi %r4, 0",            // Its third is where the parent wants the thread's id: nowhere.
        "lgr %r1, %r2",           // Here its second is the flags,
        "lgr %r2, %r3",           // and its first the stack (CONFIG_CLONE_BACKWARDS2 in arch/Kconfig).
        "lgr %r3, %r1",           // Its fifth, r6, is read with CLONE_SETTLS only, and keeps `argument`.
        "lghi %r1, {clone}",      // Name the system call.
        "svc 0",                  // Two threads return from this one, with the same registers but r2 and r15.
        "ltgr %r2, %r2",          // The new one returns 0,
        "jne 2f",                 // the calling one something else.
        "aghi %r15, -160",        // In the new thread: make a frame, in which `run` saves registers,
        "xc 0(8,%r15), 0(%r15)",  // end the chain of frames here,
        "lgr %r2, %r6",           // pass `argument`,
        "lgr %r1, %r0",           // (r0 can't name the target of a call)
        "basr %r14, %r1",         // call `run`,
        "lghi %r2, 0",            // and exit with 0, this thread alone:
        "lghi %r1, {exit}",       // name the system call,
        "svc 0",                  // and make it. It does not return.
        "2:",
        "br %r14",                // In the calling thread: return what clone returned.
        clone = const linux::__NR_clone,
        exit = const linux::__NR_exit,
    )
}
