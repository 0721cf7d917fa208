//! riscv64.

#![expect(unsafe_code, reason = "the first instructions of a program and of a thread have no stack frame to return to")]

use core::arch::naked_asm;
use core::ffi::c_void;
use core::sync::atomic::AtomicU32;

use linux_raw_sys::general as linux;
pub use syscalls::raw::syscall4 as system_call;

use crate::machine::{self, Machine};

/// The row of this architecture in the table of machines.
pub const MACHINE: &Machine = &machine::RISCV64;

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
        ".option push",
        ".option norelax",            // The next line must not be shortened by the value that it sets:
        "lla gp, __global_pointer$",  // the linker addresses data near it relative to gp.
        ".option pop",
        "mv fp, zero",                // End the chain of frames here:
        "mv ra, zero",                // no frame before, and nowhere to return to.
        "ld a0, 0(sp)",               // main's first argument is the number of arguments,
        "addi a1, sp, 8",             // its second the arguments,
        "slli a2, a0, 3",             // its third the environment,
        "add a2, a2, a1",             // which follows the arguments
        "addi a2, a2, 8",             // and their null pointer.
        "andi sp, sp, -16",           // Align the stack as the ABI demands at a call.
        "call main",                  // Call the program's main.
        "li a7, {exit_group}",        // Exit with what it returned: name the system call,
        "ecall",                      // and make it. It does not return.
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
        "mv a5, a3",        // Keep `run`
        "mv a6, a4",        // and `argument` where no argument of clone is.
        "mv a4, a2",        // clone's fifth argument is what to set to zero.
        "li a3, 0",         // Its fourth is read with CLONE_SETTLS only.
        "li a2, 0",         // Its third is where the parent wants the thread's id: nowhere.
        "li a7, {clone}",   // Name the system call.
        "ecall",            // Two threads return from this one, with the same registers but a0 and sp.
        "bnez a0, 2f",      // The new one returns 0, the calling one something else.
        "mv fp, zero",      // In the new thread: end the chain of frames here,
        "mv a0, a6",        // pass `argument`,
        "jalr a5",          // call `run`,
        "li a0, 0",         // and exit with 0, this thread alone:
        "li a7, {exit}",    // name the system call,
        "ecall",            // and make it. It does not return.
        "2:",
        "ret",              // In the calling thread: return what clone returned.
        clone = const linux::__NR_clone,
        exit = const linux::__NR_exit,
    )
}
