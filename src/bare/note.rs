//! The ELF note by which `guest-image build --init` knows a file of guest-init that can be PID 1.
//!
//! Cargo's ordinary build of guest-init has no such note. `readelf --notes` shows it.

/// The section that holds the note.
pub const SECTION: &str = ".note.guest_init";
/// The owner's name, with the NUL byte that belongs to it.
pub const OWNER: &[u8; 11] = b"guest-init\0";
/// The note's type. Its descriptor is the version, as text.
pub const TYPE: u32 = 1;

#[cfg(feature = "bare")]
mod written {
    use super::{OWNER, TYPE};

    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const VERSION_ROOM: usize = VERSION.len().next_multiple_of(4);

    /// `Elf64_Nhdr`, then the owner and the descriptor, both padded to four bytes (elf(5), "Notes (Nhdr)").
    #[repr(C)]
    struct Note {
        owner_size: u32,
        version_size: u32,
        kind: u32,
        owner: [u8; OWNER.len().next_multiple_of(4)],
        version: [u8; VERSION_ROOM],
    }

    #[used]
    #[expect(unsafe_code, reason = "the section's name makes it a note")]
    #[unsafe(link_section = ".note.guest_init")]
    static NOTE: Note = Note {
        owner_size: OWNER.len() as u32,
        version_size: VERSION.len() as u32,
        kind: TYPE,
        owner: *b"guest-init\0\0",
        version: padded(),
    };

    /// The version and as many NUL bytes as fill its room.
    const fn padded() -> [u8; VERSION_ROOM] {
        match concat!(env!("CARGO_PKG_VERSION"), "\0\0\0").as_bytes().first_chunk() {
            Some(bytes) => *bytes,
            None => [0; VERSION_ROOM],
        }
    }
}
