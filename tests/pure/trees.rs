//! Several module trees: which module a name means, and which files are loaded before it. The oracle compares whole
//! trees with libkmod; here is what depmod would refuse, and what can't come from depmod.

use std::fs;
use std::path::PathBuf;

use guest_init::failure::{Code, Failure};
use guest_init::guest::modules::tree::ModuleTree;
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::guest::system::files::Directory;
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list;
use guest_init::resolve::plan::{Options, Plan};
use tempfile::TempDir;

use crate::module::module;

/// The folder of a tree.
struct Tree(TempDir);

impl Tree {
    /// A tree of modules: the path of each, the paths on its line of modules.dep, and its `depends=`.
    fn new(modules: &[(&str, &str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        let line = |(path, paths, _): &(&str, &str, &str)| format!("{path}: {paths}\n");
        tree.write("modules.dep", modules.iter().map(line).collect::<String>());
        for (path, _, depends) in modules {
            tree.write(path, module(&[&format!("depends={depends}"), "intree=Y"], &[]));
        }
        tree
    }

    /// Writes a file below the tree.
    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.modules().join("1.0").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    fn modules(&self) -> PathBuf {
        self.0.path().join("modules")
    }
}

/// Opens trees, first first. modprobe.d beside each of them is part of the configuration.
fn open(trees: &[&Tree]) -> ModuleTrees {
    let open = |tree: &&Tree| {
        let modules = tree.modules();
        let mut tree = ModuleTree::open(Directory::open(modules.as_path()), &modules.display(), "1.0").unwrap();
        tree.has_own_config = true;
        tree
    };
    let mut opened = ModuleTrees::of(open(&trees[0]));
    trees[1..].iter().for_each(|tree| opened.add(open(tree)));
    opened.require_config(&[""; 0]).unwrap();
    opened
}

/// The plan for a list, one line a step, or the failure of an entry.
fn plan(list: &str, trees: &[&Tree]) -> Result<String, Failure> {
    let trees = open(trees);
    let config = trees.config(ModuleWords::NONE);
    let mut plan = Box::new(Plan::new(trees.sources(&config)));
    let mut result = Ok(());
    list::read(list.as_bytes(), "list", &mut |entry| {
        let entry = entry.unwrap();
        result = result.clone().and(plan.add(entry.module().unwrap(), Options::default()));
    });
    result.map(|()| plan.to_string())
}

#[test]
fn a_module_of_two_trees_is_that_of_the_first() {
    let base = Tree::new(&[("base/both.ko", "", "")]).with("modules.alias", "alias bus:1 both\n");
    let add_on = Tree::new(&[("add/both.ko", "", ""), ("add/own.ko", "add/both.ko", "both"), ("add/soft.ko", "", "")])
        .with("modules.alias", "alias bus:* both\nalias bus:* own\n")
        .with("modules.softdep", "softdep both pre: soft\n");
    let plan = |list| [plan(list, &[&base, &add_on]).unwrap(), plan(list, &[&add_on, &base]).unwrap()];
    assert_eq!(plan("both"), ["insmod base/both.ko \n", "insmod add/soft.ko \ninsmod add/both.ko \n"]);
    let own = "insmod base/both.ko \ninsmod add/own.ko \n";
    assert_eq!(plan("own"), [own, "insmod add/soft.ko \ninsmod add/both.ko \ninsmod add/own.ko \n"]);
    // The alias that the other tree has for the same module does not count.
    assert_eq!(plan("bus:2")[0], own);
    // The modules of the first tree come first. If the first module of an alias fails, the others are still loaded, so
    // the step of a dependency is repeated.
    assert_eq!(plan("bus:1")[0], ["insmod base/both.ko \n", own].concat());
}

#[test]
fn dependencies_cross_trees_in_every_depth() {
    let base = Tree::new(&[("a.ko", "", "x"), ("b.ko", "c.ko", "c"), ("c.ko", "", ""), ("old.ko", "", "gone")]);
    let add_on = Tree::new(&[("x.ko", "y.ko", "y,b"), ("y.ko", "", "built")]).with("modules.builtin", "k/built.ko\n");
    for trees in [[&base, &add_on], [&add_on, &base]] {
        let steps = plan("a", &trees).unwrap();
        assert_eq!(steps, "insmod y.ko \ninsmod c.ko \ninsmod b.ko \ninsmod x.ko \ninsmod a.ko \n");
        // Nobody has what it needs. The kernel refuses the module, by the symbol that is missing.
        assert_eq!(plan("old", &trees).unwrap(), "insmod old.ko \n");
        assert_eq!(plan("built", &trees).unwrap(), "builtin built\n");
    }
    fs::remove_file(base.modules().join("1.0/a.ko")).unwrap();
    assert_eq!(plan("a", &[&base, &add_on]).unwrap(), "insmod a.ko \n", "the load reports the missing file");
}

#[test]
fn modules_that_depend_on_each_other_in_a_circle_end() {
    let base = Tree::new(&[("a.ko", "", "x,a")]);
    let add_on = Tree::new(&[("x.ko", "", "a")]);
    assert_eq!(plan("a", &[&base, &add_on]).unwrap(), "insmod x.ko \ninsmod a.ko \n");
    assert_eq!(plan("x", &[&base, &add_on]).unwrap(), "insmod a.ko \ninsmod x.ko \n");
}

#[test]
fn an_endless_chain_is_a_failure() {
    let names: Vec<_> = (0..100).map(|number| (format!("m{number}.ko"), format!("m{}", number + 1))).collect();
    let half = |odd| -> Vec<_> {
        let half = names.iter().skip(odd).step_by(2);
        half.map(|(path, next)| (path.as_str(), "", next.as_str())).collect()
    };
    let trees = [Tree::new(&half(0)), Tree::new(&half(1))];
    let failure = plan("m0", &[&trees[0], &trees[1]]).unwrap_err();
    assert_eq!(failure.code, Code::PlanTooLarge);
    assert!(failure.reason.as_str().contains("64 modules that depend on one another"), "{failure}");
    assert_eq!(plan("m40", &[&trees[0], &trees[1]]).unwrap().lines().count(), 60);
}

#[test]
fn the_configuration_beside_a_tree_is_part_of_the_configuration() {
    let base = Tree::new(&[("a.ko", "", "")]).with("../../modprobe.d/a.conf", "options x from=base\n");
    let add_on = Tree::new(&[("x.ko", "", "a")])
        .with("../../modprobe.d/a.conf", "options x hidden=1\n")
        .with("../../modprobe.d/b.conf", "options a from=add-on\n");
    assert_eq!(plan("x", &[&base, &add_on]).unwrap(), "insmod a.ko from=add-on\ninsmod x.ko from=base\n");
}

#[test]
fn a_damaged_index_is_named_with_its_tree() {
    let base = Tree::new(&[("a.ko", "", "")]);
    let add_on = Tree::new(&[("x.ko", "", "")]).with("modules.alias.bin", "no index");
    let failure = plan("bus:1", &[&base, &add_on]).unwrap_err();
    assert_eq!(failure.code, Code::CorruptIndex);
    let path = format!("{}/1.0/modules.alias.bin", add_on.modules().display());
    assert_eq!(failure.subject.as_str(), path, "{failure}");
}
