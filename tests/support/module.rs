//! Modules: ELF files without code, of which only .modinfo and __versions have content.

/// The file of a module with these strings `key=value` and, if it has any, versions of symbols.
pub fn module(strings: &[&str], versions: &[u8]) -> Vec<u8> {
    const ET_REL: u8 = 1;
    let info: Vec<u8> = strings.iter().flat_map(|string| [string.as_bytes(), b"\0"].concat()).collect();
    elf(ET_REL, &[(".modinfo", &info), ("__versions", versions)])
}

/// A file of this type with these sections.
pub fn elf(kind: u8, sections: &[(&str, &[u8])]) -> Vec<u8> {
    const HEADER: usize = 64;
    let mut names = b"\0".to_vec();
    let mut headers = vec![0; 64];
    let mut body = Vec::new();
    let mut add = |name: usize, bytes: &[u8]| {
        let (offset, size) = ((HEADER + body.len()) as u64, bytes.len() as u64);
        headers.extend_from_slice(&u32::to_le_bytes(name as u32));
        headers.extend_from_slice(&[1, 0, 0, 0]);
        headers.extend_from_slice(&[0; 16]);
        headers.extend_from_slice(&offset.to_le_bytes());
        headers.extend_from_slice(&size.to_le_bytes());
        headers.extend_from_slice(&[0; 24]);
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
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(HEADER, 0);
    file[16] = kind; // e_type
    file[18] = 62; // e_machine: EM_X86_64
    file[40..48].copy_from_slice(&((HEADER + body.len()) as u64).to_le_bytes());
    file[58] = 64; // e_shentsize
    file[60] = count as u8; // e_shnum
    file[62] = count as u8 - 1; // e_shstrndx
    [file, body, headers].concat()
}
