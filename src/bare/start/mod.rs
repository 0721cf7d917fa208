//! The beginning of the program and of a thread, and the symbols that libraries of the compiler ask for at link time.
//!
//! The assembly lies in one file an architecture. A further architecture is a further file, with `_start`, `clone`,
//! `system_call`, `HANDLER_FLAGS` and `MACHINE` in it, and a line below.

#[cfg(feature = "bare")]
use super::heap::Heap;

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "riscv64", path = "riscv64.rs")]
#[cfg_attr(target_arch = "s390x", path = "s390x.rs")]
#[cfg_attr(target_arch = "powerpc64", path = "ppc64le.rs")]
mod arch;

pub use arch::{HANDLER_FLAGS, MACHINE, clone, system_call};

#[cfg(feature = "bare")]
#[global_allocator]
static HEAP: Heap = Heap::new();

/// Continues to unwind. The `alloc` of the compiler was built to unwind and names this function; panics abort, so
/// nothing calls it.
#[cfg(feature = "bare")]
#[expect(unsafe_code, reason = "the linker finds it by its name")]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    unreachable!("panics abort")
}

/// Is named in the unwind tables of `alloc`, which the linker drops (scripts/lib/guest.ld). Nothing calls it.
#[cfg(feature = "bare")]
#[expect(unsafe_code, reason = "the linker finds it by its name")]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
