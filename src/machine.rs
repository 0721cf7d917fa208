//! The machines that guest-init runs on: the facts about an architecture that both the guest and the host's tool need.
//!
//! The instructions of an architecture are in `src/bare/start`.

use core::fmt::{self, Display, Formatter};

/// A machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name, as `uname -m` prints it there.
    pub name: &'static str,
    /// The number of the machine in an ELF file (`EM_*` in linux/elf-em.h).
    pub elf_number: u16,
    /// Whether the kernel and its programs are big-endian.
    pub big_endian: bool,
    /// The size of the kernel's buffer for its command line, in bytes, with the NUL at its end.
    pub command_line_size: usize,
}

/// x86_64. The size is that of arch/x86/include/asm/setup.h.
pub const X86_64: Machine = Machine { name: "x86_64", elf_number: 62, big_endian: false, command_line_size: 2048 };

/// aarch64. The size is that of arch/arm64/include/uapi/asm/setup.h.
pub const AARCH64: Machine = Machine { name: "aarch64", elf_number: 183, big_endian: false, command_line_size: 2048 };

/// ppc64le. The size is that of arch/powerpc/include/uapi/asm/setup.h.
pub const PPC64LE: Machine = Machine { name: "ppc64le", elf_number: 21, big_endian: false, command_line_size: 2048 };

/// riscv64. The size is that of arch/riscv/include/uapi/asm/setup.h.
pub const RISCV64: Machine = Machine { name: "riscv64", elf_number: 243, big_endian: false, command_line_size: 1024 };

/// s390x. The size is that of CONFIG_COMMAND_LINE_SIZE in arch/s390/Kconfig, unless it was configured otherwise.
pub const S390X: Machine = Machine { name: "s390x", elf_number: 22, big_endian: true, command_line_size: 4096 };

/// All machines.
pub const ALL: [&Machine; 5] = [&X86_64, &AARCH64, &PPC64LE, &RISCV64, &S390X];

impl Machine {
    /// The machine of an ELF file with this machine number and byte order. A big-endian PowerPC and a little-endian
    /// s390x are none of those that are listed here.
    pub fn of_elf(number: u16, big_endian: bool) -> Option<&'static Self> {
        ALL.into_iter().find(|machine| (machine.elf_number, machine.big_endian) == (number, big_endian))
    }

    /// The longest command line that the kernel does not cut, in bytes.
    pub const fn longest_command_line(&self) -> usize {
        self.command_line_size - 1
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_its_byte_order() {
        assert_eq!(Machine::of_elf(21, false), Some(&PPC64LE));
        assert_eq!(Machine::of_elf(21, true), None);
        assert_eq!(Machine::of_elf(22, true), Some(&S390X));
        assert_eq!(Machine::of_elf(22, false), None);
        assert_eq!(Machine::of_elf(258, false), None);
    }
}
