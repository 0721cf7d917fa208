//! The lookup: which modules a name means. Seven sources are asked in the order of libkmod, and the first source that
//! knows the name decides (MODPROBE.md 4.1).

use crate::failure::{Code, Failure};
use crate::request::name::{normal, normalised};
use crate::resolve::tree::Sources;
use crate::resolve::tree::config::Directive;
use crate::resolve::tree::glob::glob;
use crate::resolve::tree::index::IndexKind;
use crate::resolve::tree::module::{FoundBy, Module};
use crate::text::Shown;

/// The modules that one name means, smallest priority first.
pub type Found<'a> = heapless::Vec<Module<'a>, MOST_FOUND>;

/// The number of modules that one name may mean. The modalias of a CPU means about thirty.
pub const MOST_FOUND: usize = 64;

/// The modules that `name` means. If there are none, that is no failure here: a soft dependency that does not exist is
/// passed over (MODPROBE.md 4.5).
///
/// Failures: [`Code::CorruptIndex`], [`Code::PlanTooLarge`] for more than 64 modules.
pub fn lookup<'a>(sources: &Sources<'a>, name: &'a [u8]) -> Result<Found<'a>, Failure> {
    let mut search = Search { sources, name, found: Found::new(), tree: 0, in_earlier_trees: 0, overflow: false };
    normal(name, |key| search.run(key)).unwrap_or(Ok(()))?;
    match search.overflow {
        true => Err(Failure::new(Code::PlanTooLarge, Shown(name), "the alias means more than 64 modules")),
        false => Ok(search.found),
    }
}

/// A lookup in progress.
struct Search<'t, 'a> {
    sources: &'t Sources<'a>,
    name: &'a [u8],
    found: Found<'a>,
    /// The tree that is being searched, and the number of modules that were found in the trees before it.
    tree: u8,
    in_earlier_trees: usize,
    overflow: bool,
}

impl<'a> Search<'_, 'a> {
    /// Asks the seven sources in turn, until one has a result. `key` is the normalised name.
    fn run(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.config_aliases(key);
        if self.found.is_empty() && !key.contains(&b':') && self.sources.exact(IndexKind::Dep, key)?.is_some() {
            self.add(0, Module::named(self.name));
        }
        if self.found.is_empty() && key.starts_with(b"symbol:") {
            self.patterns(IndexKind::Symbols, key)?;
        }
        if self.found.is_empty() {
            self.command(key);
        }
        if self.found.is_empty() {
            self.patterns(IndexKind::Alias, key)?;
        }
        if self.found.is_empty() && self.sources.exact(IndexKind::Builtin, key)?.is_some() {
            self.add(0, Module { built_in: true, ..Module::named(self.name) });
        }
        if self.found.is_empty() {
            self.patterns(IndexKind::BuiltinAlias, key)?;
        }
        Ok(())
    }

    /// All aliases that match, in the order of the configuration. They hide a module of that very name
    /// (MODPROBE.md 4.2).
    fn config_aliases(&mut self, key: &[u8]) {
        for directive in self.sources.config {
            if let Directive::Alias { pattern, module } = directive
                && glob(pattern, key)
            {
                self.append(Module { found_by: FoundBy::Alias(pattern), ..Module::named(module) });
            }
        }
    }

    /// The module of the first install line for this very name, or else of the first remove line. Its own name ends at
    /// the first dot (MODPROBE.md 4.3).
    fn command(&mut self, key: &[u8]) {
        let names_it = |pattern: &&[u8]| normalised(pattern).eq(key.iter().copied());
        let config = self.sources.config.iter();
        let install = config.clone().find_map(|directive| match directive {
            Directive::Install { pattern, command } if names_it(pattern) => Some((*pattern, FoundBy::Command(command))),
            _ => None,
        });
        let remove = || {
            config.into_iter().find_map(|directive| match directive {
                Directive::Remove(pattern) if names_it(pattern) => Some((*pattern, FoundBy::Name)),
                _ => None,
            })
        };
        if let Some((pattern, found_by)) = install.or_else(remove) {
            let name = pattern.split(|&b| b == b'.').next().unwrap_or_default();
            self.add(0, Module { found_by, ..Module::named(name) });
        }
    }

    /// All modules whose pattern in an index matches.
    fn patterns(&mut self, kind: IndexKind, key: &[u8]) -> Result<(), Failure> {
        let (sources, found_by) = (self.sources, FoundBy::Alias(self.name));
        let built_in = kind == IndexKind::BuiltinAlias;
        sources.matching(kind, key, &mut |tree, priority, name| {
            if tree > self.tree {
                (self.tree, self.in_earlier_trees) = (tree, self.found.len());
            }
            self.add(priority, Module { found_by, built_in, ..Module::named(name) })
        })
    }

    /// Inserts a module before the first one of its tree that has the same or a greater priority (MODPROBE.md 3.4).
    fn add(&mut self, priority: u32, module: Module<'a>) {
        let mut of_tree = self.found.iter().enumerate().skip(self.in_earlier_trees);
        let at = of_tree.find(|(_, other)| other.priority >= priority).map_or(self.found.len(), |(at, _)| at);
        self.overflow |= self.found.insert(at, Module { priority, ..module }).is_err();
    }

    fn append(&mut self, module: Module<'a>) {
        self.overflow |= self.found.push(module).is_err();
    }
}
