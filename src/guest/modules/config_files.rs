//! The files of the configuration: those in modprobe.d, and modules.softdep of each module tree (MODPROBE.md 6.1, 6.2).
//!
//! [`crate::resolve::tree::config`] owns the meaning of a line.

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Display;

use rustix::io::{self, Errno};

use crate::failure::{Code, Failure};
use crate::guest::modules::tree::SOFTDEP;
use crate::guest::modules::trees::ModuleTrees;
use crate::guest::system::files::{Directory, File, read, why_not_opened};
use crate::resolve::tree::Trees;
use crate::resolve::tree::config::{Directive, directives, unfold};
use crate::text::Shown;

/// The directories of configuration. Of two files with one name, the one in the earlier directory counts
/// (modprobe.d(5)).
pub const CONFIG: [&str; 5] =
    ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];
/// modules.softdep, followed by as many NUL bytes as there may be further trees. A key has one for each earlier tree,
/// so that the files of several trees are sorted by the number of the tree.
const SOFTDEP_KEYS: &[u8] = b"modules.softdep\0\0\0\0\0\0\0";
/// The longest file that is read, in bytes.
const LONGEST: usize = 64 << 20;

/// A directory of configuration, or, as `modprobe -C` takes it, a file.
#[derive(Clone, Copy, Debug)]
pub struct ConfigPath<'a> {
    /// The root of the image in which the path is looked up. `None`: the root of this process.
    pub root: Option<&'a Directory>,
    /// The path.
    pub path: &'a [u8],
}

impl<'a> From<&'a str> for ConfigPath<'a> {
    fn from(path: &'a str) -> Self {
        path.as_bytes().into()
    }
}

impl<'a> From<&'a [u8]> for ConfigPath<'a> {
    fn from(path: &'a [u8]) -> Self {
        Self { root: None, path }
    }
}

/// The texts of all files, in the order of their names, with their lines unfolded. modules.softdep is one of them, that
/// of an earlier tree before that of a later one. Calls `failed` with each directory or file that exists and can't be
/// read. To modprobe that file is empty.
///
/// Failure: [`Code::ConfigUnreadable`].
pub fn read_all<'c>(
    trees: &ModuleTrees,
    paths: &[impl Copy + Into<ConfigPath<'c>>],
    failed: &mut dyn FnMut(Failure),
) -> Vec<Vec<u8>> {
    let mut files = ConfigFiles { files: Vec::new(), failed };
    files.add(SOFTDEP.as_bytes(), &SOFTDEP, || trees.tree(0).softdep());
    for number in 1..trees.count() {
        let tree = trees.tree(number);
        let key = SOFTDEP_KEYS.get(..SOFTDEP.len() + usize::from(number)).unwrap_or(SOFTDEP_KEYS);
        files.add(key, &format_args!("{}/{SOFTDEP}", tree.path()), || tree.softdep());
        files.retain_softdeps(key, &|module| !trees.have_before(number, module));
    }
    for &path in paths {
        files.add_path(path.into());
    }
    for tree in trees.trees() {
        if let Some(directory) = tree.own_config() {
            files.add_directory(&directory, &format_args!("{}/../../modprobe.d", tree.path()));
        }
    }
    files.files.into_iter().map(|(_, text)| text).collect()
}

/// The files that were read so far: names with texts, sorted by name.
struct ConfigFiles<'f> {
    files: Vec<(Vec<u8>, Vec<u8>)>,
    failed: &'f mut dyn FnMut(Failure),
}

impl ConfigFiles<'_> {
    /// Adds the files `*.conf` of a directory.
    fn add_path(&mut self, ConfigPath { root, path }: ConfigPath<'_>) {
        let directory = match root {
            Some(root) => root.directory(path),
            None => Directory::open(path),
        };
        match directory {
            Ok(directory) => self.add_directory(&directory, &Shown(path)),
            // `modprobe -C` also takes a file, of any name.
            Err(Errno::NOTDIR) => {
                let open = || root.cloned().map_or_else(|| Directory::open("."), Ok)?.regular(path);
                let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
                self.add(name, &Shown(name), open);
            }
            Err(error) => self.fail(&Shown(path), error),
        }
    }

    /// Adds the files `*.conf` of a directory that is open. A failure calls the directory `path`.
    fn add_directory(&mut self, directory: &Directory, path: &dyn Display) {
        match directory.file_names() {
            Ok(names) => {
                let names = names.iter().filter(|name| name.ends_with(b".conf") && !name.starts_with(b"."));
                names.for_each(|name| {
                    self.add(name, &format_args!("{path}/{}", Shown(name)), || directory.regular(name.as_slice()));
                });
            }
            Err(error) => self.fail(path, error),
        }
    }

    /// Adds a file, unless there is one of that name. A directory is no file, and neither is a link to nothing,
    /// whatever the name is. A file of another kind is empty, such as /dev/null, which masks files of the same name.
    /// A failure calls the file `path`.
    fn add(&mut self, name: &[u8], path: &dyn Display, open: impl FnOnce() -> io::Result<File>) {
        let Err(position) = self.files.binary_search_by(|(known, _)| known.as_slice().cmp(name)) else { return };
        let text = match open() {
            Err(Errno::ISDIR | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return,
            Err(Errno::INVAL) => Vec::new(),
            file => file.and_then(|file| read(&file, LONGEST)).unwrap_or_else(|error| {
                self.fail(path, error);
                Vec::new()
            }),
        };
        self.files.insert(position, (name.to_vec(), unfolded(text)));
    }

    /// Removes the soft dependencies of some modules from a file.
    fn retain_softdeps(&mut self, name: &[u8], is_kept: &dyn Fn(&[u8]) -> bool) {
        let is_kept = |line: &&[u8]| match directives(line).next() {
            Some(Directive::Softdep { pattern, .. }) => is_kept(pattern),
            _ => true,
        };
        if let Some((_, text)) = self.files.iter_mut().find(|(known, _)| known == name) {
            *text = text.split_inclusive(|&b| b == b'\n').filter(is_kept).flatten().copied().collect();
        }
    }

    /// Reports that something can't be read, unless it does not exist.
    fn fail(&mut self, path: &dyn Display, error: Errno) {
        let reason = match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => return,
            Errno::FBIG => "it has more than 64 MiB",
            other => why_not_opened(other),
        };
        let reason = format!("it can't be read: {reason}");
        (self.failed)(Failure::from_errno(Code::ConfigUnreadable, path, error, reason));
    }
}

/// A text with its lines unfolded.
fn unfolded(mut text: Vec<u8>) -> Vec<u8> {
    let length = unfold(&mut text);
    text.truncate(length);
    text
}
