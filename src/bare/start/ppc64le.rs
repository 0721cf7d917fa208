//! ppc64le, which Rust calls powerpc64 in little-endian order. The ABI is ELFv2.

#![expect(unsafe_code, reason = "the first instructions of a program and of a thread have no stack frame to return to")]

use core::arch::naked_asm;
use core::ffi::c_void;
use core::sync::atomic::AtomicU32;

use linux_raw_sys::general as linux;

use crate::machine::{self, Machine};

/// The row of this architecture in the table of machines.
pub const MACHINE: &Machine = &machine::PPC64LE;

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
        "addis 2, 12, .TOC. - _start@ha",  // r2 is where the linker's table of addresses is. The kernel leaves
        "addi 2, 2, .TOC. - _start@l",     // the address of _start in r12 (start_thread of arch/powerpc).
        "ld 3, 0(1)",                      // main's first argument is the number of arguments,
        "addi 4, 1, 8",                    // its second the arguments,
        "sldi 5, 3, 3",                    // its third the environment,
        "add 5, 5, 4",                     // which follows the arguments
        "addi 5, 5, 8",                    // and their null pointer.
        "li 0, 0",                         // Make a frame, in which main saves registers,
        "stdu 0, -32(1)",                  // and end the chain of frames here. The kernel aligned the stack.
        "bl main",                         // Call the program's main.
        "nop",                             // The linker may restore r2 here.
        "li 0, {exit_group}",              // Exit with what it returned: name the system call,
        "sc",                              // and make it. It does not return.
        exit_group = const linux::__NR_exit_group,
    )
}

/// Makes a system call, with four arguments. Returns what the kernel does: a negative errno, or the call's result.
/// The one of the crate `syscalls` does not tell the compiler that a system call changes the registers CTR and XER
/// (Documentation/arch/powerpc/syscall64-abi.rst); every function of the C ABI may.
///
/// # Safety
///
/// The arguments are what this call expects. Memory that it reads or writes belongs to the caller.
#[unsafe(naked)]
pub unsafe extern "C" fn system_call(number: usize, a: usize, b: usize, c: usize, d: usize) -> usize {
    naked_asm!(
        "mr 0, 3",  // Name the system call.
        "mr 3, 4",  // The kernel finds the first argument in r3,
        "mr 4, 5",  // the second in r4,
        "mr 5, 6",  // the third in r5,
        "mr 6, 7",  // and the fourth in r6.
        "sc",       // Make the call.
        "bnslr",    // Without a summary overflow it succeeded: return the result, which is in r3.
        "neg 3, 3", // Otherwise r3 is the errno:
        "blr",      // return it negative.
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
        "addi 4, 4, -64",   // On the new stack, make a frame, in which `run` saves registers,
        "li 0, 0",          // and end the chain of frames there.
        "std 0, 0(4)",
        "std 6, 48(4)",     // Keep `run`
        "std 7, 56(4)",     // and `argument` there too: a system call overwrites the registers.
        "mr 7, 5",          // clone's fifth argument is what to set to zero.
        "li 6, 0",          // Its fourth is read with CLONE_SETTLS only.
        "li 5, 0",          // Its third is where the parent wants the thread's id: nowhere.
        "li 0, {clone}",    // Name the system call.
        "sc",               // Two threads return from this one.
        "bns 2f",           // If it failed, the summary overflow bit is set, and r3 is the errno:
        "neg 3, 3",         // return it negative.
        "blr",
        "2:",
        "cmpdi 3, 0",       // The new thread returns 0, the calling one something else:
        "bnelr",            // return what clone returned.
        "ld 12, 48(1)",     // In the new thread: ELFv2 wants the address of a called function in r12.
        "ld 3, 56(1)",      // Pass `argument`,
        "mtctr 12",
        "bctrl",            // call `run`,
        "li 3, 0",          // and exit with 0, this thread alone:
        "li 0, {exit}",     // name the system call,
        "sc",               // and make it. It does not return.
        clone = const linux::__NR_clone,
        exit = const linux::__NR_exit,
    )
}
