//! Files of an initramfs that nobody needs any more. An initramfs is in memory, so removing a file frees its memory.

use core::ffi::CStr;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, fstatfs, readlink, stat, unlink, unlinkat};

use crate::guest::system::files::{Directory, open_directory};

/// The file system types of an initramfs, as statfs(2) returns them: ramfs and tmpfs (include/uapi/linux/magic.h).
const INITRAMFS: [u32; 2] = [0x8584_58f6, 0x0102_1994];
/// The places of the program that loads modules on demand. In an image without it, no module is loaded after
/// guest-init.
const MODPROBE: [&CStr; 2] = [c"/sbin/modprobe", c"/usr/sbin/modprobe"];

/// Whether the image has a modprobe, so that the kernel or the agent can load modules on demand.
pub fn has_modprobe() -> bool {
    MODPROBE.into_iter().any(is_program)
}

/// Whether the image has a modprobe at every path that a kernel may be built with.
pub fn has_modprobe_everywhere() -> bool {
    MODPROBE.into_iter().all(is_program)
}

/// The path of the image's modprobe, if that is guest-init.
pub fn own_modprobe() -> Option<&'static CStr> {
    let file = |path: &CStr| stat(path).map(|file| (file.st_dev, file.st_ino));
    let path = MODPROBE.into_iter().find(|path| is_program(path))?;
    (file(path).ok()? == file(c"/proc/self/exe").ok()?).then_some(path)
}

/// Whether a path leads to a program. stat(2) takes fewer instructions than access(2).
fn is_program(path: &CStr) -> bool {
    stat(path).is_ok_and(|file| file.st_mode & 0o111 != 0)
}

/// Whether a directory is in an initramfs.
pub fn is_initramfs(directory: impl AsFd) -> bool {
    fstatfs(directory).is_ok_and(|fs| INITRAMFS.contains(&(fs.f_type as u32)))
}

/// Whether the root is an initramfs.
pub fn root_is_initramfs() -> bool {
    open_directory(c"/").is_ok_and(is_initramfs)
}

/// Removes the file of a module that is loaded. A file that can't be removed stays.
pub fn remove_file(directory: &Directory, path: &[u8]) {
    let _ = unlinkat(directory, path, AtFlags::empty());
}

/// Removes guest-init's own file from an initramfs, unless the image has a modprobe, because that may be guest-init.
/// The memory is free after execve(2), when this process no longer runs the file.
pub fn remove_guest_init(keep: bool) {
    if keep || has_modprobe() || !root_is_initramfs() {
        return;
    }
    if let Ok(path) = readlink(c"/proc/self/exe", [0; 256]) {
        let _ = unlink(path);
    }
}
