//! How guest-init was started: as PID 1, as modprobe, or by someone who wants to know what it is.

use core::ffi::{CStr, c_char};

/// The arguments or the environment, as the kernel gave them to this process.
#[derive(Clone, Copy, Debug)]
pub struct Strings(*const *const c_char);

impl Strings {
    /// # Safety
    ///
    /// `strings` is what the kernel leaves a program and main is given: an array of strings that ends with a null pointer, which
    /// nobody changes while the process lives.
    #[expect(unsafe_code, reason = "the kernel hands over raw pointers")]
    pub const unsafe fn new(strings: *const *const c_char) -> Self {
        Self(strings)
    }

    /// The array itself, as execve(2) takes it.
    pub const fn as_ptr(self) -> *const *const c_char {
        self.0
    }

    /// The name that the program was called by, without its directory.
    pub fn program(self) -> &'static [u8] {
        let path = self.strings().next().map_or(&b""[..], CStr::to_bytes);
        path.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// The strings, in order.
    #[expect(unsafe_code, reason = "the kernel hands over raw pointers")]
    pub fn strings(self) -> impl Iterator<Item = &'static CStr> {
        (0..).map_while(move |n| {
            // SAFETY: by the contract of `new`, every pointer up to the null pointer is a string that lives for ever,
            // and iteration ends at the null pointer.
            unsafe {
                let string = *self.0.add(n);
                (!string.is_null()).then(|| CStr::from_ptr(string))
            }
        })
    }
}
