//! The configuration of a kernel: the text of its .config.

use std::borrow::Cow;

use guest_init::guest::modules::tree::ModuleTree;
use guest_init::guest::system::files::File;

use super::folder::Folder;

/// The longest .config, in bytes. Those of distributions have 300 KB.
const LONGEST: usize = 16 << 20;

/// A kernel's configuration.
pub struct KernelConfig<'k>(pub Cow<'k, [u8]>);

impl KernelConfig<'_> {
    /// The configuration in the module tree, or in /boot of the guest's root.
    pub fn find(tree: &ModuleTree, root: Option<Folder>, release: &str) -> Option<Self> {
        let read = |file: File| file.contents(LONGEST).ok();
        let in_tree = tree.directory().regular("config").ok().and_then(read);
        let name = format!("config-{release}");
        let in_boot = || root?.below("boot").directory.and_then(|boot| boot.regular(&*name)).ok().and_then(read);
        in_tree.or_else(in_boot).map(Self)
    }

    /// Whether an option, without `CONFIG_`, is `y`.
    pub fn has(&self, option: &str) -> bool {
        let line = format!("CONFIG_{option}=y");
        self.0.split(|&b| b == b'\n').any(|other| other == line.as_bytes())
    }
}
