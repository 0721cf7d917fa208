//! memcpy, memmove, memset, memcmp, bcmp and strlen: the compiler calls them, and elsewhere a C library has them.
//!
//! x86_64 has instructions that copy and fill. Everything else is a loop, which every architecture has.

#![expect(unsafe_code, reason = "the C functions take raw pointers, and the linker finds them by their names")]

use core::ffi::{c_char, c_int};

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(not(target_arch = "x86_64"))]
use portable::{copy_forwards, fill};
#[cfg(target_arch = "x86_64")]
use x86_64::{copy_forwards, fill};

/// The bytes of a word.
const WORD: usize = size_of::<u64>();

/// # Safety
///
/// As for [`core::ptr::copy_nonoverlapping`].
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's contract.
    unsafe { copy_forwards(to, from, count) };
    to
}

/// # Safety
///
/// As for [`core::ptr::copy`].
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's contract. A copy forwards reads each byte before it writes there, unless the target begins
    // within the source; then a copy backwards does.
    unsafe {
        match to.addr().wrapping_sub(from.addr()) >= count {
            true => copy_forwards(to, from, count),
            false => portable::copy_backwards(to, from, count),
        }
    }
    to
}

/// # Safety
///
/// As for [`core::ptr::write_bytes`].
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn memset(to: *mut u8, byte: c_int, count: usize) -> *mut u8 {
    // SAFETY: the caller's contract.
    unsafe { fill(to, u64::from_ne_bytes([byte as u8; WORD]), count) };
    to
}

/// # Safety
///
/// `count` bytes can be read at both pointers.
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { portable::compare(a, b, count) }
}

/// # Safety
///
/// As for [`memcmp`].
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { portable::compare(a, b, count) }
}

/// # Safety
///
/// `text` ends with a NUL byte.
#[cfg_attr(feature = "bare", unsafe(no_mangle))]
pub unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    // SAFETY: the caller's contract.
    unsafe { portable::length(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;
    use std::vec::Vec;

    /// Bytes of which no two neighbours are the same.
    fn bytes() -> Vec<u8> {
        (0..80u8).map(|n| n.wrapping_mul(37) | 1).collect()
    }

    #[test]
    fn bytes_are_copied_at_every_offset_and_onto_themselves() {
        for (from, to, count) in
            (0..20).flat_map(|from| (0..20).flat_map(move |to| (0..40).map(move |n| (from, to, n))))
        {
            let (mut moved, mut copied, mut looped, mut expected) = (bytes(), bytes(), bytes(), bytes());
            expected.copy_within(from..from + count, to);
            // SAFETY: offsets below 20 and lengths below 40 stay within 80 bytes; memcpy reads another vector.
            unsafe {
                let start = moved.as_mut_ptr();
                assert_eq!(memmove(start.add(to), start.add(from), count), start.add(to));
                memcpy(copied.as_mut_ptr().add(to), bytes().as_ptr().add(from), count);
                portable::copy_forwards(looped.as_mut_ptr().add(to), bytes().as_ptr().add(from), count);
            }
            assert_eq!([moved, copied, looped], [&expected; 3].map(Clone::clone), "{from} {to} {count}");
        }
    }

    #[test]
    fn bytes_are_filled() {
        for (to, count) in (0..20).flat_map(|to| (0..40).map(move |count| (to, count))) {
            let (mut filled, mut looped, mut expected) = (bytes(), bytes(), bytes());
            expected[to..to + count].fill(0xa5);
            // SAFETY: offsets below 20 and lengths below 40 stay within 80 bytes.
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
                // SAFETY: offsets below 20 and lengths below 40 stay within 80 bytes.
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
            // SAFETY: all four are strings.
            assert_eq!(unsafe { strlen(text.as_ptr()) }, CStr::to_bytes(text).len());
        }
    }
}
