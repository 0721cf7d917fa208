//! Files and directories: of the image, of a share or a disk, and of the kernel's own file systems.
//!
//! No open waits for another process, and every read is bounded. The host can change a share or a disk at any time. So
//! no path of one leads out of it, and no file of one is mapped: if the host truncates a mapped file, or a block of it
//! can't be read, an access to it raises SIGBUS.
//!
//! A share or a disk has a root of its own, and so has an image that `guest-image` looks into on the host: absolute
//! paths, absolute links and `..` stay below it, as if it were `/` (RESOLVE_IN_ROOT of openat2(2), Linux 5.6).

extern crate alloc;

use alloc::borrow::Cow;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Advice, Dir, FileType, Mode, OFlags, ResolveFlags, fadvise, fstat, openat, openat2};
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::path::Arg;

use crate::guest::system::errno::strerror;

/// The flags to open a directory.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The flags to open a regular file. O_NONBLOCK, because without it the open of a FIFO in the file's place waits for a
/// writer (fifo(7)). It has no effect on a regular file.
const REGULAR: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// How often a path is tried. While anything on this machine is renamed, the kernel may be unable to tell whether `..`
/// stays within the bounds (EAGAIN in openat2(2)).
const MOST_TRIES: u32 = 64;

/// An open directory of the image, of a share or of a disk.
#[derive(Clone, Debug)]
pub struct Directory {
    fd: Arc<OwnedFd>,
    /// `None`: the root of this process is the root.
    within: Option<Within>,
}

/// The root that a directory and its links stay below.
#[derive(Clone, Debug)]
struct Within {
    root: Arc<OwnedFd>,
    /// The path of the directory below the root.
    path: Vec<u8>,
    /// Whether the root is that of a share or of a disk.
    is_mount: bool,
}

impl Directory {
    /// Opens a directory of the image.
    pub fn open(path: impl Arg) -> io::Result<Self> {
        Ok(Self { fd: open_directory(path)?.into(), within: None })
    }

    /// Takes the root of a share or of a disk.
    pub fn of_mount(fd: OwnedFd) -> Self {
        Self::at_root(fd, true)
    }

    /// Takes the root of an image, which is a directory of this host.
    pub fn of_image(fd: OwnedFd) -> Self {
        Self::at_root(fd, false)
    }

    fn at_root(fd: OwnedFd, is_mount: bool) -> Self {
        let root = Arc::new(fd);
        Self { fd: root.clone(), within: Some(Within { root, path: Vec::new(), is_mount }) }
    }

    /// Opens a directory below this one.
    ///
    /// Error: EXDEV, if the path leads out of the share or the disk ([`why_not_opened`]).
    pub fn directory(&self, path: impl Arg) -> io::Result<Self> {
        let path = path.as_cow_c_str()?;
        let fd = self.open_below(&path, DIRECTORY)?.into();
        let within = self.within.as_ref().map(|within| Within { path: within.join(path.to_bytes()), ..within.clone() });
        Ok(Self { fd, within })
    }

    /// Opens a regular file below this directory. A FIFO, a socket or a device in its place is an error at once.
    ///
    /// Error: EXDEV, if the path leads out of the share or the disk ([`why_not_opened`]).
    pub fn regular(&self, path: impl Arg) -> io::Result<File> {
        let path = path.as_cow_c_str()?;
        let fd = match self.open_below(&path, REGULAR) {
            // A share or a disk is mounted with `nodev`, so opening a device of it is EACCES. If the file is a device,
            // return the error that says so.
            Err(Errno::ACCESS) => {
                only_regular(self.open_below(&path, OFlags::PATH | OFlags::CLOEXEC)?).and(Err(Errno::ACCESS))
            }
            fd => only_regular(fd?),
        };
        Ok(File { fd: fd?, is_mapped: self.within.as_ref().is_none_or(|within| !within.is_mount) })
    }

    /// The names in this directory, in order, without `.` and `..`.
    pub fn file_names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(self)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..")
                && let Err(position) = names.binary_search_by(|other: &Vec<u8>| other.as_slice().cmp(name))
            {
                names.insert(position, name.to_vec());
            }
        }
        Ok(names)
    }

    /// The names in this directory that are UTF-8, in order, without `.` and `..`.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for name in self.file_names()? {
            names.extend(String::from_utf8(name));
        }
        Ok(names)
    }

    /// Opens a path below this directory.
    fn open_below(&self, path: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
        let Some(within) = &self.within else { return openat(self, path, flags, Mode::empty()) };
        // Most paths stay below the directory. The root is not asked for those, because each part of a path may be a
        // request to the host.
        match open_resolved(self.as_fd(), path, flags, ResolveFlags::BENEATH) {
            Err(Errno::XDEV) => within.open(path, flags),
            result => result,
        }
    }
}

impl Within {
    /// Opens a path that may lead out of the directory.
    fn open(&self, path: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
        let path = CString::new(self.join(path.to_bytes())).map_err(|_| Errno::INVAL)?;
        match open_resolved(self.root.as_fd(), &path, flags, ResolveFlags::IN_ROOT) {
            // The link names a file outside, and such a file may well exist there.
            Err(Errno::NOENT) if self.is_mount => Err(Errno::XDEV),
            result => result,
        }
    }

    /// The path below the root of a path that begins in the directory.
    fn join(&self, path: &[u8]) -> Vec<u8> {
        if path.starts_with(b"/") { path.to_vec() } else { [&self.path, &b"/"[..], path].concat() }
    }
}

/// Opens a path with bounds. Links of /proc, which lead anywhere, are not followed.
fn open_resolved(directory: BorrowedFd<'_>, path: &CStr, flags: OFlags, bounds: ResolveFlags) -> io::Result<OwnedFd> {
    let mut tries = MOST_TRIES;
    loop {
        tries -= 1;
        match openat2(directory, path, flags, Mode::empty(), bounds | ResolveFlags::NO_MAGICLINKS) {
            Err(Errno::AGAIN) if tries > 0 => {}
            result => return result,
        }
    }
}

/// The reason for which a path can't be opened, in words.
pub fn why_not_opened(error: Errno) -> &'static str {
    match error {
        Errno::XDEV => "its path, or a symbolic link in it, leads out of the share or the disk",
        other => strerror(other),
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
    /// Whether the file's bytes are mapped. If not, they are read.
    is_mapped: bool,
}

impl File {
    /// The bytes of the file. A file of the image is mapped. Any other file is read; if it has more than `most` bytes,
    /// the error is EFBIG.
    pub fn contents(&self, most: usize) -> io::Result<Cow<'static, [u8]>> {
        match self.is_mapped {
            true => map(&self.fd).map(Cow::Borrowed),
            false => read(&self.fd, most).map(Cow::Owned),
        }
    }

    /// Has the kernel begin to read a file that is not of the image before its bytes are needed (posix_fadvise(2)). An
    /// error has no effect.
    pub fn read_ahead(&self) {
        if !self.is_mapped {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A root with links of every kind, and a directory below it.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = |path: &str| root.path().join(path);
        fs::create_dir_all(path("usr/lib/modules/1")).unwrap();
        fs::create_dir(path("store")).unwrap();
        fs::write(path("store/a.ko"), "a").unwrap();
        let links = [
            ("/usr/lib", "lib"),
            ("/store/a.ko", "usr/lib/modules/1/absolute.ko"),
            ("../../../../store/a.ko", "usr/lib/modules/1/relative.ko"),
            ("../../../../../../../store/a.ko", "usr/lib/modules/1/above.ko"),
            // This file is on every host.
            ("/proc/self/exe", "usr/lib/modules/1/host.ko"),
        ];
        links.iter().for_each(|(target, link)| symlink(target, path(link)).unwrap());
        root
    }

    fn results(root: Directory) -> [io::Result<Vec<u8>>; 5] {
        let tree = root.directory("lib/modules").and_then(|modules| modules.directory("1")).unwrap();
        ["absolute.ko", "relative.ko", "above.ko", "/store/a.ko", "host.ko"]
            .map(|path| tree.regular(path).and_then(|file| read(file, 9)))
    }

    #[test]
    fn absolute_paths_and_links_resolve_below_the_root_of_an_image() {
        let root = root();
        let [found @ .., host] = results(Directory::of_image(open_directory(root.path()).unwrap()));
        assert!(found.iter().all(|content| content.as_deref() == Ok(b"a")), "{found:?}");
        assert_eq!(host, Err(Errno::NOENT));
    }

    #[test]
    fn on_a_share_a_path_to_nothing_leads_out_of_the_share() {
        let root = root();
        let share = Directory::of_mount(open_directory(root.path()).unwrap());
        let missing = share.directory("lib/modules/1").and_then(|tree| tree.regular("missing.ko").map(drop));
        let [found @ .., host] = results(share);
        assert!(found.iter().all(|content| content.as_deref() == Ok(b"a")), "{found:?}");
        assert_eq!((host, missing), (Err(Errno::XDEV), Err(Errno::NOENT)));
    }
}
