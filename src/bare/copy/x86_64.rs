//! x86_64: string instructions. They move words first, then the bytes that are left.
//!
//! The direction flag is clear: the kernel starts a program so, and the ABI keeps it so between functions.

use core::arch::asm;

use super::WORD;

/// Copies `count` bytes, the first byte first.
///
/// # Safety
///
/// As for [`super::memmove`]. `to` does not point into the source behind its first byte.
pub unsafe fn copy_forwards(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "rep movsq",    // Copy rcx words from [rsi] to [rdi], which both move on.
            "mov ecx, edx", // The rest is less than a word.
            "rep movsb",    // Copy it byte by byte.
            inout("rcx") count / WORD => _,
            in("edx") count % WORD,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Fills `count` bytes with the bytes of `word`, all of which are the same.
///
/// # Safety
///
/// As for [`super::memset`].
pub unsafe fn fill(to: *mut u8, word: u64, count: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "rep stosq",    // Write rax to rcx words at [rdi], which moves on.
            "mov ecx, edx", // The rest is less than a word.
            "rep stosb",    // Write it byte by byte.
            inout("rcx") count / WORD => _,
            in("edx") count % WORD,
            inout("rdi") to => _,
            in("rax") word,
            options(nostack, preserves_flags),
        );
    }
}
