//! The text of an errno. Its number and its name are [`crate::failure::IntoErrno`]'s.

use syscalls::Errno;

use crate::failure::IntoErrno;

/// The text that glibc has for an errno (strerror(3)). modprobe prints these texts.
pub fn strerror(errno: impl IntoErrno) -> &'static str {
    match errno.into_errno() {
        // For these errors the `syscalls` crate has the text of the kernel's headers, which differs from glibc's.
        Errno::EIO => "Input/output error",
        Errno::EBADF => "Bad file descriptor",
        Errno::EAGAIN => "Resource temporarily unavailable",
        Errno::ENOMEM => "Cannot allocate memory",
        Errno::EXDEV => "Invalid cross-device link",
        Errno::ENFILE => "Too many open files in system",
        Errno::ENOTTY => "Inappropriate ioctl for device",
        Errno::EDOM => "Numerical argument out of domain",
        Errno::ERANGE => "Numerical result out of range",
        Errno::EDEADLK => "Resource deadlock avoided",
        Errno::ENOLCK => "No locks available",
        Errno::ENOSYS => "Function not implemented",
        Errno::ELOOP => "Too many levels of symbolic links",
        Errno::EBADMSG => "Bad message",
        Errno::EILSEQ => "Invalid or incomplete multibyte or wide character",
        Errno::EOPNOTSUPP => "Operation not supported",
        Errno::ENETRESET => "Network dropped connection on reset",
        Errno::EDQUOT => "Disk quota exceeded",
        Errno::ECANCELED => "Operation canceled",
        errno => errno.description().unwrap_or("Unknown error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;
    use std::string::ToString;

    #[test]
    fn the_texts_are_the_c_librarys() {
        for number in 1..=133 {
            let theirs = Error::from_raw_os_error(number).to_string();
            let (theirs, _) = theirs.split_once(" (os error").expect("std's form");
            assert_eq!(strerror(Errno::new(number)), theirs.trim_end_matches(char::is_numeric).trim_end());
        }
    }
}
