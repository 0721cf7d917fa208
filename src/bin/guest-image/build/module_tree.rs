//! /lib/modules/RELEASE in the image: the modules that were selected, and depmod's files as they are for these alone.
//!
//! What is built into the kernel, and modules.softdep, goes in whole: a name in a list may mean a built-in, and a soft
//! dependency that is not in the image is nothing to a resolver.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use guest_init::guest::modules::file::ModuleFile;
use guest_init::guest::modules::unpack::Format;
use guest_init::guest::system::files::Directory;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::tree::Sources;
use guest_init::resolve::tree::dep::module_of;
use guest_init::resolve::tree::index::{Index, IndexKind};
use guest_init::resolve::tree::module::Module;

use super::archive::{Archive, Node};
use super::index_writer::Entries;
use super::selection::{SelectedModule, Selection, on_host};
use crate::cli::stderr::Failures;
use crate::shared::firmware::{FIRMWARE, Firmware};
use crate::shared::tree_options::utf8;

/// The mode of all files here.
const MODE: u32 = 0o644;
/// Text files that go in as they are, where the tree has them.
const WHOLE: [&str; 4] = ["modules.builtin", "modules.builtin.modinfo", "modules.softdep", "modules.weakdep"];
/// The order in which the kernel's own build linked its modules: lines of those selected go in.
const ORDER: &str = "modules.order";

/// Puts the selected part of `tree`, which is at `directory` on the host, into the image at `target`.
pub fn add(
    archive: &mut Archive,
    target: &str,
    tree: &Sources<'_>,
    directory: &Path,
    selection: &mut Selection,
) -> Result<()> {
    let renamed = know(archive, target, tree, selection)?;
    for (path, SelectedModule { size, why }) in selection.files() {
        let source = on_host(directory, path);
        let path = str::from_utf8(path).with_context(|| format!("{}: not UTF-8", source.display()))?;
        // depmod's `external` modules have whole paths, and keep them.
        let target = if path.starts_with('/') { path.into() } else { format!("{target}/{path}") };
        if !renamed.contains_key(path.as_bytes()) {
            archive.add(&target, MODE, Node::Copy(source, *size), why)?;
        }
    }
    for (name, bytes) in indexes(tree, selection, &renamed)?.into_iter().chain(texts(directory, selection)?) {
        archive.add(&format!("{target}/{name}"), MODE, Node::Bytes(bytes), "module tree")?;
    }
    Ok(())
}

/// Puts the firmware that selected modules name into the image, as far as it is there.
pub fn add_firmware(archive: &mut Archive, tree: &Directory, firmware: &Firmware, selection: &Selection) -> Result<()> {
    let mut added = BTreeSet::new();
    for (path, _) in selection.files() {
        let module = Module::in_file(path);
        let file = ModuleFile::open(tree, path).map_err(Failures::from)?;
        let contents = file.contents(&module).map_err(Failures::from)?;
        let Some(info) = ModInfo::find(&contents) else { continue };
        for file in info.values("firmware").flat_map(|name| firmware.files(name)) {
            let target = format!("/{FIRMWARE}/{}", utf8(&file)?);
            if added.insert(file.clone()) && !archive.existing.has(&archive.existing.resolve(&target)?) {
                archive.add(
                    &target,
                    MODE,
                    Node::of_host(&firmware.on_host(&file))?,
                    &format!("firmware of {module}"),
                )?;
            }
        }
    }
    Ok(())
}

/// Paths of the tree, and what they are in the image.
type Renamed = BTreeMap<Vec<u8>, Vec<u8>>;

/// Counts in the modules of the image that this one is put beside, and says how their paths are there: mkinitramfs
/// decompresses what it takes. The tree must know all of them, or its indexes, which take the place of theirs, would hide
/// some.
fn know(archive: &Archive, target: &str, tree: &Sources<'_>, selection: &mut Selection) -> Result<Renamed> {
    let directory = archive.existing.resolve(&format!("{target}/"))?;
    let mut renamed = Renamed::new();
    for path in archive.existing.below(&directory).filter(|path| path.ends_with(".ko") || path.contains(".ko.")) {
        let name = module_of(path.as_bytes());
        let line = tree.line_of(&Module::named(name)).map_err(Failures::from)?;
        let original = line.path().filter(|original| uncompressed(original) == uncompressed(path.as_bytes()));
        let Some(original) = original else {
            bail!(
                "the image to append to has {path} in /{directory}, and the module tree has not: name the tree it was \
                 made of"
            );
        };
        selection.know(name);
        renamed.insert(original.into(), path.into());
    }
    Ok(renamed)
}

/// A module's path without the suffix that says how it is compressed.
fn uncompressed(path: &[u8]) -> &[u8] {
    Format::ALL.iter().find_map(|format| path.strip_suffix(format.suffix().as_bytes())).unwrap_or(path)
}

/// A line of modules.dep with the paths that there are in the image.
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

/// A file's name and content.
type Made = (&'static str, Vec<u8>);

/// The indexes that the tree has, in both forms.
fn indexes(tree: &Sources<'_>, selection: &Selection, renamed: &Renamed) -> Result<Vec<Made>> {
    let mut made = Vec::new();
    for kind in IndexKind::ALL {
        let index = tree.index_of(kind).map_err(Failures::from)?;
        if !index.exists() {
            continue;
        }
        let entries = entries(&index, kind, selection, renamed)?;
        let [binary, text] = kind.files();
        made.push((binary, entries.to_bytes().context(binary)?));
        made.extend(lines(kind, &entries).map(|lines| (text, lines)));
    }
    Ok(made)
}

/// The text files that the tree has.
fn texts(directory: &Path, selection: &Selection) -> Result<Vec<Made>> {
    let mut made = Vec::new();
    for name in WHOLE {
        made.extend(text(directory, name)?.map(|bytes| (name, bytes)));
    }
    if let Some(bytes) = text(directory, ORDER)? {
        let lines = bytes.split_inclusive(|&b| b == b'\n').filter(|line| selection.has(module_of(line)));
        made.push((ORDER, lines.collect::<Vec<_>>().concat()));
    }
    Ok(made)
}

/// The entries of an index that speak of selected modules, or all of them where it speaks of the kernel itself.
/// Their priorities, ranks in the whole tree, keep their order.
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

/// The text form of an index, for readers of their own such as busybox's modprobe, where depmod makes it of the same.
fn lines(kind: IndexKind, entries: &Entries) -> Option<Vec<u8>> {
    let line: fn(&[u8], &[u8]) -> Vec<u8> = match kind {
        IndexKind::Dep => |_, value| [value, b"\n"].concat(),
        IndexKind::Symbols | IndexKind::Alias => |key, value| [b"alias ", key, b" ", value, b"\n"].concat(),
        IndexKind::Builtin | IndexKind::BuiltinAlias => return None,
    };
    Some(entries.by_priority().into_iter().flat_map(|(key, value)| line(key, value)).collect())
}

/// A text file of the tree, if it has it.
fn text(directory: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = directory.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
