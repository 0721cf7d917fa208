//! A reader of ELF files, as far as it is needed: the sections of a module, the interpreter and the machine of a
//! program (elf(5)).
//!
//! The file may be hostile. Every offset in it is checked; one that leads out of the file gives `None`.

use crate::machine::Machine;
use crate::text::Text;

/// A 64-bit ELF file of either byte order.
///
/// ```
/// use guest_init::elf::Elf;
///
/// let file = std::fs::read(std::env::current_exe()?)?;
/// let elf = Elf::new(&file).expect("this example is a program");
/// assert!(elf.interpreter().is_some_and(|path| path.starts_with(b"/")));
/// assert!(elf.section(b".modinfo").is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Elf<'a> {
    file: &'a [u8],
    big_endian: bool,
}

/// A table of headers: its offset in the file, the size of an entry in bytes, and the number of entries.
struct Table {
    offset: u64,
    entry: u64,
    count: u64,
}

impl Table {
    /// The offsets of the entries in the file.
    fn entries(&self) -> impl Iterator<Item = u64> {
        // Below half of the range, so that adding the offset of a field can't overflow.
        (0..self.count).map_while(|number| self.offset.checked_add(number * self.entry).filter(|&at| at < u64::MAX / 2))
    }
}

impl<'a> Elf<'a> {
    /// Checks the magic number and the class. `None`: this is no 64-bit ELF file.
    pub fn new(file: &'a [u8]) -> Option<Self> {
        const CLASS_64: u8 = 2;
        const BIG_ENDIAN: u8 = 2;
        match *file {
            [b'\x7f', b'E', b'L', b'F', CLASS_64, order, ..] => Some(Self { file, big_endian: order == BIG_ENDIAN }),
            _ => None,
        }
    }

    /// The bytes of the first section of a name.
    pub fn section(&self, name: &[u8]) -> Option<&'a [u8]> {
        let table = Table { offset: self.number(0x28, 8)?, entry: self.number(0x3a, 2)?, count: self.number(0x3c, 2)? };
        let section = |header| self.bytes(self.number(header + 0x18, 8)?, self.number(header + 0x20, 8)?);
        let names = section(table.entries().nth(self.number(0x3e, 2)? as usize)?)?;
        table.entries().find_map(|header| {
            // Compare, and don't search for the NUL: 65,535 headers may point to one long string that has none.
            let behind = names.get(self.number(header, 4)? as usize..)?.strip_prefix(name)?;
            matches!(behind, [] | [0, ..]).then(|| section(header))?
        })
    }

    /// The names of the symbols that the file uses and does not define. A name of more than 511 bytes, which is the
    /// kernel's bound, is passed over (KSYM_NAME_LEN of linux/kallsyms.h).
    pub fn undefined_symbols(&self) -> impl Iterator<Item = &'a [u8]> {
        const SYMBOL: usize = 24;
        const LONGEST: usize = 511;
        let section = |name: &[u8]| self.section(name).unwrap_or_default();
        let (symbols, names) = (section(b".symtab"), section(b".strtab"));
        let order = Self { file: b"", big_endian: self.big_endian };
        symbols.chunks_exact(SYMBOL).filter_map(move |symbol| {
            let symbol = Self { file: symbol, ..order };
            if symbol.number(6, 2)? != 0 {
                return None;
            }
            let name = names.get(symbol.number(0, 4)? as usize..)?;
            let end = name.iter().take(LONGEST + 1).position(|&b| b == 0)?;
            name.get(..end).filter(|name| !name.is_empty())
        })
    }

    /// The path of the interpreter: that of the program header PT_INTERP.
    pub fn interpreter(&self) -> Option<&'a [u8]> {
        const PT_INTERP: u64 = 3;
        let table = Table { offset: self.number(0x20, 8)?, entry: self.number(0x36, 2)?, count: self.number(0x38, 2)? };
        table.entries().find_map(|header| {
            (self.number(header, 4)? == PT_INTERP).then_some(())?;
            let path = self.bytes(self.number(header + 8, 8)?, self.number(header + 0x20, 8)?)?;
            path.split(|&b| b == 0).next()
        })
    }

    /// The machine that the file is for. `None`: it is none of those that guest-init runs on.
    pub fn machine(&self) -> Option<&'static Machine> {
        Machine::of_elf(self.machine_number()?, self.big_endian)
    }

    /// The reason for which the file does not fit the machine of this name. `None`: it fits, or ends before it says
    /// which machine it is for.
    pub fn misfit(&self, machine: &str) -> Option<Text<80>> {
        let number = self.machine_number()?;
        let theirs = Machine::of_elf(number, self.big_endian).map_or("another machine", |theirs| theirs.name);
        (theirs != machine).then(|| Text::of(format_args!("built for {theirs}, this machine is {machine}")))
    }

    /// The number of the machine, e_machine.
    fn machine_number(&self) -> Option<u16> {
        self.number(0x12, 2).and_then(|number| u16::try_from(number).ok())
    }

    /// A number of at most eight bytes from a section of the file.
    pub fn number_in(&self, bytes: &[u8]) -> u64 {
        let append = |number, byte: &u8| number << 8 | u64::from(*byte);
        match self.big_endian {
            true => bytes.iter().fold(0, append),
            false => bytes.iter().rev().fold(0, append),
        }
    }

    /// The unsigned number of `size` bytes at `offset` of the file.
    fn number(&self, offset: u64, size: u64) -> Option<u64> {
        self.bytes(offset, size).map(|bytes| self.number_in(bytes))
    }

    fn bytes(&self, offset: u64, size: u64) -> Option<&'a [u8]> {
        self.file.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(size).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn the_tests_own_program_has_an_interpreter_and_sections() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::new(&file).unwrap();
        assert!(elf.interpreter().is_some_and(|path| path.starts_with(b"/")));
        assert!(elf.section(b".text").is_some_and(|text| text.len() > 1000));
        assert!(elf.section(b".no-such-section").is_none());
        assert_eq!(elf.machine(), Some(crate::bare::start::MACHINE));
    }

    #[test]
    fn a_file_fits_the_machine_of_its_number_and_its_byte_order() {
        let misfit = |order: u8, number: [u8; 2], machine: &str| {
            let mut file = [0; 0x14];
            file[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, order]);
            file[0x12..].copy_from_slice(&number);
            let elf = Elf::new(&file).unwrap();
            assert!(Elf { file: &file[..0x13], ..elf }.misfit(machine).is_none());
            elf.misfit(machine).map(|reason| std::string::String::from(reason.as_str()))
        };
        let (little, big) = (1, 2);
        for (order, number, machine) in [
            (little, [62, 0], "x86_64"),
            (little, [183, 0], "aarch64"),
            (little, [21, 0], "ppc64le"),
            (little, [243, 0], "riscv64"),
            (big, [0, 22], "s390x"),
        ] {
            assert_eq!(misfit(order, number, machine), None);
        }
        let reason = |theirs, ours| Some(std::format!("built for {theirs}, this machine is {ours}"));
        assert_eq!(misfit(little, [243, 0], "x86_64"), reason("riscv64", "x86_64"));
        assert_eq!(misfit(big, [0, 22], "ppc64le"), reason("s390x", "ppc64le"));
        assert_eq!(misfit(little, [22, 0], "s390x"), reason("another machine", "s390x"));
        assert_eq!(misfit(big, [0, 21], "ppc64le"), reason("another machine", "ppc64le"));
    }

    #[test]
    fn a_file_that_ends_early_or_points_anywhere_is_none() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in 0..256 {
            if let Some(elf) = Elf::new(&file[..length]) {
                assert!(elf.section(b".modinfo").is_none());
                assert!(elf.interpreter().is_none());
            }
        }
        for at in 0..64 {
            let mut file = file.clone();
            file[at] = 0xff;
            let elf = Elf::new(&file);
            let _ = elf.map(|elf| (elf.section(b".text"), elf.interpreter()));
        }
    }

    #[test]
    fn one_endless_name_for_all_headers_takes_no_time() {
        // All headers are one, the first, and its bytes are the names as well.
        let (header, names) = (0x40_u64, 0x80_u64);
        let mut file = vec![b'x'; 4 << 20];
        file[..names as usize].fill(0);
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[0x28..0x30].copy_from_slice(&header.to_le_bytes());
        file[0x3c..0x3e].copy_from_slice(&u16::MAX.to_le_bytes());
        file[0x58..0x60].copy_from_slice(&names.to_le_bytes());
        file[0x60..0x68].copy_from_slice(&((4 << 20) - names).to_le_bytes());
        let start = std::time::Instant::now();
        assert!(Elf::new(&file).unwrap().section(b"xx").is_none());
        assert!(start.elapsed().as_secs() < 10);
    }
}
