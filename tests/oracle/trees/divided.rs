//! Module trees that together have the modules of one undivided tree. Each has the indexes that depmod makes of it
//! alone; those of the undivided tree are made by one depmod over all.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use guest_init::elf::Elf;
use guest_init::resolve::tree::dep::module_of;
use tempfile::TempDir;

use super::pool::{BuiltIn, Pool, plain};
use crate::support::random::Random;
use crate::support::small_tree::depmod;

/// The keys of .modinfo without which the symbols of a module must say what it depends on.
const IN_TREE: [&str; 2] = ["depends", "intree"];
/// The keys of .modinfo that depmod makes an index of.
const INDEXED: [&str; 2] = ["alias", "softdep"];

/// The modules of an undivided tree, which is removed with this value.
pub struct Undivided {
    root: TempDir,
    pub release: String,
    /// The names of the modules. No module depends on a later one.
    pub names: Vec<String>,
    files: Vec<ModuleFile>,
    built_in: Vec<BuiltIn>,
    /// The kernel's modules.order.
    order: PathBuf,
}

/// The file of a module.
#[derive(Clone)]
struct ModuleFile {
    /// The number of the tree that has it.
    tree: usize,
    /// Its path below the tree.
    path: String,
    /// The file with its bytes.
    source: PathBuf,
}

impl Undivided {
    /// A random part of a kernel's modules. In half of these trees some modules were built outside of the kernel.
    pub fn some(pool: &Pool, root: TempDir, random: &mut Random) -> Self {
        let paths = pool.closed_subset(random);
        let mut tree = Self::new(pool, paths.iter().copied(), root, random);
        let out_of_tree = [0, 0, 20, 60][random.below(4)];
        for path in paths {
            let source = pool.directory.join(path);
            tree.files.push(match random.percent(out_of_tree) {
                true => struck(&source, "extra", &IN_TREE, tree.root.path()),
                false => ModuleFile { tree: 0, path: path.into(), source },
            });
        }
        tree.write(tree.root.path(), &tree.files, true);
        tree
    }

    /// All modules of a kernel.
    pub fn whole(pool: &Pool, root: TempDir, random: &mut Random) -> Self {
        let mut tree = Self::new(pool, pool.paths(), root, random);
        let file = |path: &str| ModuleFile { tree: 0, path: path.into(), source: pool.directory.join(path) };
        tree.files.extend(pool.paths().map(file));
        tree.write(tree.root.path(), &tree.files, true);
        tree
    }

    fn new<'p>(pool: &Pool, paths: impl Iterator<Item = &'p str>, root: TempDir, random: &mut Random) -> Self {
        let name = |path: &str| String::from_utf8_lossy(module_of(path.as_bytes())).into_owned();
        Self {
            root,
            release: pool.release.clone(),
            names: paths.map(name).collect(),
            files: Vec::new(),
            built_in: pool.some_built_in(random),
            order: pool.directory.join("modules.order"),
        }
    }

    /// The tree's directory.
    pub fn directory(&self) -> PathBuf {
        self.below(self.root.path())
    }

    /// The directory of a tree of the same release below `root`.
    fn below(&self, root: &Path) -> PathBuf {
        root.join("lib/modules").join(&self.release)
    }

    /// Divides the tree at random. `copies` is the percentage of the modules that the last tree has as well, under
    /// another path and without their aliases and soft dependencies.
    pub fn divide(&self, count: usize, copies: usize, root: TempDir, random: &mut Random) -> Divided<'_> {
        // An add-on may have been built with the files that list built-in modules, or without.
        let mut lists_built_in: Vec<_> = (0..count).map(|_| random.percent(50)).collect();
        lists_built_in[random.below(count)] = true;
        let mut files = Vec::new();
        for file in &self.files {
            let tree = random.below(count);
            files.push(ModuleFile { tree, ..file.clone() });
            if tree + 1 < count && random.percent(copies) {
                files.push(ModuleFile { tree: count - 1, ..struck(&file.source, "updates", &INDEXED, root.path()) });
            }
        }
        let divided = Divided { root, undivided: self, has_copies: files.len() > self.files.len(), files };
        for (tree, lists_built_in) in lists_built_in.into_iter().enumerate() {
            let files: Vec<_> = divided.files.iter().filter(|file| file.tree == tree).cloned().collect();
            self.write(&divided.root_of(tree), &files, lists_built_in);
        }
        divided
    }

    /// Writes a tree of these modules below `root`.
    fn write(&self, root: &Path, files: &[ModuleFile], lists_built_in: bool) {
        let tree = &self.below(root);
        for file in files {
            let path = tree.join(&file.path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
            symlink(&file.source, path).expect("a link can be made");
        }
        let listed = if lists_built_in { &self.built_in[..] } else { &[] };
        let names: String = listed.iter().map(|module| format!("{}\n", module.path)).collect();
        let modinfo: Vec<u8> = listed.iter().flat_map(|module| module.modinfo.iter().copied()).collect();
        fs::create_dir_all(tree).expect("the tree can be made");
        fs::write(tree.join("modules.builtin"), names).expect("modules.builtin");
        fs::write(tree.join("modules.builtin.modinfo"), modinfo).expect("modules.builtin.modinfo");
        symlink(&self.order, tree.join("modules.order")).expect("modules.order");
        depmod(root, &self.release);
    }
}

/// An undivided tree's modules in several trees, which are removed with this value.
pub struct Divided<'u> {
    root: TempDir,
    undivided: &'u Undivided,
    /// Whether a module is in two trees.
    has_copies: bool,
    files: Vec<ModuleFile>,
}

impl Divided<'_> {
    /// The folder that holds the tree of a number.
    pub fn modules(&self, tree: usize) -> PathBuf {
        self.root_of(tree).join("lib/modules")
    }

    fn root_of(&self, tree: usize) -> PathBuf {
        self.root.path().join(tree.to_string())
    }

    /// The undivided tree, to which the first tree of an order that has a module gives its file.
    pub fn undivided(&self, order: &[usize]) -> PathBuf {
        if !self.has_copies {
            return self.undivided.directory();
        }
        let mut files = self.files.clone();
        files.sort_by_key(|file| order.iter().position(|&tree| tree == file.tree));
        let mut names = HashSet::new();
        files.retain(|file| names.insert(module_of(file.path.as_bytes()).to_vec()));
        let root = self.root.path().join(format!("{order:?}"));
        self.undivided.write(&root, &files, true);
        self.undivided.below(&root)
    }

    /// Whether a tree has a file.
    pub fn has(&self, tree: usize, path: &[u8]) -> bool {
        self.files.iter().any(|file| file.tree == tree && file.path.as_bytes() == path)
    }
}

/// A module's file in a folder of the tree, with some of the strings of its .modinfo under other keys.
fn struck(source: &Path, folder: &str, keys: &[&str], scratch: &Path) -> ModuleFile {
    let mut bytes = plain(source);
    let info = Elf::new(&bytes).and_then(|file| file.section(b".modinfo")).expect("a module");
    let begins = info.as_ptr() as usize - bytes.as_ptr() as usize;
    let mut places = Vec::new();
    let mut place = begins;
    for string in info.split(|&b| b == 0) {
        let key = string.split(|&b| b == b'=').next().unwrap_or_default();
        places.extend(keys.iter().any(|struck| struck.as_bytes() == key).then_some(place));
        place += string.len() + 1;
    }
    places.into_iter().for_each(|place| bytes[place] = b'_');

    let file = source.file_name().and_then(|file| file.to_str()).expect("a name in UTF-8");
    let path = format!("{folder}/{}", file.trim_end_matches(".xz"));
    let source = scratch.join(&path);
    fs::create_dir_all(scratch.join(folder)).expect("the folder can be made");
    fs::write(&source, bytes).expect("the file can be written");
    ModuleFile { tree: 0, path, source }
}
