//! Modules: ELF files without code, of which only .modinfo and __versions have content.

use guest_init::machine::{Machine, X86_64};

/// The file of a module for x86_64 with these strings `key=value` and, if it has any, versions of symbols.
pub fn module(strings: &[&str], versions: &[u8]) -> Vec<u8> {
    module_for(&X86_64, strings, versions)
}

/// The same for another machine.
pub fn module_for(machine: &Machine, strings: &[&str], versions: &[u8]) -> Vec<u8> {
    const ET_REL: u16 = 1;
    let info: Vec<u8> = strings.iter().flat_map(|string| [string.as_bytes(), b"\0"].concat()).collect();
    elf(machine, ET_REL, &[(".modinfo", &info), ("__versions", versions)])
}

/// A file of this type with these sections.
pub fn elf(machine: &Machine, kind: u16, sections: &[(&str, &[u8])]) -> Vec<u8> {
    const HEADER: usize = 64;
    let number = |number: usize, size: usize| in_order(machine, number as u64, size);
    let mut names = b"\0".to_vec();
    let mut headers = vec![0; 64];
    let mut body = Vec::new();
    let mut add = |name: usize, bytes: &[u8]| {
        let (offset, size) = (HEADER + body.len(), bytes.len());
        let (kind, others) = (number(1, 4), [0; 24]);
        headers
            .extend([&number(name, 4), &kind, &others[..16], &number(offset, 8), &number(size, 8), &others].concat());
        body.extend_from_slice(bytes);
    };
    for (name, bytes) in sections {
        add(names.len(), bytes);
        names.extend_from_slice(&[name.as_bytes(), b"\0"].concat());
    }
    let own_name = names.len();
    names.extend_from_slice(b".shstrtab\0");
    add(own_name, &names);

    let count = headers.len() / 64;
    let order = if machine.big_endian { 2 } else { 1 };
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, order, 1];
    file.resize(HEADER, 0);
    file[16..18].copy_from_slice(&number(kind.into(), 2)); // e_type
    file[18..20].copy_from_slice(&number(machine.elf_number.into(), 2)); // e_machine
    file[40..48].copy_from_slice(&number(HEADER + body.len(), 8)); // e_shoff
    file[58..60].copy_from_slice(&number(64, 2)); // e_shentsize
    file[60..62].copy_from_slice(&number(count, 2)); // e_shnum
    file[62..64].copy_from_slice(&number(count - 1, 2)); // e_shstrndx
    [file, body, headers].concat()
}

/// A number of `size` bytes in the byte order of a machine.
pub fn in_order(machine: &Machine, number: u64, size: usize) -> Vec<u8> {
    match machine.big_endian {
        true => number.to_be_bytes()[8 - size..].to_vec(),
        false => number.to_le_bytes()[..size].to_vec(),
    }
}
