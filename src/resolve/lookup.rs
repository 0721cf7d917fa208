//! From a name to modules: the sources of a name in libkmod's order; the first that knows it wins (MODPROBE.md 4.1).

use crate::failure::{Code, Failure};
use crate::request::name::{normal, same};
use crate::resolve::tree::Sources;
use crate::resolve::tree::config::Directive;
use crate::resolve::tree::dep::module_of;
use crate::resolve::tree::glob::glob;
use crate::resolve::tree::index::IndexKind;
use crate::text::Shown;

/// A module that a name means.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Its name as some file or someone wrote it; `-` = `_`.
    pub name: &'a [u8],
    /// The pattern or the name by which it was found, where that is no name of its own: options may be set for it.
    pub alias: Option<&'a [u8]>,
    /// Whether an index of what is built in gave it.
    pub built_in: bool,
    /// Where it stands among all that one name means: behind those with less, before those with the same.
    priority: u32,
}

impl<'a> Module<'a> {
    /// A module by its own name.
    pub const fn named(name: &'a [u8]) -> Self {
        Self { name, alias: None, built_in: false, priority: 0 }
    }

    /// The module in a file of the tree.
    pub fn in_file(path: &'a [u8]) -> Self {
        Self::named(module_of(path))
    }

    /// Whether both are one module object to libkmod, which tells the same module under two aliases apart.
    pub fn is(&self, other: &Self) -> bool {
        let aliases = match (self.alias, other.alias) {
            (Some(a), Some(b)) => same(a, b),
            (None, None) => true,
            _ => false,
        };
        aliases && same(self.name, other.name)
    }
}

impl core::fmt::Display for Module<'_> {
    /// The name with `_`, as lsmod shows it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut parts = self.name.split(|&b| b == b'-');
        parts.next().map_or(Ok(()), |first| Shown(first).fmt(f))?;
        parts.try_for_each(|part| write!(f, "_{}", Shown(part)))
    }
}

/// The modules that one name means, best priority first.
pub type Found<'a> = heapless::Vec<Module<'a>, MOST_FOUND>;

/// Most modules that one name may mean; a CPU's own modalias means about thirty.
pub const MOST_FOUND: usize = 64;

/// Looks `name` up. Nothing found is no failure here: to a soft dependency, it is nothing at all.
///
/// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`] for more than 64 modules.
pub fn lookup<'a>(sources: &Sources<'a>, name: &'a [u8]) -> Result<Found<'a>, Failure> {
    let mut search = Search { sources, name, found: Found::new(), overflow: false };
    normal(name, |key| search.run(key)).unwrap_or(Ok(()))?;
    match search.overflow {
        true => Err(Failure::new(Code::PlanTooLarge, Shown(name), "the alias means more than 64 modules")),
        false => Ok(search.found),
    }
}

struct Search<'t, 'a> {
    sources: &'t Sources<'a>,
    name: &'a [u8],
    found: Found<'a>,
    overflow: bool,
}

impl<'a> Search<'_, 'a> {
    fn run(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.config_aliases(key);
        if self.found.is_empty() && !key.contains(&b':') && self.sources.index_of(IndexKind::Dep)?.exact(key)?.is_some()
        {
            self.add(0, Module::named(self.name));
        }
        if self.found.is_empty() && key.starts_with(b"symbol:") {
            self.patterns(IndexKind::Symbols, key)?;
        }
        if self.found.is_empty() && self.has_command(key) {
            self.add(0, Module::named(self.name));
        }
        if self.found.is_empty() {
            self.patterns(IndexKind::Alias, key)?;
        }
        if self.found.is_empty() && self.sources.index_of(IndexKind::Builtin)?.exact(key)?.is_some() {
            self.add(0, Module { built_in: true, ..Module::named(self.name) });
        }
        if self.found.is_empty() {
            self.patterns(IndexKind::BuiltinAlias, key)?;
        }
        Ok(())
    }

    /// All that match, in the order of the configuration; they hide modules of that very name.
    fn config_aliases(&mut self, key: &[u8]) {
        for directive in self.sources.config {
            if let Directive::Alias { pattern, module } = directive
                && glob(pattern, key)
            {
                self.append(Module { alias: Some(pattern), ..Module::named(module) });
            }
        }
    }

    fn has_command(&self, key: &[u8]) -> bool {
        self.sources.config.iter().any(|directive| match directive {
            Directive::Install { pattern, .. } | Directive::Remove(pattern) => same(pattern, key),
            _ => false,
        })
    }

    fn patterns(&mut self, kind: IndexKind, key: &[u8]) -> Result<(), Failure> {
        let (index, alias) = (self.sources.index_of(kind)?, Some(self.name));
        let built_in = kind == IndexKind::BuiltinAlias;
        index.matching(key, &mut |_, priority, name| {
            self.add(priority, Module { alias, built_in, ..Module::named(name) })
        })
    }

    /// libkmod's `add_value`: before the first of the same or a greater priority.
    fn add(&mut self, priority: u32, module: Module<'a>) {
        let at = self.found.iter().position(|other| other.priority >= priority).unwrap_or(self.found.len());
        self.overflow |= self.found.insert(at, Module { priority, ..module }).is_err();
    }

    fn append(&mut self, module: Module<'a>) {
        self.overflow |= self.found.push(module).is_err();
    }
}
