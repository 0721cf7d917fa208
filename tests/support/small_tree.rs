//! A small module tree: a dozen modules with random symbols, aliases and soft dependencies, made by `as` of binutils,
//! and their indexes, made by depmod.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::random::Random;

/// The tree's directory below lib/modules.
pub const RELEASE: &str = "1.0-small";
/// The modules, as their files are spelled.
pub const MODULES: [&str; 14] = [
    "alpha", "be-ta", "ga_mma", "de-l_ta", "e1", "zeta", "eta-9", "th_eta", "io-ta", "kappa", "lamb_da", "mu", "nu-x",
    "a1",
];
/// The built-in modules.
pub const BUILT_IN: [&str; 3] = ["core-a", "core_b", "nu-core"];
/// Patterns of aliases as real modules have them. `{}` becomes the module's name.
const OWN_ALIASES: [&str; 4] = ["bus:v000{}d*sv*", "fs-{}", "of:N*T*Cx,{}C*", "of:N*T*Cx,{}"];
/// Patterns of which several may match one name.
const ALIASES: [&str; 8] = [
    "bus:v*d0[0-3]*",
    "bus:v*",
    "char-major-1?-*",
    "usb:v1Dp*d0[a-c]*dc*",
    "usb:v1Dp*d0[!a-c]*dc*",
    "[nc]et-*",
    "net-pf-2?",
    "usb:v1D*",
];

/// The tree on disk, which is removed with this value.
pub struct SmallTree {
    root: TempDir,
    /// The modules, as their files are spelled.
    pub modules: Vec<&'static str>,
    /// The built-in modules.
    pub built_in: Vec<&'static str>,
    /// The aliases of all modules.
    pub aliases: Vec<String>,
}

impl SmallTree {
    /// Makes a tree in a directory.
    pub fn new(root: TempDir, random: &mut Random) -> Self {
        Self::of(&MODULES, &BUILT_IN, root, random)
    }

    /// Makes a tree of these modules and built-in modules in a directory.
    pub fn of(modules: &[&'static str], built_in: &[&'static str], root: TempDir, random: &mut Random) -> Self {
        let (modules, built_in) = (modules.to_vec(), built_in.to_vec());
        let mut tree = Self { root, modules, built_in, aliases: Vec::new() };
        let directory = tree.directory();
        fs::create_dir_all(directory.join("kernel/sub")).expect("the tree's directories");
        let mut order = String::new();
        for number in 0..tree.modules.len() {
            let name = tree.modules[number];
            let file = format!("kernel/{}{name}.ko", random.pick(&["", "sub/"]));
            let source = tree.source(number, random);
            assemble(&source, &directory.join(&file));
            if random.percent(90) {
                writeln!(order, "{file}").unwrap();
            }
        }
        let mut modinfo = Vec::new();
        for name in tree.built_in.clone() {
            modinfo.extend(format!("{name}.license=none\0").replace('-', "_").into_bytes());
            // No two modules share a pattern here: modules.builtin.modinfo does not have the order in which they are
            // found.
            for alias in tree.some_aliases(&OWN_ALIASES, name, random) {
                modinfo.extend(format!("{}.alias={alias}\0", name.replace('-', "_")).into_bytes());
            }
        }
        fs::write(directory.join("modules.order"), order).expect("modules.order");
        let built_in: String = tree.built_in.iter().map(|name| format!("kernel/{name}.ko\n")).collect();
        fs::write(directory.join("modules.builtin"), built_in).expect("modules.builtin");
        fs::write(directory.join("modules.builtin.modinfo"), modinfo).expect("modules.builtin.modinfo");
        depmod(tree.root.path(), RELEASE);
        tree
    }

    /// The tree's parent, lib/modules.
    pub fn modules(&self) -> PathBuf {
        self.root.path().join("lib/modules")
    }

    /// The tree.
    pub fn directory(&self) -> PathBuf {
        self.modules().join(RELEASE)
    }

    /// The source of a module that needs symbols of some earlier modules.
    fn source(&mut self, number: usize, random: &mut Random) -> String {
        let symbol = |number: usize| format!("sym_{number}");
        let mut source = format!(".section __ksymtab_strings,\"a\"\n.asciz \"{}\"\n.data\n", symbol(number));
        for needed in (0..number).filter(|_| random.percent(15)) {
            writeln!(source, ".long {}", symbol(needed)).unwrap();
        }
        source.push_str(".section .modinfo,\"a\"\n");
        for alias in self.some_aliases(&[&OWN_ALIASES[..], &ALIASES].concat(), self.modules[number], random) {
            writeln!(source, ".asciz \"alias={alias}\"").unwrap();
        }
        while random.percent(25) {
            let [a, b] = [(); 2].map(|()| random.pick(&["ghost", "be_ta", "e1", "mu", "fs-zeta", "core_a", "kappa"]));
            writeln!(source, ".asciz \"softdep={}: {a} {b}\"", random.pick(&["pre", "post", "pre: a1 post"])).unwrap();
        }
        source
    }

    fn some_aliases(&mut self, of: &[&str], name: &str, random: &mut Random) -> Vec<String> {
        let some = (0..random.below(4)).map(|_| random.pick(of).replace("{}", name));
        let some: Vec<_> = some.collect();
        self.aliases.extend(some.iter().cloned());
        some
    }
}

fn assemble(source: &str, to: &Path) {
    let file = to.with_extension("s");
    fs::write(&file, source).expect("a source file");
    let done = Command::new("as").arg(&file).arg("-o").arg(to).status().expect("as, of binutils");
    assert!(done.success(), "as: {done}: {source}");
}

/// Makes the indexes of a release's tree below `root`, without this machine's depmod.d.
pub fn depmod(root: &Path, release: &str) {
    let mut depmod = Command::new("/sbin/depmod");
    depmod.arg("-C").arg("/dev/null").arg("-b").arg(root).arg(release);
    let done = depmod.output().expect("depmod, of kmod");
    assert!(done.status.success() && done.stderr.is_empty(), "depmod: {}", done.stderr.escape_ascii());
}
