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
        let (file, elf) = (object::File::parse(vmlinux).ok()?, Elf::new(vmlinux)?);
        let mut versions = HashMap::new();
        for tables in [("__ksymtab", "__kcrctab"), ("__ksymtab_gpl", "__kcrctab_gpl")] {
            read_tables((&file, &elf), tables, &mut versions);
        }
        (!versions.is_empty()).then_some(Self(versions))
    }

    /// The first symbol that a module needs in another version.
    pub fn first_difference<'m>(&self, module: &'m [u8]) -> Option<&'m [u8]> {
        let differs = |(name, version): &(&[u8], u32)| self.0.get(*name).is_some_and(|ours| ours != version);
        needed_by(module).into_iter().find(differs).map(|(name, _)| name)
    }
}

/// Adds the symbols of a table. A second table has a version for each of them. An entry has two or three fields: the
/// symbol, its name, and since Linux 5.4 its namespace (`struct kernel_symbol` in kernel/module/internal.h). With
/// CONFIG_HAVE_ARCH_PREL32_RELOCATIONS a field has four bytes, and is the distance from itself. On other
/// architectures it is an address.
fn read_tables(
    (file, elf): (&object::File<'_>, &Elf<'_>),
    (symbols, versions): (&str, &str),
    found: &mut HashMap<Vec<u8>, u32>,
) {
    const NUMBER: usize = size_of::<u32>();
    const ADDRESS: usize = size_of::<u64>();
    let section = |name| file.section_by_name(name).and_then(|section| Some((section.address(), section.data().ok()?)));
    let (Some((start, symbols)), Some((_, versions))) = (section(symbols), section(versions)) else { return };
    let size = (symbols.len() * NUMBER).checked_div(versions.len()).unwrap_or(0);
    let field = match size {
        8 | 12 => NUMBER,
        16 | 24 => ADDRESS,
        _ => return,
    };
    for ((entry, version), at) in symbols.chunks_exact(size).zip(versions.chunks_exact(NUMBER)).zip(0_u64..) {
        let at = start.wrapping_add(at * size as u64 + field as u64);
        let name = elf.number_in(&entry[field..2 * field]);
        let address = if field == NUMBER { at.wrapping_add_signed(i64::from(name as i32)) } else { name };
        let name = string_at(file, address);
        found.extend(name.map(|name| (name.to_vec(), elf.number_in(version) as u32)));
    }
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
    const VERSION: usize = 4;
    let Some(elf) = Elf::new(module) else { return Vec::new() };
    let section = |name: &[u8]| elf.section(name).unwrap_or_default();
    let name = |bytes| <[u8]>::split(bytes, |&b| b == 0).next().unwrap_or_default();
    let version = |bytes: &[u8]| elf.number_in(bytes) as u32;
    let pairs = section(b"__versions").chunks_exact(PAIR).map(|pair| pair.split_at(NAME));
    let pairs = pairs.map(|(bytes, text)| (name(text), version(bytes)));
    let names = section(b"__version_ext_names").split(|&b| b == 0);
    pairs.chain(names.zip(section(b"__version_ext_crcs").chunks_exact(VERSION).map(version))).collect()
}
