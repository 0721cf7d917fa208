//! From the kernel to `main`, called as the C start-up would call it, and from a panic to the last word.

use core::arch::naked_asm;
use core::ffi::c_int;
use core::panic::PanicInfo;

use linux_raw_sys::general::__NR_exit_group;

use super::heap::Heap;
use crate::failure::Code;
use crate::guest::ending::crash;
use crate::guest::system::syscalls::exit;

#[global_allocator]
static HEAP: Heap = Heap::new();

#[panic_handler]
fn on_panic(panic: &PanicInfo<'_>) -> ! {
    crash::on_panic(panic)
}

/// Where a program begins. The kernel leaves on the stack: the number of arguments, these, a null pointer, the environment, a
/// null pointer (System V ABI, 3.4.1).
///
/// # Safety
///
/// Only the kernel starts here.
#[allow(unsafe_code)]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "mov rdi, [rsp]",
        "lea rsi, [rsp + 8]",
        "lea rdx, [rsi + rdi * 8 + 8]",
        "and rsp, -16",
        "call main",
        "mov edi, eax",
        "mov eax, {exit}",
        "syscall",
        exit = const __NR_exit_group,
    )
}

/// The same.
///
/// # Safety
///
/// As above.
#[allow(unsafe_code)]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[cfg(target_arch = "aarch64")]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "mov x29, xzr",
        "mov x30, xzr",
        "ldr x0, [sp]",
        "add x1, sp, #8",
        "add x2, x1, x0, lsl #3",
        "add x2, x2, #8",
        "bl main",
        "mov x8, {exit}",
        "svc #0",
        exit = const __NR_exit_group,
    )
}

/// What alloc, as it comes with the compiler, calls to unwind: never, since panics abort.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(Code::Bug as c_int)
}

/// What it names in its tables, likewise.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// What the compiler's own library asks a C library for on this architecture: which atomic instructions the CPU has, in a
/// constructor that nobody calls, and the guards of its stack. Without an answer it uses those that every CPU has.
#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
mod compiler_rt {
    use super::{Code, c_int, exit};

    #[unsafe(no_mangle)]
    extern "C" fn getauxval(_: usize) -> usize {
        0
    }

    #[unsafe(no_mangle)]
    static __stack_chk_guard: usize = 0x5afe_c0de;

    #[unsafe(no_mangle)]
    extern "C" fn __stack_chk_fail() -> ! {
        exit(Code::Bug as c_int)
    }
}
