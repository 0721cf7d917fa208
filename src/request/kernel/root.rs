//! The root file system that the kernel command line names, by `root=`, `rootfstype=`, `rootflags=`, `ro` and `rw`
//! (init/do_mounts.c).

use crate::request::kernel::words::Word;

/// A root file system, and how to mount it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root<'a> {
    /// `root=`: a path below /dev, or the tag of a share if the file system is virtiofs.
    pub source: &'a [u8],
    /// `rootfstype=`: the file systems to try, separated by commas. `None`: the contents of the device decide.
    pub fs_types: Option<&'a [u8]>,
    /// `rootflags=`: mount options, separated by commas.
    pub flags: &'a [u8],
    /// Whether the root is read-only: `rw` is missing, or a later `ro` follows it.
    pub read_only: bool,
}

impl<'a> Root<'a> {
    /// The values before the first word is read.
    pub(super) const UNNAMED: Self = Self { source: b"", fs_types: None, flags: b"", read_only: true };

    /// Reads a word, and ignores it if it is not about the root. If a word repeats, the last counts, as in the kernel.
    pub(super) fn take(&mut self, word: &Word<'a>) {
        match (word.name, word.value) {
            (b"root", source) => self.source = source.unwrap_or_default(),
            (b"rootfstype", fs_types) => self.fs_types = fs_types.filter(|fs_types| !fs_types.is_empty()),
            (b"rootflags", Some(flags)) => self.flags = flags,
            (b"ro", None) => self.read_only = true,
            (b"rw", None) => self.read_only = false,
            _ => {}
        }
    }

    /// Whether a `root=` with a value was read.
    pub(super) const fn is_named(&self) -> bool {
        !self.source.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::kernel::KernelWords;

    fn root(line: &[u8]) -> Option<Root<'_>> {
        KernelWords::read(line, &mut |_| {}).0.root
    }

    #[test]
    fn the_last_of_each_word_counts() {
        assert_eq!(root(b"console=ttyS0 ro rootfstype=ext4"), None);
        assert_eq!(root(b"root=/dev/vda root="), None);
        let expected = Root { source: b"/dev/vda", fs_types: None, flags: b"", read_only: true };
        assert_eq!(root(b"rw root=/dev/sda ro root=/dev/vda"), Some(expected));
        let expected = Root { source: b"tag", fs_types: Some(b"virtiofs"), flags: b"dax=never,x", read_only: false };
        assert_eq!(root(b"root=tag rootfstype=virtiofs rootflags=dax=never,x rw"), Some(expected));
    }
}
