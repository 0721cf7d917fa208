//! How guest-init was started: as PID 1, or by someone who wants to know what it is.

use core::ffi::{CStr, c_char};

/// The environment that the kernel gave PID 1, passed on to the agent as it is.
#[derive(Clone, Copy, Debug)]
pub struct Environment(*const *const c_char);

impl Environment {
    /// # Safety
    ///
    /// `environment` is what the C start-up hands to main: an array of strings that ends with a null pointer, which
    /// nobody changes while the process lives.
    #[allow(unsafe_code)]
    pub const unsafe fn new(environment: *const *const c_char) -> Self {
        Self(environment)
    }

    /// The strings, `NAME=value` each.
    #[allow(unsafe_code)]
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

/// Whether this process is the init of its VM.
pub fn is_init() -> bool {
    rustix::process::getpid() == rustix::process::Pid::INIT
}
