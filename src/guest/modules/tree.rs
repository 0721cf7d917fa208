//! A module tree, `/lib/modules/RELEASE`: its directory and its indexes.
//!
//! How an index is searched is [`crate::resolve::tree`]'s.

extern crate alloc;

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{Display, Write};

use rustix::fs::fstat;
use rustix::io::{self, Errno};
use rustix_futex_sync::OnceLock;

use crate::failure::{Code, Failure};
use crate::guest::system::files::{Directory, File, why_not_opened};
use crate::guest::system::initramfs::is_initramfs;
use crate::request::list::ModuleEntry;
use crate::request::name::{normal, same};
use crate::resolve::tree::dep::module_of;
use crate::resolve::tree::index::{Index, IndexKind};
use crate::text::Shown;

/// The directory of module trees.
pub const MODULES: &str = "/lib/modules";
/// The file of the tree that is part of the configuration.
pub const SOFTDEP: &str = "modules.softdep";
/// The longest index that is read from a share, in bytes. Those of a distribution's kernel have up to 2 MB.
const LONGEST_INDEX: usize = 64 << 20;

/// The number of names that are looked at for a file without a line of modules.dep. A distribution's tree has some
/// 5,000.
const MOST_SEARCHED: usize = 20_000;

/// An open module tree.
#[derive(Debug)]
pub struct ModuleTree {
    /// The directory of module trees that the tree is in, as failures name it.
    name: String,
    release: String,
    /// The directory that has a tree for each release. `None`: the tree was opened by itself.
    modules: Option<Directory>,
    /// The directory of the tree.
    directory: Directory,
    /// Whether the tree exists. If not, `directory` is where paths that are not absolute begin.
    exists: bool,
    /// Whether the directory `modprobe.d` beside `modules` is part of the configuration.
    pub has_own_config: bool,
    /// The indexes, each opened when it is first searched.
    indexes: [OnceLock<Index<'static>>; 5],
    /// Whether the tree is in an initramfs, once that was asked.
    is_in_initramfs: OnceLock<bool>,
}

impl ModuleTree {
    /// Opens the tree of `release` in the directory `modules`, which may be on a share or in an image. Failures call
    /// the directory `name`.
    ///
    /// Failures: [`Code::NoModuleTree`], [`Code::CorruptIndex`].
    // Out of line, because PID 1 and modprobe call it.
    #[inline(never)]
    pub fn open(modules: io::Result<Directory>, name: &dyn Display, release: &str) -> Result<Self, Failure> {
        let closed = |error| match error {
            Errno::XDEV => why_not_opened(error),
            _ => "the directory can't be opened",
        };
        let failure = |path: &dyn Display, error, reason: &dyn Display| {
            Failure::from_errno(Code::NoModuleTree, path, error, reason)
        };
        let modules = modules.map_err(|error| failure(name, error, &closed(error)))?;
        let name = name.to_string();
        let missing = |error, reason: &str| {
            let others = modules.names().unwrap_or_default();
            let reason = alloc::format!("{reason}{}", Listed("; there is ", &others));
            failure(&TreePath { modules: &name, release }, error, &reason)
        };
        let directory = modules.directory(release).map_err(|error| missing(error, closed(error)))?;
        let tree = Self::in_directory(directory, release);
        match tree.index(IndexKind::Dep)?.exists() {
            true => Ok(Self { name, modules: Some(modules), ..tree }),
            false => Err(missing(Errno::NOENT, "it has no modules.dep.bin and no modules.dep")),
        }
    }

    /// Takes an open directory as the tree of `release`, even if it has no modules.dep.
    pub fn in_directory(directory: Directory, release: &str) -> Self {
        let indexes = Default::default();
        let (name, release) = (String::new(), release.to_string());
        let is_in_initramfs = OnceLock::new();
        Self { name, release, modules: None, directory, exists: true, has_own_config: false, indexes, is_in_initramfs }
    }

    /// The tree of a release that has none: no module. Paths that are not absolute begin in `directory`.
    pub fn without_modules(directory: Directory, release: &str) -> Self {
        let indexes = IndexKind::ALL.map(|kind| OnceLock::from(Index::absent(kind)));
        Self { exists: false, indexes, ..Self::in_directory(directory, release) }
    }

    /// Adds to the reason of a failure the places where the module is nevertheless: the other releases whose trees have
    /// it, or a file in this tree that modules.dep does not know. An optional entry is not worth a search for a file.
    pub fn add_places(&self, entry: &ModuleEntry<'_>, failure: &mut Failure) {
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

    /// The file with the soft dependencies that the modules themselves have (MODPROBE.md 6.1).
    ///
    /// Error: ENOENT if there is none.
    pub fn softdep(&self) -> io::Result<File> {
        if self.exists { self.directory.regular(SOFTDEP) } else { Err(Errno::NOENT) }
    }

    /// The directory `modprobe.d` beside the directory of module trees, if it is part of the configuration and exists.
    pub fn own_config(&self) -> Option<Directory> {
        self.modules.as_ref().filter(|_| self.has_own_config)?.directory("../modprobe.d").ok()
    }

    /// The device and the inode of the directory of module trees.
    pub fn modules_identity(&self) -> Option<(u64, u64)> {
        let file = fstat(self.modules.as_ref()?).ok()?;
        Some((file.st_dev, file.st_ino))
    }

    /// The release of the tree's kernel, as `uname -r` prints it.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The path of the tree, as failures name it.
    pub fn path(&self) -> TreePath<'_> {
        TreePath { modules: &self.name, release: &self.release }
    }

    /// The directory of the tree. The paths in modules.dep begin here.
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether the files of the tree are in an initramfs, so that removing one frees memory.
    pub fn is_in_initramfs(&self) -> bool {
        *self.is_in_initramfs.get_or_init(|| is_initramfs(&self.directory))
    }

    /// An index of the tree.
    ///
    /// Failure: [`Code::CorruptIndex`].
    pub fn index(&self, kind: IndexKind) -> Result<Index<'static>, Failure> {
        let Some(slot) = self.indexes.get(kind as usize) else { return Ok(Index::absent(kind)) };
        if let Some(index) = slot.get() {
            return Ok(*index);
        }
        let index = open_index(&self.directory, kind)?;
        Ok(*slot.get_or_init(|| index))
    }
}

/// Displays the path of the tree of a release, in a directory of module trees.
#[derive(Clone, Copy, Debug)]
pub struct TreePath<'a> {
    modules: &'a str,
    release: &'a str,
}

impl Display for TreePath<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.modules.trim_end_matches('/'), Shown(self.release.as_bytes()))
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
