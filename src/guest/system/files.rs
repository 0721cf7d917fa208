//! Files and directories: of the image, of a share, and of the kernel's own file systems.
//!
//! No open waits for another process, and every read is bounded. The host can change a share at any time. So no path of
//! a share leads out of it, and no file of a share is mapped: if the host truncates a mapped file, an access to it
//! raises SIGBUS.

extern crate alloc;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Advice, FileType, Mode, OFlags, ResolveFlags, fadvise, fstat, openat, openat2};
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::path::Arg;

/// The flags to open a directory.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The flags to open a regular file. O_NONBLOCK, because without it the open of a FIFO in the file's place waits for a
/// writer (fifo(7)). It has no effect on a regular file.
const REGULAR: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// An open directory of the image or of a share.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    on_share: bool,
}

impl Directory {
    /// Opens a directory of the image.
    pub fn open(path: impl Arg) -> io::Result<Self> {
        Ok(Self { fd: open_directory(path)?, on_share: false })
    }

    /// Takes the root of a share.
    pub const fn on_share(fd: OwnedFd) -> Self {
        Self { fd, on_share: true }
    }

    /// Opens a directory below this one. On a share, a path that leads out of this directory is EXDEV.
    pub fn directory(&self, path: impl Arg) -> io::Result<Self> {
        Ok(Self { fd: self.open_below(path, DIRECTORY)?, on_share: self.on_share })
    }

    /// Opens a regular file below this directory. A FIFO, a socket or a device in its place is an error at once. On a
    /// share, a path that leads out of this directory is EXDEV.
    pub fn regular(&self, path: impl Arg) -> io::Result<File> {
        let path = path.as_cow_c_str()?;
        let fd = match self.open_below(&*path, REGULAR) {
            // A share is mounted with `nodev`, so opening a device of a share is EACCES. If the file is a device,
            // return the error that says so.
            Err(Errno::ACCESS) => {
                only_regular(self.open_below(&*path, OFlags::PATH | OFlags::CLOEXEC)?).and(Err(Errno::ACCESS))
            }
            fd => only_regular(fd?),
        };
        Ok(File { fd: fd?, on_share: self.on_share })
    }

    /// Opens a path below this directory.
    fn open_below(&self, path: impl Arg, flags: OFlags) -> io::Result<OwnedFd> {
        if !self.on_share {
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
    on_share: bool,
}

impl File {
    /// The bytes of the file. A file of the image is mapped. A file of a share is read; if it has more than `most`
    /// bytes, the error is EFBIG.
    pub fn contents(&self, most: usize) -> io::Result<Cow<'static, [u8]>> {
        match self.on_share {
            true => read(&self.fd, most).map(Cow::Owned),
            false => map(&self.fd).map(Cow::Borrowed),
        }
    }

    /// Has the kernel begin to read a file of a share before its bytes are needed (posix_fadvise(2)). An error has no
    /// effect.
    pub fn read_ahead(&self) {
        if self.on_share {
            let _ = fadvise(&self.fd, 0, None, Advice::WillNeed);
        }
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens a regular file below a directory of the image. A FIFO, a socket or a device in its place is an error at once.
pub fn open_regular(dir: &OwnedFd, path: impl Arg) -> io::Result<OwnedFd> {
    only_regular(openat(dir, path, REGULAR, Mode::empty())?)
}

/// Returns a file if it is regular. Errors: EISDIR for a directory, EINVAL for any other file.
fn only_regular(file: OwnedFd) -> io::Result<OwnedFd> {
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::INVAL),
    }
}

/// Opens a directory of the image.
pub fn open_directory(path: impl Arg) -> io::Result<OwnedFd> {
    rustix::fs::open(path, DIRECTORY, Mode::empty())
}

/// Reads a whole file. If it has more than `most` bytes, the error is EFBIG. The size in stat(2) is not asked for,
/// because it is 0 for files of /proc.
pub fn read(file: impl AsFd, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Most files are short. Read through the stack, a file takes no more of the heap than its own size.
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

/// Opens and reads a whole file of /proc or /sys. If it has more than `most` bytes, the error is EFBIG.
pub fn read_path(path: &CStr, most: usize) -> io::Result<Vec<u8>> {
    read(&rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, most)
}

/// Reads the beginning of a file of /proc or /sys. If it can't be read, the result is empty. The function does not use
/// the heap, so that the report of a crash can call it.
pub fn read_head<'a>(path: &CStr, buffer: &'a mut [u8]) -> &'a [u8] {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty());
    let count = file.and_then(|file| io::read(file, &mut *buffer)).unwrap_or(0);
    buffer.get(..count).unwrap_or_default()
}

/// Maps a whole file for as long as the process lives (mmap(2)). The result of an empty file is empty.
///
/// Whoever truncates the file later ends this process by SIGBUS. Until the agent runs, no other process can write to
/// the files of an image.
#[expect(unsafe_code, reason = "a mapping is raw memory")]
pub fn map(file: &OwnedFd) -> io::Result<&'static [u8]> {
    let length = usize::try_from(fstat(file)?.st_size).map_err(|_| Errno::FBIG)?;
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: the kernel chooses a free address for the mapping, so the mapping aliases nothing. It is never unmapped,
    // and its `length` bytes are readable unless the file is truncated, for which see above.
    unsafe {
        let start = mmap(core::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)?;
        Ok(core::slice::from_raw_parts(start.cast(), length))
    }
}
