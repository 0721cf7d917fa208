//! /lib/modules/RELEASE in the image: the selected modules, and depmod's files, reduced to these modules.
//!
//! The files about built-in modules, and modules.softdep, are complete. A list may name a built-in module. A resolver
//! ignores a soft dependency that does not exist.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use guest_init::elf::Elf;
use guest_init::guest::modules::file::ModuleFile;
use guest_init::guest::modules::unpack::Format;
use guest_init::guest::system::files::Directory;
use guest_init::machine::Machine;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::tree::Sources;
use guest_init::resolve::tree::dep::module_of;
use guest_init::resolve::tree::index::{Index, IndexKind};
use guest_init::resolve::tree::module::Module;
use rustix::io::Errno;

use super::archive::{Archive, Node};
use super::index_writer::Entries;
use super::selection::{SelectedModule, Selection};
use crate::cli::progress::Progress;
use crate::cli::stderr::{Failures, warn};
use crate::shared::firmware::{FIRMWARE, Firmware};
use crate::shared::machine::check_module;
use crate::shared::tree_options::utf8;
use crate::shared::version_magic::VersionMagic;

/// The longest text file of a tree on a share, in bytes.
const LONGEST_TEXT: usize = 64 << 20;
/// The mode of all files of the tree.
const MODE: u32 = 0o644;
/// Text files that are copied unchanged, if the tree has them.
const UNCHANGED: [&str; 4] = ["modules.builtin", "modules.builtin.modinfo", "modules.softdep", "modules.weakdep"];
/// The order in which the kernel was built. Only the lines of selected modules are copied.
const ORDER: &str = "modules.order";

/// The form of the modules in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModuleFiles {
    /// Decompressed, which boots faster: on Linux 6.12 with 21 modules in xz, the kernel takes 2,897 million
    /// instructions to the agent instead of 3,293, and the image in zstd has 1.87 MB instead of 1.72. A signature is
    /// part of the module, and stays
    Plain,
    /// As the module tree has them, which takes less of the VM's memory until they are loaded
    Unchanged,
}

/// Adds the selected part of `tree`, whose directory is `directory`, to the image at `target`.
pub fn add(
    archive: &mut Archive,
    target: &str,
    tree: &Sources<'_>,
    directory: &Directory,
    selection: &mut Selection,
    form: ModuleFiles,
) -> Result<()> {
    let mut renamed = add_existing(archive, target, tree, selection)?;
    for (path, module) in selection.files() {
        if renamed.contains_key(path) {
            continue;
        }
        let new = match form {
            ModuleFiles::Plain => uncompressed(path),
            ModuleFiles::Unchanged => path,
        };
        let name = str::from_utf8(new).with_context(|| format!("{}: not UTF-8", module.source.display()))?;
        // Modules of depmod's `external` directories have absolute paths and keep them (depmod.d(5)).
        let target = if name.starts_with('/') { name.into() } else { format!("{target}/{name}") };
        archive.add(&target, MODE, node(directory, path, module, form)?, &module.why)?;
        renamed.insert(path.into(), new.into());
    }
    for (name, bytes) in indexes(tree, selection, &renamed)?.into_iter().chain(texts(directory, selection)?) {
        archive.add(&format!("{target}/{name}"), MODE, Node::Bytes(bytes), "module tree")?;
    }
    Ok(())
}

/// The file of a module as the image has it. Only a compressed module that is stored plain is read here.
fn node(directory: &Directory, path: &[u8], module: &SelectedModule, form: ModuleFiles) -> Result<Node> {
    let copy = || Node::Copy(module.source.clone(), module.size);
    if form == ModuleFiles::Unchanged {
        return Ok(copy());
    }
    let file = ModuleFile::open(directory, path).map_err(Failures::from)?;
    // The contents of a plain file are mapped, and those of a compressed one decompressed.
    Ok(match file.contents(&Module::in_file(path)).map_err(Failures::from)? {
        Cow::Borrowed(_) => copy(),
        Cow::Owned(plain) => Node::Bytes(plain),
    })
}

/// Refuses the first of the selected modules of the tree in `directory` if it is for another machine.
pub fn check_first(directory: &Directory, selection: &Selection, machine: Option<&Machine>) -> Result<(), Failures> {
    let Some((path, _)) = selection.files().next() else { return Ok(()) };
    let module = Module::in_file(path);
    Ok(check_module(&module, &ModuleFile::open(directory, path)?.contents(&module)?, machine)?)
}

/// Looks into the selected modules of the tree in `directory`: refuses the first that is for another machine than the
/// kernel's, or, if that is not known, than the first module's. Adds the firmware files that they name, and warns of
/// those that are missing, of modules that the kernel would refuse, and of modules that need one that no tree has.
pub fn look_into(
    archive: &mut Archive,
    trees: &Sources<'_>,
    directory: &Directory,
    mut machine: Option<&Machine>,
    magic: &VersionMagic<'_>,
    mut firmware: Firmware,
    selection: &Selection,
) -> Result<()> {
    let mut added = BTreeSet::new();
    let progress = Progress::of(selection.len(), "modules");
    for (path, _) in selection.files() {
        progress.advance(1);
        let module = Module::in_file(path);
        let file = ModuleFile::open(directory, path).map_err(Failures::from)?;
        let contents = file.contents(&module).map_err(Failures::from)?;
        check_module(&module, &contents, machine).map_err(Failures::from)?;
        machine = machine.or_else(|| Elf::new(&contents)?.machine());
        let Some(info) = ModInfo::find(&contents) else { continue };
        match magic.compare(&module, &contents) {
            Ok(text) => text.iter().for_each(warn),
            Err(failure) => warn(failure),
        }
        warn_of_missing(trees, &module, &info)?;
        let found = firmware.look_for(&module, &info);
        found.warning.iter().for_each(warn);
        for file in found.files {
            let target = format!("{FIRMWARE}/{}", utf8(&file)?);
            if added.insert(file.clone()) && !archive.existing.has(&archive.existing.resolve(&target)?) {
                let node = Node::of_host(&firmware.on_host(&file)?)?;
                archive.add(&target, MODE, node, &format!("firmware of {module}"))?;
            }
        }
    }
    firmware.not_looked_for().iter().for_each(warn);
    Ok(())
}

/// Warns of the modules that a module depends on and that no tree has. The kernel's build writes their names to
/// `depends=`; modules.dep has only those that depmod found.
fn warn_of_missing(trees: &Sources<'_>, module: &Module<'_>, info: &ModInfo<'_>) -> Result<(), Failures> {
    let names = info.values("depends").flat_map(|names| names.split(|&b| b == b','));
    for needed in names.filter(|name| !name.is_empty()).map(Module::named) {
        if trees.line_of(&needed)?.path().is_none() && !trees.has_built_in(&needed)? {
            warn(format_args!("{module}: it needs {needed}, which no tree has; name the tree that has it with --base"));
        }
    }
    Ok(())
}

/// Paths of the tree, and the paths of the same modules in the image.
type Renamed = BTreeMap<Vec<u8>, Vec<u8>>;

/// Adds the names of the modules in the image to append to, and returns their paths there, because mkinitramfs
/// decompresses modules. Of several modules of one name, such as the kernel's and DKMS's, the one in modules.dep
/// counts.
///
/// Error: the tree lacks one of them. The new indexes replace those of the image, and would hide that module.
fn add_existing(archive: &Archive, target: &str, tree: &Sources<'_>, selection: &mut Selection) -> Result<Renamed> {
    let directory = archive.existing.resolve(&format!("{target}/"))?;
    let mut renamed = Renamed::new();
    let is_module = |path: &&str| path.ends_with(".ko") || path.contains(".ko.");
    let paths: Vec<_> = archive.existing.below(&directory).filter(is_module).collect();
    for path in &paths {
        let name = module_of(path.as_bytes());
        let line = tree.line_of(&Module::named(name)).map_err(Failures::from)?;
        let original = line.path().map_or(&b""[..], |file| file.path);
        let is_original = |path: &&str| uncompressed(original) == uncompressed(path.as_bytes());
        match paths.iter().any(is_original) {
            true if is_original(path) => {
                selection.add_name(name);
                renamed.insert(original.into(), path.as_bytes().into());
            }
            true => {}
            false => bail!(
                "the image to append to has {path} in /{directory}, which the module tree lacks; name the tree that \
                 the image was made from"
            ),
        }
    }
    Ok(renamed)
}

/// A module's path without the suffix of a compressed format.
fn uncompressed(path: &[u8]) -> &[u8] {
    Format::ALL.iter().find_map(|format| path.strip_suffix(format.suffix().as_bytes())).unwrap_or(path)
}

/// A line of modules.dep with the paths in the image.
fn rename(line: &[u8], renamed: &Renamed) -> Vec<u8> {
    let mut text = Vec::with_capacity(line.len());
    for part in line.split_inclusive(|&b| matches!(b, b' ' | b':')) {
        let (path, end) = match part.split_last() {
            Some((end @ (b' ' | b':'), path)) => (path, std::slice::from_ref(end)),
            _ => (part, &[][..]),
        };
        text.extend_from_slice(renamed.get(path).map_or(path, Vec::as_slice));
        text.extend_from_slice(end);
    }
    text
}

/// The name and the content of a new file.
type NewFile = (&'static str, Vec<u8>);

/// The indexes that the tree has, as binary files and as text.
fn indexes(tree: &Sources<'_>, selection: &Selection, renamed: &Renamed) -> Result<Vec<NewFile>> {
    let mut files = Vec::new();
    for kind in IndexKind::ALL {
        let index = tree.trees.index(0, kind).map_err(Failures::from)?;
        if !index.exists() {
            continue;
        }
        let entries = entries(&index, kind, selection, renamed)?;
        let [binary, text] = kind.files();
        files.push((binary, entries.to_bytes().context(binary)?));
        files.extend(lines(kind, &entries).map(|lines| (text, lines)));
    }
    Ok(files)
}

/// The text files that the tree has and that are no index.
fn texts(directory: &Directory, selection: &Selection) -> Result<Vec<NewFile>> {
    let mut files = Vec::new();
    for name in UNCHANGED {
        files.extend(text(directory, name)?.map(|bytes| (name, bytes)));
    }
    if let Some(bytes) = text(directory, ORDER)? {
        let lines = bytes.split_inclusive(|&b| b == b'\n').filter(|line| selection.has(module_of(line)));
        files.push((ORDER, lines.collect::<Vec<_>>().concat()));
    }
    Ok(files)
}

/// The entries of an index that are about selected modules, or all entries if the index is about built-in modules. The
/// priorities are those of the whole tree, so the entries keep their order.
fn entries(index: &Index<'_>, kind: IndexKind, selection: &Selection, renamed: &Renamed) -> Result<Entries, Failures> {
    let mut entries = Entries::default();
    index.each(&mut |key, priority, value| {
        let counts = match kind {
            IndexKind::Dep => selection.has(key),
            IndexKind::Symbols | IndexKind::Alias => selection.has(value),
            IndexKind::Builtin | IndexKind::BuiltinAlias => true,
        };
        match kind {
            _ if !counts => {}
            IndexKind::Dep => entries.insert(key, priority, &rename(value, renamed)),
            _ => entries.insert(key, priority, value),
        }
    })?;
    Ok(entries)
}

/// The text form of an index, which busybox's modprobe reads. `None`: depmod makes the text from other data.
fn lines(kind: IndexKind, entries: &Entries) -> Option<Vec<u8>> {
    let line: fn(&[u8], &[u8]) -> Vec<u8> = match kind {
        IndexKind::Dep => |_, value| [value, b"\n"].concat(),
        IndexKind::Symbols | IndexKind::Alias => |key, value| [b"alias ", key, b" ", value, b"\n"].concat(),
        IndexKind::Builtin | IndexKind::BuiltinAlias => return None,
    };
    Some(entries.by_priority().into_iter().flat_map(|(key, value)| line(key, value)).collect())
}

/// A text file of the tree, if it exists.
fn text(directory: &Directory, name: &str) -> Result<Option<Vec<u8>>> {
    match directory.regular(name).and_then(|file| file.contents(LONGEST_TEXT)) {
        Ok(bytes) => Ok(Some(bytes.into_owned())),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(std::io::Error::from(error)).with_context(|| name.to_string()),
    }
}
