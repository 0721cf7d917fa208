//! The modules of a real kernel, as the pool that small trees are made of.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use guest_init::resolve::tree::dep::{Line, module_of};

use crate::support::Kernel;
use crate::support::random::Random;

/// The number of modules of a small tree. With the last module that is added it may have more.
const MODULES: Range<usize> = 60..100;
/// The size of the largest module of a small tree, in bytes. Larger ones take long to read and to decompress.
const LARGEST: u64 = 256 << 10;
/// The number of built-in modules of a small tree.
const BUILT_IN: usize = 20;

/// A kernel's modules.
pub struct Pool {
    /// The kernel's own tree.
    pub directory: PathBuf,
    pub release: String,
    modules: Vec<PoolModule>,
    /// The numbers of the modules that neither are large nor depend on a large one.
    small: Vec<usize>,
    /// Those of them that have soft dependencies.
    with_softdeps: Vec<usize>,
    built_in: Vec<BuiltIn>,
}

/// A module of the pool.
struct PoolModule {
    /// Its path below the tree.
    path: String,
    /// The numbers of all modules that it depends on.
    dependencies: Vec<usize>,
}

/// A built-in module.
#[derive(Clone)]
pub struct BuiltIn {
    /// Its line of modules.builtin.
    pub path: String,
    /// Its strings of modules.builtin.modinfo.
    pub modinfo: Vec<u8>,
}

impl Pool {
    /// The modules of one of scripts/kernel's versions.
    pub fn fetch(version: &str) -> Self {
        let kernel = Kernel::version(version);
        let directory = kernel.modules();
        let modules = modules_in(&fs::read(directory.join("modules.dep")).expect("modules.dep"));
        let is_small =
            |module: &PoolModule| fs::metadata(directory.join(&module.path)).expect("a module").len() <= LARGEST;
        let is_small: Vec<_> = modules.iter().map(is_small).collect();
        let has_no_large = |&number: &usize| {
            is_small[number] && modules[number].dependencies.iter().all(|&dependency| is_small[dependency])
        };
        let small: Vec<_> = (0..modules.len()).filter(has_no_large).collect();
        let softdeps = fs::read_to_string(directory.join("modules.softdep")).expect("modules.softdep");
        let softdeps: HashSet<_> = softdeps.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        let name = |path: &str| String::from_utf8_lossy(module_of(path.as_bytes())).replace('-', "_");
        let has_softdeps = |number: &usize| softdeps.contains(&*name(&modules[*number].path));
        let with_softdeps = small.iter().copied().filter(has_softdeps).collect();
        let built_in = built_in(&directory);
        Self { directory, release: kernel.release, modules, small, with_softdeps, built_in }
    }

    /// The paths of all modules.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().map(|module| &*module.path)
    }

    /// The paths of some random modules and of all that they depend on. No module depends on a later one.
    pub fn closed_subset(&self, random: &mut Random) -> Vec<&str> {
        let size = MODULES.start + random.below(MODULES.len());
        let mut chosen = Vec::new();
        while chosen.len() < size {
            let of = if random.percent(10) { &self.with_softdeps } else { &self.small };
            let module = of[random.below(of.len())];
            // Most modules depend on nothing. Those are of little interest here.
            if !self.modules[module].dependencies.is_empty() || random.percent(10) {
                chosen.push(module);
                chosen.extend(&self.modules[module].dependencies);
                chosen.sort();
                chosen.dedup();
            }
        }
        chosen.sort_by_key(|module| self.modules[*module].dependencies.len());
        chosen.into_iter().map(|module| &*self.modules[module].path).collect()
    }

    /// Some random built-in modules.
    pub fn some_built_in(&self, random: &mut Random) -> Vec<BuiltIn> {
        (0..BUILT_IN).map(|_| self.built_in[random.below(self.built_in.len())].clone()).collect()
    }
}

/// The modules of a modules.dep.
fn modules_in(dep: &[u8]) -> Vec<PoolModule> {
    let text = |path: &[u8]| str::from_utf8(path).expect("a path in UTF-8").to_string();
    let lines: Vec<_> = dep.split(|&b| b == b'\n').map(|line| Line::new(0, line)).collect();
    let lines: Vec<_> = lines.iter().filter_map(|line| Some((line.path()?.path, line))).collect();
    let numbers: HashMap<_, _> = lines.iter().enumerate().map(|(number, (path, _))| (*path, number)).collect();
    let module = |(path, line): &(&[u8], &Line<'_>)| PoolModule {
        path: text(path),
        dependencies: line.dependencies().map(|file| numbers[file.path]).collect(),
    };
    lines.iter().map(module).collect()
}

/// The built-in modules of a tree.
fn built_in(tree: &Path) -> Vec<BuiltIn> {
    let names = fs::read_to_string(tree.join("modules.builtin")).expect("modules.builtin");
    let modinfo = fs::read(tree.join("modules.builtin.modinfo")).expect("modules.builtin.modinfo");
    let mut strings: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for string in modinfo.split_inclusive(|&b| b == 0) {
        let name = string.split(|&b| b == b'.').next().unwrap_or_default();
        strings.entry(name.to_vec()).or_default().extend_from_slice(string);
    }
    let of = |path: &str| {
        let name = String::from_utf8_lossy(module_of(path.as_bytes())).replace('-', "_");
        BuiltIn { path: path.into(), modinfo: strings.get(name.as_bytes()).cloned().unwrap_or_default() }
    };
    names.lines().map(of).collect()
}

/// The bytes of a module's file, decompressed.
pub fn plain(file: &Path) -> Vec<u8> {
    match file.extension().is_some_and(|extension| extension == "xz") {
        true => Command::new("xzcat").arg(file).output().expect("xzcat").stdout,
        false => fs::read(file).expect("a module"),
    }
}
