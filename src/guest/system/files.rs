//! Files from outside: opened once, bounded, and never one that can make a reader wait.
//!
//! What is the host's is trusted with nothing: no path leaves the share, and nothing is mapped that the host could cut short.

extern crate alloc;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Advice, FileType, Mode, OFlags, ResolveFlags, fadvise, fstat, openat, openat2};
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::path::Arg;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// O_NONBLOCK: an open of a FIFO would wait for its other end. To a regular file it means nothing.
const REGULAR: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// An open directory: of the image, or on a share of the host's.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    of_host: bool,
}

impl Directory {
    /// One of the image.
    pub fn open(path: impl Arg) -> io::Result<Self> {
        Ok(Self { fd: open_directory(path)?, of_host: false })
    }

    /// The root of a share.
    pub const fn of_host(fd: OwnedFd) -> Self {
        Self { fd, of_host: true }
    }

    /// A directory below. On a share, EXDEV for a path that leads out of this one.
    pub fn directory(&self, path: impl Arg) -> io::Result<Self> {
        Ok(Self { fd: self.open_below(path, DIRECTORY)?, of_host: self.of_host })
    }

    /// A regular file below; a FIFO or device in its place is EINVAL, at once. On a share, EXDEV as above.
    pub fn regular(&self, path: impl Arg) -> io::Result<File> {
        let path = path.as_cow_c_str()?;
        let fd = match self.open_below(&*path, REGULAR) {
            // What a device gives on a share.
            Err(Errno::ACCESS) => {
                only_regular(self.open_below(&*path, OFlags::PATH | OFlags::CLOEXEC)?).and(Err(Errno::ACCESS))
            }
            fd => only_regular(fd?),
        };
        Ok(File { fd: fd?, of_host: self.of_host })
    }

    fn open_below(&self, path: impl Arg, flags: OFlags) -> io::Result<OwnedFd> {
        if !self.of_host {
            return openat(&self.fd, path, flags, Mode::empty());
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.fd, path, flags, Mode::empty(), resolve)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An open regular file below a [`Directory`].
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    of_host: bool,
}

impl File {
    /// Its bytes: mapped, or if it is the host's, read. More than `most` bytes of the host's are EFBIG.
    pub fn contents(&self, most: usize) -> io::Result<Cow<'static, [u8]>> {
        match self.of_host {
            true => read(&self.fd, most).map(Cow::Owned),
            false => map(&self.fd).map(Cow::Borrowed),
        }
    }
}

impl File {
    /// Has the host's bytes on their way before they are needed; the image's are there. A hint, and no more than that.
    pub fn read_ahead(&self) {
        if self.of_host {
            let _ = fadvise(&self.fd, 0, None, Advice::WillNeed);
        }
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens a regular file below `dir`; a FIFO or device in its place is EINVAL, at once.
pub fn open_regular(dir: &OwnedFd, path: impl Arg) -> io::Result<OwnedFd> {
    only_regular(openat(dir, path, REGULAR, Mode::empty())?)
}

fn only_regular(file: OwnedFd) -> io::Result<OwnedFd> {
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::INVAL),
    }
}

/// Opens a directory by its path.
pub fn open_directory(path: impl Arg) -> io::Result<OwnedFd> {
    rustix::fs::open(path, DIRECTORY, Mode::empty())
}

/// Reads a file from its start to its end; more than `most` bytes are EFBIG. Files of /proc have no size, so the end alone counts.
pub fn read(file: impl AsFd, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Most files are short: their bytes come by way of the stack, and take no more of the heap than they are.
    let mut step = [0; 4096];
    loop {
        let count = io::retry_on_intr(|| io::pread(&file, &mut step, bytes.len() as u64))?;
        bytes.extend_from_slice(step.get(..count).unwrap_or_default());
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

/// The first bytes of a small file of the kernel's, none if it can't be read. Takes no memory from the heap, and never waits:
/// a crash may call it.
pub fn head<'a>(path: &CStr, buffer: &'a mut [u8]) -> &'a [u8] {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty());
    let count = file.and_then(|file| io::read(file, &mut *buffer)).unwrap_or(0);
    buffer.get(..count).unwrap_or_default()
}

/// A file's bytes where they lie in the page cache, for as long as the process lives.
///
/// An empty file is the empty slice. Someone who can cut the file short can end this process by SIGBUS; nobody can
/// in an initramfs that only PID 1 knows yet.
#[expect(unsafe_code, reason = "a mapping is raw memory")]
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
