//! Modules without code, of which only .modinfo and __versions have content.

/// The file of a module with these strings `key=value` and, if it has any, versions of symbols.
pub fn module(strings: &[&str], versions: &[u8]) -> Vec<u8> {
    const HEADER: usize = 64;
    const NAMES: &[u8] = b"\0.modinfo\0__versions\0.shstrtab\0";
    let info: Vec<u8> = strings.iter().flat_map(|string| [string.as_bytes(), b"\0"].concat()).collect();
    // The offset of each section's name in NAMES, and its bytes.
    let sections = [(0, &b""[..]), (1, &info), (10, versions), (21, NAMES)];

    let mut body = Vec::new();
    let mut headers = Vec::new();
    for (name, bytes) in sections {
        let (offset, size) = ((HEADER + body.len()) as u64, bytes.len() as u64);
        headers.extend_from_slice(&u32::to_le_bytes(name));
        headers.extend_from_slice(&[1, 0, 0, 0]);
        headers.extend_from_slice(&[0; 16]);
        headers.extend_from_slice(&offset.to_le_bytes());
        headers.extend_from_slice(&size.to_le_bytes());
        headers.extend_from_slice(&[0; 24]);
        body.extend_from_slice(bytes);
    }
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(HEADER, 0);
    file[16] = 1; // ET_REL
    file[18] = 62; // EM_X86_64
    file[40..48].copy_from_slice(&((HEADER + body.len()) as u64).to_le_bytes());
    file[58] = 64; // e_shentsize
    file[60] = 4; // e_shnum
    file[62] = 3; // e_shstrndx
    [file, body, headers].concat()
}
