//! Detached mounts, for shares, disks and roots (fsmount(2)): no path leads to one, only its descriptor.

extern crate alloc;

use core::fmt;

use rustix::fd::OwnedFd;
use rustix::fs::mkdir;
use rustix::io;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::guest::system::errno::strerror;
use crate::text::{Shown, Text};

/// A mount that the kernel refused.
#[derive(Debug)]
pub struct Refusal {
    /// The error of the system call.
    pub error: io::Errno,
    /// The kernel's own words on it. Empty: it has none, as for most refusals.
    pub message: Text<256>,
}

/// An option of mount(8) that is an attribute of the mount: the attributes that it sets, and those that it clears.
type Attribute = (&'static [u8], MountAttrFlags, MountAttrFlags);

/// Options of mount(8) that no file system knows, because they are attributes of the mount. Options that are of the
/// superblock, such as `sync` or `lazytime`, are not here: fsconfig(2) takes them for every file system.
const ATTRIBUTES: [Attribute; 14] = [
    (b"defaults", NONE, NONE),
    (b"nosuid", MountAttrFlags::MOUNT_ATTR_NOSUID, NONE),
    (b"suid", NONE, MountAttrFlags::MOUNT_ATTR_NOSUID),
    (b"nodev", MountAttrFlags::MOUNT_ATTR_NODEV, NONE),
    (b"dev", NONE, MountAttrFlags::MOUNT_ATTR_NODEV),
    (b"noexec", MountAttrFlags::MOUNT_ATTR_NOEXEC, NONE),
    (b"exec", NONE, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    (b"relatime", MountAttrFlags::MOUNT_ATTR_RELATIME, MountAttrFlags::MOUNT_ATTR__ATIME),
    (b"noatime", MountAttrFlags::MOUNT_ATTR_NOATIME, MountAttrFlags::MOUNT_ATTR__ATIME),
    (b"strictatime", MountAttrFlags::MOUNT_ATTR_STRICTATIME, MountAttrFlags::MOUNT_ATTR__ATIME),
    (b"atime", NONE, MountAttrFlags::MOUNT_ATTR__ATIME),
    (b"nodiratime", MountAttrFlags::MOUNT_ATTR_NODIRATIME, NONE),
    (b"diratime", NONE, MountAttrFlags::MOUNT_ATTR_NODIRATIME),
    (b"nosymfollow", MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, NONE),
];
const NONE: MountAttrFlags = MountAttrFlags::empty();

/// Makes a detached mount of `source`. `options` are options of mount(8), separated by commas: attributes of the mount,
/// which are added to `attributes`, and options of the file system.
pub fn mount_detached(
    fs_type: &[u8],
    source: &[u8],
    options: &[u8],
    mut attributes: MountAttrFlags,
) -> Result<OwnedFd, Refusal> {
    let context = fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|error| Refusal::new(error, &[]))?;
    let mut make = || {
        fsconfig_set_string(&context, "source", source)?;
        for option in options.split(|&b| b == b',').filter(|option| !option.is_empty()) {
            if let Some((_, set, clear)) = ATTRIBUTES.iter().find(|(name, ..)| *name == option) {
                attributes = attributes.difference(*clear).union(*set);
                continue;
            }
            let mut parts = option.splitn(2, |&b| b == b'=');
            match (parts.next().unwrap_or_default(), parts.next()) {
                (name, Some(value)) => fsconfig_set_string(&context, name, value)?,
                (name, None) => fsconfig_set_flag(&context, name)?,
            }
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().map_err(|error| {
        let mut message = [0; 256];
        let length = io::read(&context, &mut message).unwrap_or(0);
        Refusal::new(error, message.get(..length).unwrap_or_default())
    })
}

/// Makes a directory if it does not exist.
pub fn make_directory(path: &str) -> io::Result<()> {
    match mkdir(path, 0o755.into()) {
        Ok(()) | Err(io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Refusal {
    /// A refusal with the message that a read of the context returned, such as `e ext4: Unknown parameter 'comit'`. The
    /// first letter is the message's level (fs/fsopen.c of the kernel).
    fn new(error: io::Errno, message: &[u8]) -> Self {
        let message = match message.trim_ascii_end() {
            [b'e' | b'w' | b'i', b' ', words @ ..] => Text::of(Shown(words)),
            _ => Text::new(),
        };
        Self { error, message }
    }
}

/// The kernel's own words, or else the meaning of the error.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.message.as_str().is_empty() { strerror(self.error) } else { self.message.as_str() })
    }
}
