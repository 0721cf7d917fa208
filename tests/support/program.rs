//! Programs: ELF files without code. Of a guest-init, only the note has content.

use guest_init::bare::note;

use super::module::elf;

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
