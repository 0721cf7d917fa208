//! Programs: ELF files without code. Of a guest-init, only the note has content.

use guest_init::bare::note;
use guest_init::machine::{Machine, X86_64};

use super::module::{elf, in_order};

/// A file for x86_64 that `guest-image build --init` takes for guest-init, by its note.
pub fn init() -> Vec<u8> {
    init_for(&X86_64)
}

/// The same for another machine.
pub fn init_for(machine: &Machine) -> Vec<u8> {
    const ET_EXEC: u16 = 2;
    let (owner, version) = (note::OWNER, b"0.0\0");
    let numbers = [owner.len(), version.len(), note::TYPE as usize];
    let mut bytes = numbers.map(|number| in_order(machine, number as u64, 4)).concat();
    bytes.extend_from_slice(owner);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend_from_slice(version);
    elf(machine, ET_EXEC, &[(note::SECTION, &bytes)])
}

/// A program for x86_64 with a program header PT_INTERP, which names `/lib/ld.so`.
pub fn linked_dynamically(mut file: Vec<u8>) -> Vec<u8> {
    let header = file.len();
    file[0x20..0x28].copy_from_slice(&(header as u64).to_le_bytes());
    file[0x36] = 56; // the size of a program header
    file[0x38] = 1; // their number
    let path = b"/lib/ld.so\0";
    let fields = [3, (header + 56) as u64, 0, 0, path.len() as u64, 0, 0].map(u64::to_le_bytes).concat();
    [&file[..], &fields, path].concat()
}
