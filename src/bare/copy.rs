//! What the compiler calls to copy, fill and compare memory, where no C library has it.
//!
//! x86 has instructions for it. Elsewhere it is a loop, through whose words the compiler does not see: it would make it a
//! call of the very function that it is in.

#![allow(unsafe_code)]

use core::arch::asm;
use core::ffi::{c_char, c_int};

const WORD: usize = size_of::<u64>();

/// # Safety
///
/// That of [`core::ptr::copy_nonoverlapping`].
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's.
    unsafe { copy_from_the_front(to, from, count) }
}

/// # Safety
///
/// As [`memmove`], and the target does not lie within the source.
unsafe fn copy_from_the_front(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, edx",
            "rep movsb",
            inout("rcx") count / WORD => _,
            in("edx") count % WORD,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
    // SAFETY: as above.
    #[cfg(not(target_arch = "x86_64"))]
    unsafe {
        portable::copy(to, from, count);
    }
    to
}

/// # Safety
///
/// That of [`core::ptr::copy`].
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's. A copy from the front reads each byte before it writes there, unless the target lies within the
    // source.
    unsafe {
        match to.addr().wrapping_sub(from.addr()) >= count {
            true => copy_from_the_front(to, from, count),
            false => copy_from_behind(to, from, count),
        }
    }
}

/// # Safety
///
/// As [`memmove`].
unsafe fn copy_from_behind(to: *mut u8, from: *const u8, mut left: usize) -> *mut u8 {
    // SAFETY: the caller's, for all bytes before `left`.
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
    to
}

/// # Safety
///
/// That of [`core::ptr::write_bytes`].
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn memset(to: *mut u8, byte: c_int, count: usize) -> *mut u8 {
    let word = u64::from_ne_bytes([byte as u8; WORD]);
    // SAFETY: the caller's.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "rep stosq",
            "mov ecx, edx",
            "rep stosb",
            inout("rcx") count / WORD => _,
            in("edx") count % WORD,
            inout("rdi") to => _,
            in("rax") word,
            options(nostack, preserves_flags),
        );
    }
    // SAFETY: as above.
    #[cfg(not(target_arch = "x86_64"))]
    unsafe {
        portable::fill(to, word, count);
    }
    to
}

/// # Safety
///
/// `count` bytes can be read at both.
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> c_int {
    let mut at = 0;
    // SAFETY: the caller's, for all bytes before `count`.
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

/// # Safety
///
/// That of [`memcmp`].
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> c_int {
    // SAFETY: the caller's.
    unsafe { memcmp(a, b, count) }
}

/// # Safety
///
/// `text` ends with a NUL byte.
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: the caller's, since no byte before the first NUL was one.
    while opaque(unsafe { text.add(length).read() } as u64) != 0 {
        length += 1;
    }
    length
}

/// The same word, of which the compiler knows nothing, each time anew: were it told that one is like the other, it would
/// take it out of the loop, and see what the rest is.
fn opaque(mut word: u64) -> u64 {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {} */", inout(reg) word, options(nomem, nostack, preserves_flags)) };
    word
}

/// The loops.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::{WORD, opaque};

    /// # Safety
    ///
    /// That of [`super::memcpy`].
    pub unsafe fn copy(to: *mut u8, from: *const u8, count: usize) {
        let mut at = 0;
        // SAFETY: the caller's, for all bytes before `count`.
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

    /// # Safety
    ///
    /// That of [`super::memset`].
    pub unsafe fn fill(to: *mut u8, word: u64, count: usize) {
        let mut at = 0;
        // SAFETY: the caller's, for all bytes before `count`.
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;
    use std::vec::Vec;

    /// Bytes none of which is like its neighbours.
    fn bytes() -> Vec<u8> {
        (0..80u8).map(|n| n.wrapping_mul(37) | 1).collect()
    }

    #[test]
    fn bytes_are_copied_from_and_to_everywhere_over_each_other_too() {
        for (from, to, count) in
            (0..20).flat_map(|from| (0..20).flat_map(move |to| (0..40).map(move |n| (from, to, n))))
        {
            let (mut moved, mut copied, mut looped, mut expected) = (bytes(), bytes(), bytes(), bytes());
            expected.copy_within(from..from + count, to);
            // SAFETY: 20 and 40 are within 80; the copy is from another vector.
            unsafe {
                let start = moved.as_mut_ptr();
                assert_eq!(memmove(start.add(to), start.add(from), count), start.add(to));
                memcpy(copied.as_mut_ptr().add(to), bytes().as_ptr().add(from), count);
                portable::copy(looped.as_mut_ptr().add(to), bytes().as_ptr().add(from), count);
            }
            assert_eq!([moved, copied, looped], [&expected; 3].map(Clone::clone), "{from} {to} {count}");
        }
    }

    #[test]
    fn bytes_are_filled() {
        for (to, count) in (0..20).flat_map(|to| (0..40).map(move |count| (to, count))) {
            let (mut filled, mut looped, mut expected) = (bytes(), bytes(), bytes());
            expected[to..to + count].fill(0xa5);
            // SAFETY: 20 and 40 are within 80.
            unsafe {
                memset(filled.as_mut_ptr().add(to), 0x1a5, count);
                portable::fill(looped.as_mut_ptr().add(to), 0xa5a5_a5a5_a5a5_a5a5, count);
            }
            assert_eq!([filled, looped], [&expected; 2].map(Clone::clone), "{to} {count}");
        }
    }

    #[test]
    fn the_first_difference_decides() {
        for (from, count) in (0..20).flat_map(|from| (0..40).map(move |count| (from, count))) {
            let a = &bytes()[from..];
            for place in 0..count + 1 {
                let mut b = a.to_vec();
                b[place] ^= 0x80;
                // SAFETY: 20 and 40 are within 80.
                let (order, same) =
                    unsafe { (memcmp(a.as_ptr(), b.as_ptr(), count), bcmp(a.as_ptr(), b.as_ptr(), count)) };
                assert_eq!(order.signum(), a[..count].cmp(&b[..count]) as c_int, "{from} {count} {place}");
                assert_eq!(same, order);
            }
        }
    }

    #[test]
    fn a_string_ends_at_its_first_nul() {
        for text in [c"", c"a", c"12345678", c"123456789"] {
            // SAFETY: they are strings.
            assert_eq!(unsafe { strlen(text.as_ptr()) }, CStr::to_bytes(text).len());
        }
    }
}
