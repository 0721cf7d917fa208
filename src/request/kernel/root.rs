//! The root file system that the kernel command line names, by `root=`, `rootfstype=`, `rootflags=`, `ro` and `rw`
//! (init/do_mounts.c).

use crate::request::kernel::words::words;

/// A root file system, and how to mount it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root<'a> {
    /// `root=`: a path below /dev, or the tag of a share if the file system is virtiofs.
    pub source: &'a [u8],
    /// `rootfstype=`: the file systems to try, separated by commas. `None`: the contents of the device decide.
    pub kinds: Option<&'a [u8]>,
    /// `rootflags=`: mount options, separated by commas.
    pub flags: &'a [u8],
    /// Whether the root is read-only: `rw` is missing, or a later `ro` follows it.
    pub read_only: bool,
}

impl<'a> Root<'a> {
    /// Reads a command line. If a word repeats, the last counts, as in the kernel. `None`: there is no `root=`.
    pub fn of(command_line: &'a [u8]) -> Option<Self> {
        let mut source = None;
        let mut root = Self { source: b"", kinds: None, flags: b"", read_only: true };
        for word in words(command_line) {
            match (word.name, word.value) {
                (b"root", value) => source = value.filter(|value| !value.is_empty()),
                (b"rootfstype", kinds) => root.kinds = kinds.filter(|kinds| !kinds.is_empty()),
                (b"rootflags", Some(flags)) => root.flags = flags,
                (b"ro", None) => root.read_only = true,
                (b"rw", None) => root.read_only = false,
                _ => {}
            }
        }
        source.map(|source| Self { source, ..root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_word_counts() {
        assert_eq!(Root::of(b"console=ttyS0 ro rootfstype=ext4"), None);
        assert_eq!(Root::of(b"root=/dev/vda root="), None);
        let expected = Root { source: b"/dev/vda", kinds: None, flags: b"", read_only: true };
        assert_eq!(Root::of(b"rw root=/dev/sda ro root=/dev/vda"), Some(expected));
        let expected = Root { source: b"tag", kinds: Some(b"virtiofs"), flags: b"dax=never,x", read_only: false };
        assert_eq!(Root::of(b"root=tag rootfstype=virtiofs rootflags=dax=never,x rw"), Some(expected));
    }
}
