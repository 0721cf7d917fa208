//! The kernel's own words and those of its modules, as values: everything on the command line up to ` -- `.
//!
//! The command line is cut here and nowhere else. What stands behind ` -- ` belongs to the agent, so it can never become a
//! module option or a blacklist. `guest_init.` keys pass through to [`super::parser`].

pub mod root;
pub mod words;

use crate::request::name::same;
use root::Root;
use words::{Word, Words, words};

/// What the kernel's words ask for, as far as it matters to guest-init.
///
/// ```
/// use guest_init::request::kernel::KernelWords;
///
/// let (kernel, arguments) = KernelWords::read(b"console=hvc0 panic=1 root=/dev/vda -- root=/dev/vdb", &mut |_| {});
/// assert!(kernel.sets_panic && kernel.has_virtio_console);
/// assert_eq!(kernel.root.map(|root| root.source), Some(&b"/dev/vda"[..]));
/// assert_eq!(arguments.count(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KernelWords<'a> {
    /// `root=` and the words that say how to mount it.
    pub root: Option<Root<'a>>,
    /// Whether `panic=` says what the kernel does after a panic, even if it says 0.
    pub sets_panic: bool,
    /// Whether `console=` names a virtio console, `hvc0` or another.
    pub has_virtio_console: bool,
    /// Whether `virtio_mmio.device=` announces devices that are not there before the driver is.
    pub announces_virtio_mmio: bool,
    /// What is said about modules.
    pub modules: ModuleWords<'a>,
}

impl<'a> KernelWords<'a> {
    /// What an empty command line asks for.
    pub const NONE: Self = Self {
        root: None,
        sets_panic: false,
        has_virtio_console: false,
        announces_virtio_mmio: false,
        modules: ModuleWords::NONE,
    };

    /// Reads a command line up to its ` -- `, and hands each word to `visit` as well. Returns the words behind ` -- `, too.
    ///
    /// If a word stands twice, the last one counts, as for the kernel.
    pub fn read(line: &'a [u8], visit: &mut dyn FnMut(&Word<'a>)) -> (Self, Words<'a>) {
        let mut kernel = Self { modules: ModuleWords { line, ..ModuleWords::NONE }, ..Self::NONE };
        let (mut root, mut words) = (Root::UNNAMED, words(line));
        for word in words.by_ref() {
            if word.is_end() {
                kernel.modules.line = line.get(..word.offset_in(line)).unwrap_or_default();
                break;
            }
            visit(&word);
            root.take(&word);
            kernel.take(&word);
        }
        kernel.root = root.is_named().then_some(root);
        (kernel, words)
    }

    fn take(&mut self, word: &Word<'a>) {
        match (word.name, word.value) {
            (b"panic", Some(_)) => self.sets_panic = true,
            (b"console", Some(value)) => self.has_virtio_console |= value.starts_with(b"hvc"),
            (b"nomodule", _) => self.modules.forbids_all = true,
            (b"module_blacklist", Some(names)) => self.modules.blacklist = names,
            (b"module.sig_enforce", None | Some(b"1" | b"y" | b"Y")) => self.modules.enforces_signatures = true,
            (name, Some(_)) if same(name, b"virtio_mmio.device") => self.announces_virtio_mmio = true,
            _ => {}
        }
    }
}

/// What a command line says about modules, up to its ` -- `. Nothing but [`KernelWords::read`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct ModuleWords<'a> {
    line: &'a [u8],
    forbids_all: bool,
    blacklist: &'a [u8],
    enforces_signatures: bool,
}

impl<'a> ModuleWords<'a> {
    /// The words of an empty command line.
    pub const NONE: Self = Self { line: b"", forbids_all: false, blacklist: b"", enforces_signatures: false };

    /// What a whole command line says about modules.
    pub fn of(line: &'a [u8]) -> Self {
        KernelWords::read(line, &mut |_| {}).0.modules
    }

    /// The words, among which `module.parameter=value` and `modprobe.blacklist=` are options and a blacklist
    /// ([`crate::resolve::tree::config::command_line`]).
    pub const fn words(&self) -> Words<'a> {
        words(self.line)
    }

    /// Why the kernel refuses to load a module whatever its file is: `nomodule`, or `module_blacklist=`
    /// (`may_init_module` and `blacklisted` in kernel/module/main.c).
    pub fn refuse(&self, module: &[u8]) -> Option<&'static str> {
        match () {
            () if self.forbids_all => Some("`nomodule` on the kernel command line"),
            () if self.blacklist.split(|&b| b == b',').any(|name| same(name, module)) => {
                Some("`module_blacklist=` on the kernel command line names it")
            }
            () => None,
        }
    }

    /// Whether `module.sig_enforce` makes the kernel refuse modules without a valid signature.
    pub const fn enforces_signatures(&self) -> bool {
        self.enforces_signatures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn read(line: &[u8]) -> KernelWords<'_> {
        KernelWords::read(line, &mut |_| {}).0
    }

    #[test]
    fn each_word_becomes_its_value() {
        let kernel = read(b"console=hvc0 console=ttyS0 panic=0 virtio_mmio.device=1K@0xd0000000:5 quiet");
        assert!(kernel.has_virtio_console && kernel.sets_panic && kernel.announces_virtio_mmio);
        let kernel = read(b"console=ttyS0 panic virtio_mmio.device root=");
        assert!(!kernel.has_virtio_console && !kernel.sets_panic && !kernel.announces_virtio_mmio);
        assert_eq!(kernel.root, None);
    }

    #[test]
    fn words_behind_the_end_are_the_agents() {
        let line = b"a.b=1 -- c.d=2 panic=1 console=hvc0 nomodule module_blacklist=x root=/dev/vda";
        let (kernel, arguments) = KernelWords::read(line, &mut |word| assert_eq!(word.raw, b"a.b=1"));
        assert!(!kernel.sets_panic && !kernel.has_virtio_console && kernel.root.is_none());
        assert_eq!(kernel.modules.words().map(|word| word.raw).collect::<Vec<_>>(), [b"a.b=1"]);
        assert_eq!(kernel.modules.refuse(b"x"), None);
        assert_eq!(arguments.count(), 6);
    }

    #[test]
    fn the_last_blacklist_of_the_kernel_counts_with_dashes_as_underscores() {
        let kernel = read(b"module_blacklist=a module_blacklist=b-c,d");
        assert_eq!(
            ["a", "b_c", "d", "e"].map(|name| kernel.modules.refuse(name.as_bytes()).is_some()),
            [false, true, true, false]
        );
        assert!(read(b"nomodule").modules.refuse(b"any").is_some());
    }
}
