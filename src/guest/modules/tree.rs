//! The module tree of a release, `/lib/modules/RELEASE`, with its indexes, and the configuration in modprobe.d.
//!
//! How an index is searched and a line of configuration is read is [`crate::resolve::tree`]'s.

extern crate alloc;

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{Display, Write};

use rustix::io::{self, Errno};
use rustix_futex_sync::OnceLock;

use crate::failure::{Code, Failure};
use crate::guest::modules::config_files::{self, ConfigPath};
use crate::guest::system::files::{Directory, why_not_opened};
use crate::request::kernel::ModuleWords;
use crate::request::list::Entry;
use crate::request::name::{normal, same};
use crate::resolve::tree::config::{self, Directive};
use crate::resolve::tree::dep::module_of;
use crate::resolve::tree::index::{Index, IndexKind};
use crate::resolve::tree::{Indexes, Sources};
use crate::text::Shown;

/// The directory of module trees.
pub const MODULES: &str = "/lib/modules";
/// The longest index that is read from a share, in bytes. Those of a distribution's kernel have up to 2 MB.
const LONGEST_INDEX: usize = 64 << 20;

/// The number of names that are looked at for a file without a line of modules.dep. A distribution's tree has some
/// 5,000.
const MOST_SEARCHED: usize = 20_000;

/// An open module tree.
#[derive(Debug)]
pub struct ModuleTree {
    release: String,
    /// The directory that has a tree for each release. `None`: the tree was opened by itself.
    modules: Option<Directory>,
    /// The directory of the tree.
    directory: Directory,
    /// The indexes, each opened when it is first searched.
    indexes: [OnceLock<Index<'static>>; 5],
    /// The texts of the configuration, in the order in which they count. Lines are unfolded.
    config: Vec<Vec<u8>>,
}

impl ModuleTree {
    /// Opens the tree of `release` in the directory `modules`, and reads the configuration in the directories `config`.
    ///
    /// Failures: [`Code::NoModuleTree`], [`Code::CorruptIndex`], [`Code::ConfigUnreadable`].
    pub fn open(modules: &str, release: &str, config: &[&str]) -> Result<Self, Failure> {
        Self::open_in(Directory::open(modules), &modules, release, config)
    }

    /// As [`Self::open`], in a directory that may be on a share or in an image. Failures call the directory `name`.
    ///
    /// Failures: those of [`Self::open`].
    pub fn open_in<'c>(
        modules: io::Result<Directory>,
        name: &dyn Display,
        release: &str,
        config: &[impl Copy + Into<ConfigPath<'c>>],
    ) -> Result<Self, Failure> {
        let closed = |error| match error {
            Errno::XDEV => why_not_opened(error),
            _ => "the directory can't be opened",
        };
        let failure = |path: &dyn Display, error, reason: &dyn Display| {
            Failure::from_errno(Code::NoModuleTree, path, error, reason)
        };
        let modules = modules.map_err(|error| failure(name, error, &closed(error)))?;
        let missing = |error, reason: &str| {
            let others = modules.names().unwrap_or_default();
            let reason = alloc::format!("{reason}{}", Listed("; there is ", &others));
            let name = alloc::format!("{name}/");
            failure(&alloc::format!("{}/{}", name.trim_end_matches('/'), Shown(release.as_bytes())), error, &reason)
        };
        let directory = modules.directory(release).map_err(|error| missing(error, closed(error)))?;
        let mut unreadable = None;
        let files = Self::in_directory(directory, release, config, &mut |failure| {
            unreadable.get_or_insert(failure);
        });
        unreadable.map_or(Ok(()), Err)?;
        match files.index(IndexKind::Dep)?.exists() {
            true => Ok(Self { modules: Some(modules), ..files }),
            false => Err(missing(Errno::NOENT, "it has no modules.dep.bin and no modules.dep")),
        }
    }

    /// Takes an open directory as the tree of `release`, even if it has no modules.dep. Reads the configuration in the
    /// directories `config`, and calls `failed` with each file of it that can't be read.
    pub fn in_directory<'c>(
        directory: Directory,
        release: &str,
        config: &[impl Copy + Into<ConfigPath<'c>>],
        failed: &mut dyn FnMut(Failure),
    ) -> Self {
        let config = config_files::read_all(Some(&directory), config, failed);
        Self::with_config(directory, release, config)
    }

    /// The tree of a release that has none: no module, and the configuration in the directories `config`. Paths that
    /// are not absolute begin in `directory`.
    pub fn without_modules<'c>(
        directory: Directory,
        release: &str,
        config: &[impl Copy + Into<ConfigPath<'c>>],
        failed: &mut dyn FnMut(Failure),
    ) -> Self {
        let indexes = IndexKind::ALL.map(|kind| OnceLock::from(Index::absent(kind)));
        Self { indexes, ..Self::with_config(directory, release, config_files::read_all(None, config, failed)) }
    }

    fn with_config(directory: Directory, release: &str, config: Vec<Vec<u8>>) -> Self {
        Self { release: release.to_string(), modules: None, directory, indexes: Default::default(), config }
    }

    /// The lines of the configuration, followed by those of the kernel command line (MODPROBE.md 6.2).
    pub fn config<'a>(&'a self, words: ModuleWords<'a>) -> Vec<Directive<'a>> {
        let files = self.config.iter().flat_map(|text| config::directives(text));
        files.chain(config::command_line(words)).collect()
    }

    /// The tree and the configuration, as `resolve` takes them.
    pub fn sources<'a>(&'a self, config: &'a [Directive<'a>]) -> Sources<'a> {
        Sources { release: &self.release, indexes: self, config }
    }

    /// Adds to the reason of a failure the places where the module is nevertheless: the other releases whose trees have
    /// it, or a file in this tree that modules.dep does not know. An optional entry is not worth a search for a file.
    pub fn add_places(&self, entry: &Entry<'_>, failure: &mut Failure) {
        let name = entry.name.as_bytes();
        let _ = write!(failure.reason, "{}", Listed("; it is in ", &self.others_with(name)));
        if !entry.optional
            && let Some(path) = file_below(&self.directory, name, &mut { MOST_SEARCHED })
        {
            let path = Shown(&path);
            let _ = write!(failure.reason, "; {path} is there, but modules.dep has no line for it: run depmod");
        }
    }

    /// The other releases whose trees have a module.
    fn others_with(&self, name: &[u8]) -> Vec<String> {
        let Some(modules) = &self.modules else { return Vec::new() };
        let has_it = |release: &String| {
            let tree = modules.directory(release.as_str()).ok()?;
            let index = open_index(&tree, IndexKind::Dep).ok()?;
            normal(name, |key| index.exact(key).ok()).flatten().flatten()
        };
        let others = modules.names().unwrap_or_default().into_iter().filter(|release| *release != self.release);
        others.filter(|release| has_it(release).is_some()).collect()
    }

    /// The directory of the tree. The paths in modules.dep begin here.
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }
}

impl Indexes for ModuleTree {
    fn index(&self, kind: IndexKind) -> Result<Index<'_>, Failure> {
        let Some(slot) = self.indexes.get(kind as usize) else { return Ok(Index::absent(kind)) };
        if let Some(index) = slot.get() {
            return Ok(*index);
        }
        let index = open_index(&self.directory, kind)?;
        Ok(*slot.get_or_init(|| index))
    }
}

/// The path of a file of a module, in a directory or below it. `budget` is the number of names that are looked at.
fn file_below(directory: &Directory, name: &[u8], budget: &mut usize) -> Option<Vec<u8>> {
    for file in directory.names().ok()? {
        *budget = budget.checked_sub(1)?;
        let is_module = file.as_bytes().windows(3).any(|part| part == b".ko");
        if is_module && same(module_of(file.as_bytes()), name) {
            return Some(file.into());
        }
        // `build` and `source` are links to the sources of the kernel.
        if !is_module
            && !matches!(&*file, "build" | "source")
            && let Ok(below) = directory.directory(&*file)
            && let Some(path) = file_below(&below, name, budget)
        {
            return Some([file.as_bytes(), b"/", &path].concat());
        }
    }
    None
}

/// The release of the running kernel.
pub fn running_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Opens an index: its binary file, or else its text (MODPROBE.md 12.4). Only a file that does not exist is absent. An
/// index that can't be read is a failure, because it may have the module that is asked for.
///
/// Failure: [`Code::CorruptIndex`].
fn open_index(directory: &Directory, kind: IndexKind) -> Result<Index<'static>, Failure> {
    let [binary, text] = kind.files();
    let bytes = |name: &'static str| match directory.regular(name).and_then(|file| file.contents(LONGEST_INDEX)) {
        Ok(Cow::Borrowed(bytes)) => Ok(bytes),
        // The bytes live as long as the process, as those of a mapped file do.
        Ok(Cow::Owned(bytes)) => Ok(&*bytes.leak()),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(&[][..]),
        Err(error) => Err(unreadable_index(name, error)),
    };
    match bytes(binary)? {
        // A depmod that was built without its libraries leaves an empty binary file and a whole text.
        [] => Ok(match bytes(text)? {
            [] => Index::absent(kind),
            lines => Index::text(kind, lines),
        }),
        trie => Index::binary(kind, trie),
    }
}

/// The failure of an index that can't be read.
fn unreadable_index(name: &str, error: Errno) -> Failure {
    let reason = match error {
        Errno::FBIG => "it has more than 64 MiB",
        Errno::INVAL | Errno::ISDIR => "it is no regular file",
        other => why_not_opened(other),
    };
    Failure::from_errno(Code::CorruptIndex, name, error, alloc::format!("it can't be read: {reason}"))
}

/// Displays a few words and the names after them. Without names, displays nothing.
struct Listed<'a>(&'a str, &'a [String]);

impl core::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (n, name) in self.1.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { self.0 } else { ", " }, Shown(name.as_bytes()))?;
        }
        Ok(())
    }
}
