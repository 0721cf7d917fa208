//! Memory of an initramfs, given back: its files are nothing but memory, and of some nobody has any more use.

use rustix::fd::AsFd;

use rustix::fs::{Access, AtFlags, access, fstatfs, readlink, unlink, unlinkat};

use crate::guest::system::files::{Directory, open_directory};

/// What statfs(2) says of an initramfs: ramfs or tmpfs (linux/magic.h).
const INITRAMFS: [u32; 2] = [0x8584_58f6, 0x0102_1994];
/// What asks for modules on demand; where there is none, nobody does.
const MODPROBE: &str = "/sbin/modprobe";

/// Whether modules may be asked for once the agent runs.
pub fn has_modprobe() -> bool {
    access(MODPROBE, Access::EXEC_OK).is_ok()
}

/// Whether a directory lies in an initramfs.
pub fn is_initramfs(directory: impl AsFd) -> bool {
    fstatfs(directory).is_ok_and(|fs| INITRAMFS.contains(&(fs.f_type as u32)))
}

/// Whether the root is one.
pub fn root_is_initramfs() -> bool {
    open_directory(c"/").is_ok_and(is_initramfs)
}

/// Removes the file of a module that is loaded. One that can't be removed stays.
pub fn remove_file(directory: &Directory, path: &[u8]) {
    let _ = unlinkat(directory, path, AtFlags::empty());
}

/// Removes guest-init itself where nobody will call it as modprobe. The process keeps it until it is the agent.
pub fn remove_self(keep: bool) {
    if keep || has_modprobe() || !root_is_initramfs() {
        return;
    }
    if let Ok(path) = readlink(c"/proc/self/exe", [0; 256]) {
        let _ = unlink(path);
    }
}
