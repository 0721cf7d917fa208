//! Parameters of modules that are there already: compared with /sys/module/NAME/parameters, and written where they differ.
//!
//! A loader can do nothing else for a module that is built in, or that something loaded before, and none other tells.

extern crate alloc;

use alloc::vec::Vec;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{self, write};

use crate::failure::{Code, Failure};
use crate::guest::system::files::{open_directory, open_regular, read};
use crate::request::kernel::words::{Word, words};
use crate::request::name::underscore;
use crate::resolve::tree::module::Module;
use crate::text::Shown;

/// The longest value that sysfs shows, in bytes: a page of it.
const LONGEST: usize = 1 << 16;

/// Sets each parameter of `text`. One that can't be set goes to `refused`, which decides whether to go on.
///
/// Failure: [`Code::ParameterNotSet`].
pub fn adjust(
    module: &Module<'_>,
    text: &[u8],
    refused: &mut dyn FnMut(Failure) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let directory = open_directory(alloc::format!("/sys/module/{module}/parameters"));
    for word in words(text) {
        let done = directory.as_ref().map_err(|error| *error).and_then(|directory| set(directory, &word));
        if let Err(error) = done {
            let subject = alloc::format!("{module} {}", Shown(word.raw));
            refused(Failure::from_errno(Code::ParameterNotSet, subject, error, why(error)))?;
        }
    }
    Ok(())
}

fn why(error: io::Errno) -> &'static str {
    match error {
        io::Errno::NOENT => "the module is there already, and shows no such parameter",
        io::Errno::ACCESS | io::Errno::PERM => {
            "the module is there already with another value, and this one can't be changed"
        }
        _ => "the module is there already with another value, and refuses this one",
    }
}

fn set(directory: &OwnedFd, word: &Word<'_>) -> io::Result<()> {
    let name: Vec<u8> = word.name.iter().copied().map(underscore).collect();
    // A switch without a value is one that is turned on.
    let wanted = word.value.unwrap_or(b"1");
    // Some can be written and not read.
    let now = open_regular(directory, &name).and_then(|file| read(&file, LONGEST));
    if now.is_ok_and(|now| is_same(now.trim_ascii_end(), wanted)) {
        return Ok(());
    }
    let file = openat(directory, &name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write(&file, wanted).map(drop)
}

/// Whether sysfs shows the value that is wanted: the same text, switch or number.
fn is_same(shown: &[u8], wanted: &[u8]) -> bool {
    let switch = |text: &[u8]| match text {
        b"Y" | b"y" | b"1" | b"on" => Some(true),
        b"N" | b"n" | b"0" | b"off" => Some(false),
        _ => None,
    };
    let (switch, number) = (switch(shown).zip(switch(wanted)), number(shown).zip(number(wanted)));
    shown == wanted || switch.is_some_and(|(a, b)| a == b) || number.is_some_and(|(a, b)| a == b)
}

/// A number in any of the kernel's ways to write one (kstrtoull with base 0).
fn number(text: &[u8]) -> Option<i128> {
    let text = str::from_utf8(text).ok()?;
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None if digits.starts_with('0') => u64::from_str_radix(digits, 8),
        None => digits.parse(),
    };
    magnitude.ok().map(|magnitude| sign * i128::from(magnitude))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_as_the_kernel_means_them() {
        for (shown, wanted) in
            [("Y", "1"), ("N", "off"), ("255", "0xff"), ("8", "010"), ("-1", "-1"), ("a,b", "a,b"), ("", "")]
        {
            assert!(is_same(shown.as_bytes(), wanted.as_bytes()), "{shown} {wanted}");
        }
        for (shown, wanted) in [("Y", "0"), ("1", "2"), ("a", "b"), ("", "0"), ("010", "10")] {
            assert!(!is_same(shown.as_bytes(), wanted.as_bytes()), "{shown} {wanted}");
        }
    }
}
