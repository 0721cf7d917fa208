//! The root file system that the kernel command line names, by `root=`, `rootfstype=`, `rootflags=`, `rootwait`,
//! `rootdelay=`, `ro` and `rw` (init/do_mounts.c), and by systemd's words for a root that is verified, `roothash=`,
//! `systemd.verity_root_data=` and `systemd.verity_root_hash=` (systemd-veritysetup-generator(8)).

use core::fmt;
use core::time::Duration;

use crate::request::kernel::words::Word;
use crate::request::keys::number;
use crate::text::Shown;

/// The time that the disk of a root may take to appear, unless `rootwait` is given. The kernel itself would not wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// A root file system, and how to mount it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root<'a> {
    /// `root=`: the name of a disk, or the tag of a share if the file system is virtiofs or 9p. Empty: there is only
    /// `roothash=`.
    pub source: &'a [u8],
    /// `rootfstype=`: the file systems to try, separated by commas. `None`: the contents of the device decide.
    pub fs_types: Option<&'a [u8]>,
    /// `rootflags=`: mount options, separated by commas.
    pub flags: &'a [u8],
    /// Whether the root is read-only: `rw` is missing, or a later `ro` follows it.
    pub read_only: bool,
    /// `rootdelay=`: the time to wait before the disk is looked for.
    pub delay: Duration,
    /// `rootwait=`: the time that the disk may take to appear, from the last driver on, 10 s by default. `None`: it may
    /// take any time, because `rootwait` has no number of seconds.
    pub patience: Option<Duration>,
    /// `roothash=`: the root is read through dm-verity.
    pub verity: RootVerity<'a>,
}

/// The words about a root that is verified. A word that is missing is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootVerity<'a> {
    /// `roothash=`: the root hash, in hexadecimal digits. Empty: the root is not verified.
    pub root_hash: &'a [u8],
    /// `systemd.verity_root_data=`: the name of the disk with the data.
    pub data: &'a [u8],
    /// `systemd.verity_root_hash=`: the name of the disk with the hash tree.
    pub hash: &'a [u8],
    /// `systemd.verity_root_options=`, of which guest-init understands none.
    pub options: &'a [u8],
}

impl<'a> Root<'a> {
    /// The values before the first word is read.
    pub(super) const UNNAMED: Self = Self {
        source: b"",
        fs_types: None,
        flags: b"",
        read_only: true,
        delay: Duration::ZERO,
        patience: Some(PATIENCE),
        verity: RootVerity { root_hash: b"", data: b"", hash: b"", options: b"" },
    };

    /// Reads a word, and ignores it if it is not about the root. If a word repeats, the last counts, as in the kernel.
    pub(super) fn take(&mut self, word: &Word<'a>) {
        match (word.name, word.value) {
            (b"root", source) => self.source = source.unwrap_or_default(),
            (b"rootfstype", fs_types) => self.fs_types = fs_types.filter(|fs_types| !fs_types.is_empty()),
            (b"rootflags", Some(flags)) => self.flags = flags,
            (b"rootdelay", delay) => self.delay = delay.and_then(seconds).unwrap_or_default(),
            // To the kernel as well, a value that is no number means an endless wait.
            (b"rootwait", patience) => self.patience = patience.and_then(seconds),
            (b"roothash", hash) => self.verity.root_hash = hash.unwrap_or_default(),
            (b"systemd.verity_root_data", disk) => self.verity.data = disk.unwrap_or_default(),
            (b"systemd.verity_root_hash", disk) => self.verity.hash = disk.unwrap_or_default(),
            (b"systemd.verity_root_options", options) => self.verity.options = options.unwrap_or_default(),
            (b"ro", None) => self.read_only = true,
            (b"rw", None) => self.read_only = false,
            _ => {}
        }
    }

    /// Whether a `root=` or a `roothash=` with a value was read.
    pub(super) const fn is_named(&self) -> bool {
        !self.source.is_empty() || self.is_verified()
    }

    /// Whether the root is read through dm-verity.
    pub const fn is_verified(&self) -> bool {
        !self.verity.root_hash.is_empty()
    }
}

/// The word that names the root.
impl fmt::Display for Root<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_verified() {
            true => write!(f, "roothash={}", Shown(self.verity.root_hash)),
            false => write!(f, "root={}", Shown(self.source)),
        }
    }
}

/// Reads whole seconds.
fn seconds(value: &[u8]) -> Option<Duration> {
    number(value).map(|seconds| Duration::from_secs(u32::into(seconds)))
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
        let expected = Root { source: b"/dev/vda", ..Root::UNNAMED };
        assert_eq!(root(b"rw root=/dev/sda ro root=/dev/vda"), Some(expected));
        let verified = root(b"roothash=ab systemd.verity_root_data=/dev/vda");
        let words = RootVerity { root_hash: b"ab", data: b"/dev/vda", ..RootVerity::default() };
        assert_eq!(verified, Some(Root { verity: words, ..Root::UNNAMED }));
        let expected = Root {
            source: b"tag",
            fs_types: Some(b"virtiofs"),
            flags: b"dax=never,x",
            read_only: false,
            ..Root::UNNAMED
        };
        assert_eq!(root(b"root=tag rootfstype=virtiofs rootflags=dax=never,x rw"), Some(expected));
    }

    #[test]
    fn a_disk_is_waited_for_as_the_kernel_is_told_to() {
        let times =
            |line: &[u8]| root(line).map(|root| (root.delay.as_secs(), root.patience.map(|time| time.as_secs())));
        assert_eq!(times(b"root=/dev/vda"), Some((0, Some(10))));
        assert_eq!(times(b"root=/dev/vda rootwait"), Some((0, None)));
        assert_eq!(times(b"root=/dev/vda rootwait=20 rootdelay=3"), Some((3, Some(20))));
        assert_eq!(times(b"root=/dev/vda rootwait=-1 rootdelay=x"), Some((0, None)));
    }
}
