//! The kernel's part of its command line as values: the words before ` -- ` that are for the kernel and its modules.
//!
//! The command line is cut at ` -- ` here and nowhere else (MODPROBE.md 7.2, 12.6). The words after it belong to the
//! agent and can't become options of a module. `guest_init.` keys are passed on to `parser`.

pub mod disk_name;
pub mod root;
pub mod words;

use crate::request::name::{same, underscore};
use root::Root;
use words::{Word, Words, words};

/// The words for the kernel that guest-init acts on.
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
    /// The root file system. `None`: there is neither `root=` nor `roothash=`.
    pub root: Option<Root<'a>>,
    /// Whether `panic=` has a value, even if that is 0.
    pub sets_panic: bool,
    /// Whether `sysctl.kernel.modprobe=` names a program that loads modules on demand.
    pub sets_modprobe: bool,
    /// Whether a `console=` names a virtio console, such as `hvc0`.
    pub has_virtio_console: bool,
    /// Whether `virtio_mmio.device=` announces devices. The kernel creates them when the driver is loaded.
    pub announces_virtio_mmio: bool,
    /// The words that are about modules.
    pub modules: ModuleWords<'a>,
}

impl<'a> KernelWords<'a> {
    /// The values of an empty command line.
    pub const NONE: Self = Self {
        root: None,
        sets_panic: false,
        sets_modprobe: false,
        has_virtio_console: false,
        announces_virtio_mmio: false,
        modules: ModuleWords::NONE,
    };

    /// Reads a command line up to ` -- `. Returns its values, and the words after ` -- `. `visit` is called with each
    /// word before ` -- `.
    ///
    /// If a word repeats, the last one counts, as in the kernel. `console=` may repeat: each counts.
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

    /// Reads one word.
    fn take(&mut self, word: &Word<'a>) {
        match (word.name, word.value) {
            (b"panic", Some(_)) => self.sets_panic = true,
            (b"sysctl.kernel.modprobe" | b"sysctl.kernel/modprobe", Some(_)) => self.sets_modprobe = true,
            (b"console", Some(value)) => self.has_virtio_console |= value.starts_with(b"hvc"),
            (b"nomodule", _) => self.modules.forbids_all = true,
            (b"module_blacklist", Some(names)) => self.modules.blacklist = names,
            (name, Some(_)) if same(name, b"virtio_mmio.device") => self.announces_virtio_mmio = true,
            _ => {}
        }
    }
}

/// The words before ` -- ` that are about modules. Only [`KernelWords::read`] makes this type, so the words of the
/// agent can't get in.
#[derive(Clone, Copy, Debug)]
pub struct ModuleWords<'a> {
    line: &'a [u8],
    forbids_all: bool,
    blacklist: &'a [u8],
}

impl<'a> ModuleWords<'a> {
    /// The words of an empty command line.
    pub const NONE: Self = Self { line: b"", forbids_all: false, blacklist: b"" };

    /// The words of a whole command line that are about modules.
    pub fn of(line: &'a [u8]) -> Self {
        KernelWords::read(line, &mut |_| {}).0.modules
    }

    /// All words before ` -- `. [`crate::resolve::tree::config::command_line`] finds the options and the blacklist
    /// among them.
    pub const fn words(&self) -> Words<'a> {
        words(self.line)
    }

    /// The word because of which the kernel refuses a module whatever its file is: `nomodule` or `module_blacklist=`
    /// (MODPROBE.md 7.7). `None`: there is none.
    pub fn refuse(&self, module: &[u8]) -> Option<&'static str> {
        // The kernel knows modules by names with `_`, and compares the list as it is written.
        let names_it = |name: &[u8]| name.iter().copied().eq(module.iter().copied().map(underscore));
        match () {
            () if self.forbids_all => Some("`nomodule` on the kernel command line"),
            () if self.blacklist.split(|&b| b == b',').any(names_it) => {
                Some("`module_blacklist=` on the kernel command line names it")
            }
            () => None,
        }
    }

    /// Whether the kernel refuses modules without a valid signature because of `module.sig_enforce`. A later word does
    /// not take that back (`param_set_bool_enable_only` in kernel/module/main.c).
    ///
    /// The words are read again here and in [`Self::locks_down`], because PID 1 needs neither: the kernel's message
    /// says what it requires.
    pub fn enforces_signatures(&self) -> bool {
        self.words().any(|word| same(word.name, b"module.sig_enforce") && word.value.is_none_or(is_true))
    }

    /// Whether `lockdown=` has a level that the kernel knows (`lockdown_param` in security/lockdown/lockdown.c).
    pub fn locks_down(&self) -> bool {
        let is_level = |value: Option<&[u8]>| matches!(value, Some(b"integrity" | b"confidentiality"));
        self.words().any(|word| word.name == b"lockdown" && is_level(word.value))
    }
}

/// Whether the kernel takes a value for true. It looks at no more than two bytes (`kstrtobool` in lib/kstrtox.c).
const fn is_true(value: &[u8]) -> bool {
    matches!(value, [b'1' | b'y' | b'Y' | b't' | b'T', ..] | [b'o' | b'O', b'n' | b'N', ..])
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
    fn the_last_blacklist_of_the_kernel_counts_and_only_underscores_name_a_module() {
        let kernel = read(b"module_blacklist=a module_blacklist=b-c,d,e_f");
        assert_eq!(
            ["a", "b_c", "d", "e-f", "e_f"].map(|name| kernel.modules.refuse(name.as_bytes()).is_some()),
            [false, false, true, true, true]
        );
        assert!(read(b"nomodule").modules.refuse(b"any").is_some());
    }

    #[test]
    fn each_value_that_is_true_enforces_signatures_and_no_later_word_takes_that_back() {
        let enforces = |line: &str| read(line.as_bytes()).modules.enforces_signatures();
        for value in ["", "=1", "=y", "=Yes", "=on", "=ON", "=true", "=1 module.sig_enforce=0"] {
            assert!(enforces(&std::format!("module.sig_enforce{value}")), "{value}");
        }
        assert!(enforces("module.sig-enforce=1"));
        for value in ["=", "=0", "=n", "=off", "=o", "=2", "d=1"] {
            assert!(!enforces(&std::format!("module.sig_enforce{value}")), "{value}");
        }
        assert!(!enforces("sig_enforce -- module.sig_enforce=1"));
    }
}
