//! Dependencies that cross module trees. The modules.dep of a tree was made without the other trees, so it lacks what
//! a module needs of them. The module's own file has it: `depends=` in `.modinfo`, which the kernel's build writes, and
//! the symbols that the file does not define.

use core::ops::Range;

use crate::elf::Elf;
use crate::failure::Failure;
use crate::request::name::same;
use crate::resolve::modinfo::ModInfo;
use crate::resolve::tree::dep::{Line, ModulePath, module_of};
use crate::resolve::tree::index::IndexKind;
use crate::resolve::tree::{Trees, exact, value_of};

/// The longest symbol that is looked up, in bytes, with `symbol:` before it. The kernel's have at most 511
/// (KSYM_NAME_LEN of linux/kallsyms.h).
const LONGEST_SYMBOL: usize = 520;
/// The prefix of a symbol's key in modules.symbols.
const SYMBOL: &[u8] = b"symbol:";

/// Calls `add` with each file that is loaded before `file`, in the order of loading. A file may come several times; the
/// first time counts. `contents` are those of the file, decompressed. If they are `None`, only modules.dep counts.
///
/// 1. The files on the line of the module's own modules.dep, each behind its own dependencies.
/// 2. The modules that the file names by `depends=`.
/// 3. For a module that was built outside of the kernel's tree (it has no `intree=`), those that export a symbol which
///    the file lacks. `depends=` names only what the build knew.
///
/// The dependencies of each file are those that [`Trees::completed`] returns.
///
/// Failures: [`Code::CorruptIndex`](crate::failure::Code::CorruptIndex), and those of [`Trees::completed`].
pub fn each_dependency(
    trees: &dyn Trees,
    file: ModulePath<'_>,
    contents: Option<&[u8]>,
    add: &mut dyn FnMut(ModulePath<'_>),
) -> Result<(), Failure> {
    let own = file.tree..file.tree + 1;
    let text = value_of(trees, own.clone(), IndexKind::Dep, module_of(file.path))?;
    let line = text.map_or(Line::default(), |(tree, text)| Line::new(tree, text));
    for dependency in line.dependencies() {
        // An earlier tree may have the same module.
        let first = first_file_of(trees, module_of(dependency.path))?;
        add_with_dependencies(trees, first.unwrap_or(dependency), add)?;
    }
    let Some(contents) = contents else { return Ok(()) };
    let is_listed = |name| line.dependencies().any(|other| same(module_of(other.path), name));
    let Some(info) = ModInfo::find(contents) else { return Ok(()) };
    for name in info.values("depends").flat_map(|names| names.split(|&b| b == b',')) {
        if !is_listed(name)
            && let Some(file) = first_file_of(trees, name)?
        {
            add_with_dependencies(trees, file, add)?;
        }
    }
    if info.values("intree").next().is_some() {
        return Ok(());
    }
    let Some(elf) = Elf::new(contents) else { return Ok(()) };
    for symbol in elf.undefined_symbols() {
        // The module's own depmod knew what its own tree exports.
        if exporter(trees, own.clone(), symbol)?.is_none()
            && let Some(module) = exporter(trees, 0..trees.count(), symbol)?
            && let Some(file) = first_file_of(trees, module)?
        {
            add_with_dependencies(trees, file, add)?;
        }
    }
    Ok(())
}

fn add_with_dependencies(
    trees: &dyn Trees,
    file: ModulePath<'_>,
    add: &mut dyn FnMut(ModulePath<'_>),
) -> Result<(), Failure> {
    trees.completed(file)?.iter().for_each(|dependency| add(*dependency));
    add(file);
    Ok(())
}

/// The file of a module in the first tree that has the module.
fn first_file_of<'a>(trees: &'a dyn Trees, name: &[u8]) -> Result<Option<ModulePath<'a>>, Failure> {
    let line = value_of(trees, 0..trees.count(), IndexKind::Dep, name)?;
    Ok(line.and_then(|(tree, text)| Line::new(tree, text).path()))
}

/// The module of some trees that exports a symbol. The symbols of the kernel itself are in no index.
fn exporter<'a>(trees: &'a dyn Trees, numbers: Range<u8>, symbol: &[u8]) -> Result<Option<&'a [u8]>, Failure> {
    let mut key = heapless::Vec::<u8, LONGEST_SYMBOL>::new();
    match key.extend_from_slice(SYMBOL).and_then(|()| key.extend_from_slice(symbol)) {
        Ok(()) => Ok(exact(trees, numbers, IndexKind::Symbols, &key)?.map(|(_, module)| module)),
        Err(_) => Ok(None),
    }
}
