//! A module: its name, and how it was found. Two modules are the same if libkmod has one object for both
//! (MODPROBE.md 1.5).

use core::fmt;

use crate::request::name::same;
use crate::resolve::tree::dep::module_of;
use crate::text::Shown;

/// A module that a name means.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// The module's name, as the file or the person that named it wrote it. `-` and `_` are equal.
    pub name: &'a [u8],
    /// The alias that the module was found by: the pattern of a configuration line, or the name that was looked up.
    /// `None` if the module was found by its own name. Options may be set for the alias (MODPROBE.md 8.1).
    pub alias: Option<&'a [u8]>,
    /// Whether the module was found in an index of built-in modules.
    pub built_in: bool,
    /// The priority of the index entry. The modules of a lookup are sorted by it (MODPROBE.md 3.4).
    pub(in crate::resolve) priority: u32,
}

impl<'a> Module<'a> {
    /// A module that was found by its own name.
    pub const fn named(name: &'a [u8]) -> Self {
        Self { name, alias: None, built_in: false, priority: 0 }
    }

    /// The module in the file `path`.
    pub fn in_file(path: &'a [u8]) -> Self {
        Self::named(module_of(path))
    }

    /// Whether both are one module object to libkmod. The same module under two aliases is two objects
    /// (MODPROBE.md 1.5).
    pub fn is(&self, other: &Self) -> bool {
        let aliases = match (self.alias, other.alias) {
            (Some(a), Some(b)) => same(a, b),
            (None, None) => true,
            _ => false,
        };
        aliases && same(self.name, other.name)
    }
}

impl fmt::Display for Module<'_> {
    /// The name with `_`, as lsmod shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.name.split(|&b| b == b'-');
        parts.next().map_or(Ok(()), |first| Shown(first).fmt(f))?;
        parts.try_for_each(|part| write!(f, "_{}", Shown(part)))
    }
}
