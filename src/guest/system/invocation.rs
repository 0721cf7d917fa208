//! The arguments and the environment that this process was started with.

use core::ffi::{CStr, c_char};

/// The arguments or the environment, where the kernel put them: on the first thread's stack.
#[derive(Clone, Copy, Debug)]
pub struct Strings(*const *const c_char);

impl Strings {
    /// Takes an array of strings as main gets it.
    ///
    /// # Safety
    ///
    /// `strings` points to an array of pointers to strings. The array ends with a null pointer, and nobody changes it
    /// or a string while the process lives.
    #[expect(unsafe_code, reason = "the kernel hands over raw pointers")]
    pub const unsafe fn new(strings: *const *const c_char) -> Self {
        Self(strings)
    }

    /// The array, as execve(2) takes it.
    pub const fn as_ptr(self) -> *const *const c_char {
        self.0
    }

    /// The name of the program, without its directory: the first of the arguments.
    pub fn program(self) -> &'static [u8] {
        let path = self.strings().next().map_or(&b""[..], CStr::to_bytes);
        path.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// The strings, in order.
    #[expect(unsafe_code, reason = "the kernel hands over raw pointers")]
    pub fn strings(self) -> impl Iterator<Item = &'static CStr> {
        (0..).map_while(move |n| {
            // SAFETY: by the contract of `new`, every pointer before the null pointer is a string that lives as long as
            // the process, and the iteration ends at the null pointer.
            unsafe {
                let string = *self.0.add(n);
                (!string.is_null()).then(|| CStr::from_ptr(string))
            }
        })
    }
}
