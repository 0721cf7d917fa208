//! Loops, for every architecture: words first, then the bytes that are left.
//!
//! LLVM would recognise such a loop and replace it by a call of memcpy or its kind, which is the function that the loop
//! is in. So every word goes through [`opaque`], behind which LLVM sees no copy.

use core::arch::asm;
use core::ffi::{c_char, c_int};

use super::WORD;

/// Copies `count` bytes, the first byte first.
///
/// # Safety
///
/// As for [`super::memmove`]. `to` does not point into the source behind its first byte.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub unsafe fn copy_forwards(to: *mut u8, from: *const u8, count: usize) {
    let mut at = 0;
    // SAFETY: the caller's contract, for all bytes before `count`.
    unsafe {
        while count - at >= WORD {
            to.add(at).cast::<u64>().write_unaligned(opaque(from.add(at).cast::<u64>().read_unaligned()));
            at += WORD;
        }
        while at < count {
            to.add(at).write(opaque(from.add(at).read().into()) as u8);
            at += 1;
        }
    }
}

/// Copies `left` bytes, the last byte first.
///
/// # Safety
///
/// As for [`super::memmove`]. `from` does not point into the target behind its first byte.
pub unsafe fn copy_backwards(to: *mut u8, from: *const u8, mut left: usize) {
    // SAFETY: the caller's contract, for all bytes before `left`.
    unsafe {
        while left >= WORD {
            left -= WORD;
            to.add(left).cast::<u64>().write_unaligned(opaque(from.add(left).cast::<u64>().read_unaligned()));
        }
        while left > 0 {
            left -= 1;
            to.add(left).write(opaque(from.add(left).read().into()) as u8);
        }
    }
}

/// Fills `count` bytes with the bytes of `word`, all of which are the same.
///
/// # Safety
///
/// As for [`super::memset`].
#[cfg(any(test, not(target_arch = "x86_64")))]
pub unsafe fn fill(to: *mut u8, word: u64, count: usize) {
    let mut at = 0;
    // SAFETY: the caller's contract, for all bytes before `count`.
    unsafe {
        while count - at >= WORD {
            to.add(at).cast::<u64>().write_unaligned(opaque(word));
            at += WORD;
        }
        while at < count {
            to.add(at).write(opaque(word) as u8);
            at += 1;
        }
    }
}

/// Compares `count` bytes; the first difference decides.
///
/// # Safety
///
/// As for [`super::memcmp`].
pub unsafe fn compare(a: *const u8, b: *const u8, count: usize) -> c_int {
    let mut at = 0;
    // SAFETY: the caller's contract, for all bytes before `count`.
    unsafe {
        let word = |of: *const u8, at| of.add(at).cast::<u64>().read_unaligned();
        while count - at >= WORD && opaque(word(a, at)) == word(b, at) {
            at += WORD;
        }
        while at < count {
            let (a, b) = (opaque(a.add(at).read().into()) as c_int, c_int::from(b.add(at).read()));
            if a != b {
                return a - b;
            }
            at += 1;
        }
    }
    0
}

/// The number of bytes before the NUL byte.
///
/// # Safety
///
/// As for [`super::strlen`].
pub unsafe fn length(text: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: the caller's contract, for all bytes up to the first NUL byte.
    while opaque(unsafe { text.add(length).read() } as u64) != 0 {
        length += 1;
    }
    length
}

/// Returns `word`. The compiler assumes that every call may return another value, so it can't move one out of a loop.
fn opaque(mut word: u64) -> u64 {
    // SAFETY: this is no instruction, only a comment of the assembler.
    unsafe { asm!("/* {} */", inout(reg) word, options(nomem, nostack, preserves_flags)) };
    word
}
