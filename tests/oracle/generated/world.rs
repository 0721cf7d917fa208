//! A small image in which modprobe is called: the root directory of the calls, and what a case puts into it.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::mount_bind;
use rustix::process::{chdir, chroot, fchdir};

use crate::kmod::{Programs, Version};
use crate::libkmod::Sandbox;
use crate::support::built;
use crate::support::random::Random;
use crate::support::small_tree::SmallTree;

/// The module tree of each case.
pub const TREE: &str = "lib/modules/1.0-small";
/// The directories of modprobe.d, the most important first. kmod 30 does not read the fourth.
pub const CONFIG: [&str; 5] =
    ["etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"];
/// All directories that a case may fill.
const FILLED: [&str; 10] = [
    "etc/modprobe.d",
    "run/modprobe.d",
    "usr/local/lib/modprobe.d",
    "usr/lib/modprobe.d",
    "lib/modprobe.d",
    "conf",
    "lib/modules",
    "proc",
    "sys",
    "image/lib",
];
/// The names of modules whose letters mean something to a pattern, to a path or to an index. None has a dash in
/// brackets: to kmod no line of modprobe.d is about such a module, because it normalises a module's name in another way
/// than a name of a line (MODPROBE.md 1.1, 1.2); to guest-init lines are about it.
const ODD: [&str; 14] = [
    "alpha", "be-ta", "x[09]y-z", "w*ld", "q?m", "do.t-ted", "a[bc]d-e", "UP-per", "no-se", "e1", "a1", "mu", "nu-x",
    "both-1",
];
/// Built-in modules of trees with odd names. The last is a module too, and no module needs it: modprobe -D inserts a
/// dependency of both kinds, which guest-init does not do on purpose.
const ODD_BUILT_IN: [&str; 4] = ["core-a", "core.b", "nu-c[o]re", "both-1"];

/// The files of a tree that libkmod reads.
const INDEXES: [&str; 6] = [
    "modules.dep.bin",
    "modules.alias.bin",
    "modules.symbols.bin",
    "modules.builtin.bin",
    "modules.builtin.alias.bin",
    "modules.softdep",
];

/// What is at a path of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file with this text.
    Text(Vec<u8>),
    /// A symbolic link.
    Link(&'static str),
    /// A directory.
    Directory,
}

impl Content {
    /// The text of a file, or the target of a link.
    pub fn text(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Link(target) => target.as_bytes(),
            Self::Directory => b"",
        }
    }
}

/// Paths below the root and what is there, in the order in which they are made.
pub type Files = Vec<(Vec<u8>, Content)>;

/// The root directory of a thread's calls.
pub struct World {
    /// The programs, by their paths in this root.
    pub programs: Programs,
    /// The module trees, for the names that are looked up.
    pub trees: Vec<SmallTree>,
    outside: OwnedFd,
}

impl World {
    /// Makes a root directory with kmod, guest-init and a few module trees, and enters it.
    pub fn enter(sandbox: &Sandbox, random: &mut Random) -> Self {
        let trees = [false, true, false, true].map(|odd| match odd {
            true => SmallTree::of(&ODD, &ODD_BUILT_IN, sandbox.directory(), random),
            false => SmallTree::new(sandbox.directory(), random),
        });
        let root = sandbox.directory().keep();
        for version in Version::ALL {
            let inside = root.join(version.number());
            fs::create_dir(&inside).expect("a directory");
            mount_bind(version.directory(), &inside).expect("a bind mount");
        }
        fs::copy(built().join("guest-init"), root.join("guest-init")).expect("guest-init can be copied");
        for (number, tree) in trees.iter().enumerate() {
            copy(&tree.directory(), &root.join("trees").join(number.to_string()));
        }
        // Links of modprobe.d lead to it.
        fs::create_dir(root.join("dev")).expect("a directory");
        fs::write(root.join("dev/null"), b"").expect("a file");
        mount_bind("/dev/null", root.join("dev/null")).expect("a bind mount");
        symlink("/", root.join("link")).expect("a link");
        let outside = open("/", OFlags::DIRECTORY, Mode::empty()).expect("the root directory");
        chroot(&root).expect("chroot needs root");
        chdir("/").expect("the new root directory");
        let programs = Programs::at(&["/30", "/34"].map(PathBuf::from), Path::new("/guest-init"));
        Self { programs, trees: trees.into(), outside }
    }

    /// Replaces the files of the case before by these.
    pub fn fill(&self, files: &Files) {
        for directory in FILLED {
            let _ = fs::remove_dir_all(Path::new("/").join(directory));
        }
        // The working directories of calls.
        for directory in ["conf", "image/lib"] {
            fs::create_dir_all(Path::new("/").join(directory)).expect("a directory");
        }
        for (path, content) in files {
            let path = Path::new("/").join(OsStr::from_bytes(path));
            // A smaller case may have lost the directory, or have a file in its place.
            let _ = path.parent().map(fs::create_dir_all);
            let _ = match content {
                Content::Text(text) => fs::write(path, text),
                Content::Link(target) => symlink(target, path),
                Content::Directory => fs::create_dir_all(path),
            };
        }
    }

    /// The files of a tree, and the links by which the other paths of it are reached.
    pub fn tree_files(&self, number: usize) -> Files {
        let mut files = Files::new();
        let from = format!("/trees/{number}");
        for name in INDEXES {
            if let Ok(text) = fs::read(format!("{from}/{name}")) {
                files.push((format!("{TREE}/{name}").into(), Content::Text(text)));
            }
        }
        let kernel = ["/trees/0/kernel", "/trees/1/kernel", "/trees/2/kernel", "/trees/3/kernel"];
        files.push((format!("{TREE}/kernel").into(), Content::Link(kernel[number])));
        files
    }
}

impl Drop for World {
    /// Leaves the root directory, so that the sandbox can be removed.
    fn drop(&mut self) {
        let left = fchdir(&self.outside).and_then(|()| chroot("."));
        assert!(left.is_ok() || std::thread::panicking(), "{left:?}");
    }
}

/// Copies a directory and all below.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => fs::copy(entry.path(), to).map(drop).expect("a file"),
        }
    }
}
