//! ELF files without code: modules, of which only .modinfo and __versions have content, and a guest-init, of which only
//! the note has content.

use guest_init::bare::note;

/// The file of a module with these strings `key=value` and, if it has any, versions of symbols.
pub fn module(strings: &[&str], versions: &[u8]) -> Vec<u8> {
    const ET_REL: u8 = 1;
    let info: Vec<u8> = strings.iter().flat_map(|string| [string.as_bytes(), b"\0"].concat()).collect();
    elf(ET_REL, &[(".modinfo", &info), ("__versions", versions)])
}

/// A file that `guest-image build --init` takes for guest-init, by its note.
pub fn init() -> Vec<u8> {
    const ET_EXEC: u8 = 2;
    let (owner, version) = (note::OWNER, b"0.0\0");
    let numbers = [owner.len(), version.len(), note::TYPE as usize];
    let mut bytes = numbers.map(|number| (number as u32).to_le_bytes()).concat();
    bytes.extend_from_slice(owner);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend_from_slice(version);
    elf(ET_EXEC, &[(note::SECTION, &bytes)])
}

/// A program with a program header PT_INTERP, which names `/lib/ld.so`.
pub fn linked_dynamically(mut file: Vec<u8>) -> Vec<u8> {
    let header = file.len();
    file[0x20..0x28].copy_from_slice(&(header as u64).to_le_bytes());
    file[0x36] = 56; // the size of a program header
    file[0x38] = 1; // their number
    let path = b"/lib/ld.so\0";
    let fields = [3, (header + 56) as u64, 0, 0, path.len() as u64, 0, 0].map(u64::to_le_bytes).concat();
    [&file[..], &fields, path].concat()
}

/// A file of this type with these sections.
fn elf(kind: u8, sections: &[(&str, &[u8])]) -> Vec<u8> {
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
