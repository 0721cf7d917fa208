//! The versions of the symbols that a kernel exports (CONFIG_MODVERSIONS). With them the kernel compares a module by
//! what it uses, not by the release that it was built for.

use std::collections::HashMap;

use guest_init::elf::Elf;
use object::{Object, ObjectSection};

/// The versions by the names of the symbols.
#[derive(Debug)]
pub struct SymbolVersions(HashMap<Vec<u8>, u32>);

impl SymbolVersions {
    /// Reads the tables of an uncompressed kernel, which is an ELF file. `None`: it has no versions.
    pub fn of_kernel(vmlinux: &[u8]) -> Option<Self> {
        let file = object::File::parse(vmlinux).ok()?;
        let mut versions = HashMap::new();
        for tables in [("__ksymtab", "__kcrctab"), ("__ksymtab_gpl", "__kcrctab_gpl")] {
            read_tables(&file, tables, &mut versions);
        }
        (!versions.is_empty()).then_some(Self(versions))
    }

    /// The first symbol that a module needs in another version.
    pub fn first_difference<'m>(&self, module: &'m [u8]) -> Option<&'m [u8]> {
        let differs = |(name, version): &(&[u8], u32)| self.0.get(*name).is_some_and(|ours| ours != version);
        needed_by(module).into_iter().find(differs).map(|(name, _)| name)
    }
}

/// Adds the symbols of a table. A second table has a version for each of them. An entry begins with two numbers: the
/// first leads to the symbol, and the second is the distance from itself to the name (`struct kernel_symbol` in
/// kernel/module/internal.h, with CONFIG_HAVE_ARCH_PREL32_RELOCATIONS).
fn read_tables(file: &object::File<'_>, (symbols, versions): (&str, &str), found: &mut HashMap<Vec<u8>, u32>) {
    const NUMBER: usize = size_of::<u32>();
    let section = |name| file.section_by_name(name).and_then(|section| Some((section.address(), section.data().ok()?)));
    let (Some((start, symbols)), Some((_, versions))) = (section(symbols), section(versions)) else { return };
    let Some(size) = (symbols.len() * NUMBER).checked_div(versions.len()).filter(|size| *size >= 2 * NUMBER) else {
        return;
    };
    for ((entry, version), at) in symbols.chunks_exact(size).zip(versions.chunks_exact(NUMBER)).zip(0_u64..) {
        let at = start + at * size as u64 + NUMBER as u64;
        let distance = i64::from(number(file, &entry[NUMBER..]) as i32);
        let name = at.checked_add_signed(distance).and_then(|address| string_at(file, address));
        found.extend(name.map(|name| (name.to_vec(), number(file, version))));
    }
}

/// The four bytes at the start as a number.
fn number(file: &object::File<'_>, bytes: &[u8]) -> u32 {
    let bytes = bytes.first_chunk().copied().unwrap_or_default();
    if file.is_little_endian() { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
}

/// The NUL-terminated string at an address.
fn string_at<'f>(file: &object::File<'f>, address: u64) -> Option<&'f [u8]> {
    let section = file.section_by_name("__ksymtab_strings")?;
    let offset = usize::try_from(address.checked_sub(section.address())?).ok()?;
    section.data().ok()?.get(offset..)?.split(|&b| b == 0).next()
}

/// The symbols that a module needs, with their versions: pairs of a fixed size, or, since Linux 6.14, a table of
/// versions and one of names (`struct modversion_info` and `modversion_ext_start` in kernel/module).
fn needed_by(module: &[u8]) -> Vec<(&[u8], u32)> {
    const PAIR: usize = 64;
    const NAME: usize = 8;
    let Some(elf) = Elf::new(module) else { return Vec::new() };
    let section = |name: &[u8]| elf.section(name).unwrap_or_default();
    let name = |bytes| <[u8]>::split(bytes, |&b| b == 0).next().unwrap_or_default();
    let version = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let pairs = section(b"__versions").chunks_exact(PAIR).map(|pair| (name(&pair[NAME..]), version(pair)));
    let names = section(b"__version_ext_names").split(|&b| b == 0);
    pairs.chain(names.zip(section(b"__version_ext_crcs").chunks_exact(4).map(version))).collect()
}
