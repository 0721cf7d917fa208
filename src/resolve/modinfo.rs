//! What a module says of itself: the `.modinfo` section of its file, strings `key=value` (modinfo(8)).

use crate::elf::Elf;

/// The strings of a module.
#[derive(Clone, Copy, Debug)]
pub struct ModInfo<'a>(&'a [u8]);

impl<'a> ModInfo<'a> {
    /// Finds them. `None`: the file is no module, or not whole.
    pub fn find(file: &'a [u8]) -> Option<Self> {
        Elf::new(file)?.section(b".modinfo").map(Self)
    }

    /// All values of a key.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|&b| b == 0).filter_map(move |string| string.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }

    /// The kernel release that it was built for: the first word of its `vermagic`.
    pub fn release(&self) -> Option<&'a [u8]> {
        self.values("vermagic").next()?.split(|&b| b == b' ').next()
    }
}
