//! /sys/module: the state of a module, its parameters, and the compression that the kernel knows.
//!
//! Parameters of a module that is built in or loaded already are compared with /sys/module/NAME/parameters, and written
//! if they differ (MODPROBE.md 12.8).

extern crate alloc;

use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, openat, stat};
use rustix::io::{self, write};

use crate::failure::{Code, Failure};
use crate::guest::modules::unpack::Format;
use crate::guest::system::files::{open_directory, open_regular, read, read_path};
use crate::request::kernel::words::{Word, words};
use crate::request::name::underscore;
use crate::resolve::tree::module::Module;
use crate::text::Shown;

/// The longest value of a parameter that sysfs shows, in bytes: the largest page.
const LONGEST_VALUE: usize = 1 << 16;

/// Whether a module of this name is in the kernel, and its init function has returned (MODPROBE.md 10.2).
pub fn is_live(module: &Module<'_>) -> bool {
    const LONGEST: usize = 64;
    let path = CString::new(format!("/sys/module/{module}/initstate"));
    path.is_ok_and(|path| read_path(&path, LONGEST).is_ok_and(|state| state == b"live\n"))
}

/// Whether a module of this name is in the kernel, in whatever state.
pub fn is_present(module: &Module<'_>) -> bool {
    stat(format!("/sys/module/{module}/initstate")).is_ok()
}

/// The one format that the kernel decompresses modules of itself. `None`: there is none (MODPROBE.md 11.2).
pub fn kernel_format() -> Option<Format> {
    const LONGEST: usize = 4096;
    let name = read_path(c"/sys/module/compression", LONGEST).ok()?;
    Format::ALL.into_iter().find(|format| format.name().as_bytes() == name.trim_ascii())
}

/// Gives a module that is in the kernel the parameters of `text`. If a parameter can't be set, `refused` decides
/// whether the others are still set.
///
/// Failure: [`Code::ParameterNotSet`].
pub fn set_parameters(
    module: &Module<'_>,
    text: &[u8],
    refused: &mut dyn FnMut(Failure) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let directory = open_directory(format!("/sys/module/{module}/parameters"));
    for word in words(text) {
        let result = directory.as_ref().map_err(|error| *error).and_then(|directory| set(directory, &word));
        if let Err(error) = result {
            let subject = format!("{module} {}", Shown(word.raw));
            refused(Failure::from_errno(Code::ParameterNotSet, subject, error, why_not_set(error)))?;
        }
    }
    Ok(())
}

/// The reason of [`Code::ParameterNotSet`].
fn why_not_set(error: io::Errno) -> &'static str {
    match error {
        io::Errno::NOENT => "the module is there already, and shows no such parameter",
        io::Errno::ACCESS | io::Errno::PERM => {
            "the module is there already with another value, and this one can't be changed"
        }
        _ => "the module is there already with another value, and refuses this one",
    }
}

/// Sets a parameter, unless it has the value already.
fn set(directory: &OwnedFd, word: &Word<'_>) -> io::Result<()> {
    let name: Vec<u8> = word.name.iter().copied().map(underscore).collect();
    // A parameter without a value is a switch that is turned on (param_set_bool in kernel/params.c).
    let wanted = word.value.unwrap_or(b"1");
    // A parameter that can be written but not read is written.
    let now = open_regular(directory, &name).and_then(|file| read(&file, LONGEST_VALUE));
    if now.is_ok_and(|now| is_same(now.trim_ascii_end(), wanted)) {
        return Ok(());
    }
    let file = openat(directory, &name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write(&file, wanted).map(drop)
}

/// Whether the value that sysfs shows is the wanted one: the same text, switch or number.
fn is_same(shown: &[u8], wanted: &[u8]) -> bool {
    let switch = |text: &[u8]| match text {
        b"Y" | b"y" | b"1" | b"on" => Some(true),
        b"N" | b"n" | b"0" | b"off" => Some(false),
        _ => None,
    };
    let (switch, number) = (switch(shown).zip(switch(wanted)), number(shown).zip(number(wanted)));
    shown == wanted || switch.is_some_and(|(a, b)| a == b) || number.is_some_and(|(a, b)| a == b)
}

/// A number as the kernel reads it: decimal, hexadecimal or octal (kstrtoull with base 0, lib/kstrtox.c).
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
