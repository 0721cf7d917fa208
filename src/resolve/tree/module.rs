//! A module: its name, and how it was found. Two modules are the same if libkmod has one object for both
//! (MODPROBE.md 1.5).

use core::fmt;

use crate::request::name::{normalised, same, underscore};
use crate::resolve::tree::dep::module_of;
use crate::text::Shown;

/// A module that a name means.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// The module's name, as the file or the person that named it wrote it. `-` and `_` are equal.
    pub name: &'a [u8],
    /// The source that had the module.
    pub found_by: FoundBy<'a>,
    /// Whether the module was found in an index of built-in modules.
    pub built_in: bool,
    /// The priority of the index entry. The modules of a lookup are sorted by it (MODPROBE.md 3.4).
    pub(in crate::resolve) priority: u32,
}

/// The source that had a module, with the part of it that a plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy<'a> {
    /// The module's own name.
    Name,
    /// An alias: the pattern of a configuration line, or the name that was looked up. Options may be set for the alias
    /// (MODPROBE.md 8.1).
    Alias(&'a [u8]),
    /// An install command for the very name that was looked up. It is the module's command, whatever other lines match
    /// (MODPROBE.md 4.3).
    Command(&'a [u8]),
    /// The path of the module's file, which modprobe was called with (MODPROBE.md 4.6).
    File(&'a [u8]),
}

impl<'a> Module<'a> {
    /// A module that was found by its own name.
    pub const fn named(name: &'a [u8]) -> Self {
        Self { name, found_by: FoundBy::Name, built_in: false, priority: 0 }
    }

    /// The module in the file `path`.
    pub fn in_file(path: &'a [u8]) -> Self {
        Self::named(module_of(path))
    }

    /// The module in the file `path`, which modprobe was called with.
    pub fn of_file(path: &'a [u8]) -> Self {
        Self { found_by: FoundBy::File(path), ..Self::in_file(path) }
    }

    /// The alias that the module was found by.
    pub const fn alias(&self) -> Option<&'a [u8]> {
        match self.found_by {
            FoundBy::Alias(alias) => Some(alias),
            _ => None,
        }
    }

    /// Whether both are one module object to libkmod. The same module under two aliases is two objects
    /// (MODPROBE.md 1.5).
    pub fn is(&self, other: &Self) -> bool {
        let aliases = match (self.alias(), other.alias()) {
            (Some(a), Some(b)) => same(a, b),
            (None, None) => true,
            _ => false,
        };
        aliases && same(self.name, other.name)
    }

    /// Passes the name to `push`, with `_` for `-`, as lsmod shows it. A line of the configuration names its module in
    /// the way of a pattern, so dashes in brackets stay there (MODPROBE.md 1.2).
    pub fn each_byte(&self, push: &mut dyn FnMut(u8)) {
        match self.found_by {
            FoundBy::Alias(_) => normalised(self.name).for_each(push),
            _ => self.name.iter().copied().map(underscore).for_each(push),
        }
    }
}

impl fmt::Display for Module<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.contains(&b'-') {
            return Shown(self.name).fmt(f);
        }
        let mut result = Ok(());
        self.each_byte(&mut |byte| result = result.and_then(|()| Shown(&[byte]).fmt(f)));
        result
    }
}
