//! Files from outside: opened once, bounded, and never one that can make a reader wait.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::vec::Vec;

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::path::Arg;

extern crate std;

/// Opens a regular file below `dir`; a FIFO or device in its place is EINVAL, at once.
pub fn open_regular(dir: &OwnedFd, path: impl Arg) -> io::Result<OwnedFd> {
    // O_NONBLOCK: an open of a FIFO would wait for its other end. To a regular file it means nothing.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat(dir, path, flags, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::INVAL),
    }
}

/// Opens a directory by its path.
pub fn open_directory(path: impl Arg) -> io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Reads a file to its end; more than `most` bytes are EFBIG. Files of /proc have no size, so the end alone counts.
pub fn read(file: &OwnedFd, most: usize) -> io::Result<Vec<u8>> {
    const STEP: usize = 4096;
    let mut bytes = Vec::new();
    loop {
        let end = bytes.len();
        bytes.resize(end + STEP, 0);
        let count = io::retry_on_intr(|| io::read(file, bytes.get_mut(end..).unwrap_or_default()))?;
        bytes.truncate(end + count);
        match () {
            () if bytes.len() > most => return Err(Errno::FBIG),
            () if count == 0 => return Ok(bytes),
            () => {}
        }
    }
}

/// Opens and reads a small file of the kernel's, such as those of /proc.
pub fn read_path(path: &CStr, most: usize) -> io::Result<Vec<u8>> {
    read(&rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, most)
}

/// A file's bytes where they lie in the page cache, for as long as the process lives.
///
/// An empty file is the empty slice. Someone who can cut the file short can end this process by SIGBUS; nobody can
/// in an initramfs that only PID 1 knows yet.
#[allow(unsafe_code)]
pub fn map(file: &OwnedFd) -> io::Result<&'static [u8]> {
    let length = usize::try_from(fstat(file)?.st_size).map_err(|_| Errno::FBIG)?;
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: a new private mapping of the kernel's choosing aliases nothing, it is never unmapped, and `length` bytes
    // of it are readable as long as the file is not cut short, for which see above.
    unsafe {
        let start = mmap(core::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)?;
        Ok(core::slice::from_raw_parts(start.cast(), length))
    }
}
