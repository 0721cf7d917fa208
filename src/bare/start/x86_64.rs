//! x86_64.

#![expect(unsafe_code, reason = "the first instructions of a program and of a thread have no stack frame to return to")]

use core::arch::naked_asm;
use core::ffi::c_void;
use core::sync::atomic::AtomicU32;

use linux_raw_sys::general as linux;
pub use syscalls::raw::syscall4 as system_call;

use crate::machine::{self, Machine};

/// The row of this architecture in the table of machines.
pub const MACHINE: &Machine = &machine::X86_64;

/// The flags that every signal handler must have here: the address that a handler returns to (`x64_setup_rt_frame` in
/// arch/x86/kernel/signal_64.c).
pub const HANDLER_FLAGS: u32 = linux::SA_RESTORER;

/// Where the kernel starts the program. On the stack it leaves the number of arguments, the arguments, a null pointer,
/// the environment and a null pointer (System V ABI, AMD64 supplement, "Initial Stack and Register State").
///
/// # Safety
///
/// Only the kernel jumps here.
#[cfg(feature = "bare")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "xor ebp, ebp",                 // End the chain of frames here.
        "mov rdi, [rsp]",               // main's first argument is the number of arguments,
        "lea rsi, [rsp + 8]",           // its second the arguments,
        "lea rdx, [rsi + rdi * 8 + 8]", // its third the environment, which follows their null pointer.
        "and rsp, -16",                 // Align the stack as the ABI demands at a call.
        "call main",                    // Call the program's main.
        "mov edi, eax",                 // Exit with what it returned:
        "mov eax, {exit_group}",        // name the system call,
        "syscall",                      // and make it. It does not return.
        exit_group = const linux::__NR_exit_group,
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
        "mov r9, rcx",      // Keep `run`: a system call overwrites rcx.
        "mov r10, rdx",     // clone's fourth argument is what to set to zero.
        "xor edx, edx",     // Its third is where the parent wants the thread's id: nowhere.
        "mov eax, {clone}", // Its fifth, r8, is read with CLONE_SETTLS only, and keeps `argument`.
        "syscall",          // Two threads return from this one, with the same registers but rax and rsp.
        "test rax, rax",    // The new one returns 0,
        "jnz 2f",           // the calling one something else.
        "xor ebp, ebp",     // In the new thread: end the chain of frames here,
        "mov rdi, r8",      // pass `argument`,
        "call r9",          // call `run`,
        "xor edi, edi",     // and exit with 0, this thread alone:
        "mov eax, {exit}",  // name the system call,
        "syscall",          // and make it. It does not return.
        "2:",
        "ret",              // In the calling thread: return what clone returned.
        clone = const linux::__NR_clone,
        exit = const linux::__NR_exit,
    )
}
