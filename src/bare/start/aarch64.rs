//! aarch64.

#![expect(unsafe_code, reason = "the first instructions of a program and of a thread have no stack frame to return to")]

use core::arch::naked_asm;
use core::ffi::c_void;
use core::sync::atomic::AtomicU32;

use linux_raw_sys::general as linux;
pub use syscalls::raw::syscall4 as system_call;

use crate::machine::{self, Machine};

/// The row of this architecture in the table of machines.
pub const MACHINE: &Machine = &machine::AARCH64;

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
        "mov x29, xzr",            // End the chain of frames here:
        "mov x30, xzr",            // no frame before, and nowhere to return to.
        "ldr x0, [sp]",            // main's first argument is the number of arguments,
        "add x1, sp, #8",          // its second the arguments,
        "add x2, x1, x0, lsl #3",  // its third the environment,
        "add x2, x2, #8",          // which follows their null pointer.
        "bl main",                 // Call the program's main. The kernel aligned the stack.
        "mov x8, {exit_group}",    // Exit with what it returned: name the system call,
        "svc #0",                  // and make it. It does not return.
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
        "mov x5, x3",       // Keep `run`
        "mov x6, x4",       // and `argument` where no argument of clone is.
        "mov x4, x2",       // clone's fifth argument is what to set to zero.
        "mov x3, xzr",      // Its fourth is read with CLONE_SETTLS only.
        "mov x2, xzr",      // Its third is where the parent wants the thread's id: nowhere.
        "mov x8, {clone}",  // Name the system call.
        "svc #0",           // Two threads return from this one, with the same registers but x0 and sp.
        "cbnz x0, 2f",      // The new one returns 0, the calling one something else.
        "mov x29, xzr",     // In the new thread: end the chain of frames here,
        "mov x0, x6",       // pass `argument`,
        "blr x5",           // call `run`,
        "mov x0, xzr",      // and exit with 0, this thread alone:
        "mov x8, {exit}",   // name the system call,
        "svc #0",           // and make it. It does not return.
        "2:",
        "ret",              // In the calling thread: return what clone returned.
        clone = const linux::__NR_clone,
        exit = const linux::__NR_exit,
    )
}

/// The symbols that compiler-rt needs at link time on this architecture. Its constructors ask getauxval for the CPU's
/// features, LSE's atomic instructions among them. Nothing calls constructors here, so the code that every CPU can run
/// is used.
#[cfg(feature = "bare")]
mod compiler_rt {
    #[unsafe(no_mangle)]
    extern "C" fn getauxval(_: usize) -> usize {
        0
    }

    #[unsafe(no_mangle)]
    static __stack_chk_guard: usize = 0x5afe_c0de;

    #[expect(clippy::panic, reason = "it is where a program ends")]
    #[unsafe(no_mangle)]
    extern "C" fn __stack_chk_fail() -> ! {
        panic!("a stack frame was overwritten")
    }
}
