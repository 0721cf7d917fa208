//! The forms of a kernel's file: what lies around the kernel, and the machine that the form is for.

use anyhow::{Context, Result};
use guest_init::elf::Elf;
use guest_init::machine::{AARCH64, Machine, RISCV64, S390X, X86_64};
use object::read::pe::PeFile64;
use object::{Object, ObjectSection};

use super::{banner, first_word};
use crate::shared::decompress::{Packing, all_streams, first_stream};

/// The forms that begin with a header of 64 bytes, by the four bytes at 0x38: the Image of arm64
/// (Documentation/arch/arm64/booting.rst) and that of riscv64 (Documentation/arch/riscv/boot-image-header.rst).
const IMAGES: [(&[u8], &Machine); 2] = [(b"ARM\x64", &AARCH64), (b"RSC\x05", &RISCV64)];

/// The outermost layer of an image.
pub enum Layer<'a> {
    /// The kernel itself, or no kernel.
    None,
    /// A file whose code decompresses the kernel in it.
    Boot(BootImage<'a>),
    /// Another layer, with this content.
    Around(Vec<u8>),
}

impl<'a> Layer<'a> {
    /// Recognises the outermost layer of a file.
    pub fn of(file: &'a [u8]) -> Result<Self> {
        if let Some(packing) = Packing::of(file) {
            return all_streams(packing, file).with_context(|| packing.name()).map(Self::Around);
        }
        if let Some(image) = BootImage::of_x86(file).or_else(|| BootImage::of_s390(file)) {
            return Ok(Self::Boot(image));
        }
        if let Some(payload) = efi_payload(file) {
            return uncompressed(payload).map(Self::Around).context("the kernel in the EFI program can't be read");
        }
        Ok(unified(file).map_or(Self::None, |linux| Self::Around(linux.into())))
    }
}

/// The machine of an uncompressed kernel. The outer `None`: the file has the form of none.
pub fn machine_of(file: &[u8]) -> Option<Option<&'static Machine>> {
    let image = || IMAGES.iter().find(|(magic, _)| file.get(0x38..0x3c) == Some(magic));
    Elf::new(file).map(|elf| elf.machine()).or_else(|| image().map(|(_, machine)| Some(*machine)))
}

/// A file that names the release of the kernel in it, and whose code decompresses that kernel.
pub struct BootImage<'a> {
    file: &'a [u8],
    /// The machine that it is for.
    pub machine: &'static Machine,
    /// The release that its header names.
    pub release: Option<String>,
}

impl<'a> BootImage<'a> {
    /// A bzImage of x86 (Documentation/arch/x86/boot.rst). The header's `kernel_version` is the offset of its text,
    /// less 0x200.
    fn of_x86(file: &'a [u8]) -> Option<Self> {
        (file.get(0x202..0x206)? == b"HdrS").then_some(())?;
        let offset = || Some(u16::from_le_bytes(file.get(0x20e..0x210)?.try_into().ok()?));
        let release = offset().and_then(|offset| first_word(file.get(usize::from(offset) + 0x200..)?));
        Some(Self { file, machine: &X86_64, release })
    }

    /// A bzImage of s390, which is the memory from address 0 on (arch/s390/boot/head.S). `kernel_version` of the
    /// parameters at 0x10400 is the address of its text (`struct parmarea` in arch/s390/include/asm/setup.h).
    fn of_s390(file: &'a [u8]) -> Option<Self> {
        (file.get(0x10008..0x1000e)? == b"S390EP").then_some(())?;
        let address = || usize::try_from(u64::from_be_bytes(file.get(0x10428..0x10430)?.try_into().ok()?)).ok();
        let release = address().filter(|address| *address > 0).and_then(|address| first_word(file.get(address..)?));
        Some(Self { file, machine: &S390X, release })
    }

    /// The kernel in it.
    pub fn kernel(&self) -> Result<Vec<u8>> {
        if self.machine == &S390X {
            return kernel_in(self.file).context("no kernel was found in it");
        }
        self.payload().context("its payload is missing or not whole").and_then(uncompressed)
    }

    /// The compressed kernel of a bzImage of x86. It starts `payload_offset` bytes behind the boot sector and
    /// `setup_sects` further sectors.
    fn payload(&self) -> Option<&'a [u8]> {
        let word = |at| Some(u32::from_le_bytes(self.file.get(at..at + 4)?.try_into().ok()?) as usize);
        let sectors = usize::from(*self.file.get(0x1f1)?);
        let start = (sectors + 1) * 512 + word(0x248)?;
        self.file.get(start..start + word(0x24c)?).filter(|payload| !payload.is_empty())
    }
}

/// The kernel in a file that does not say where the kernel is: the content of the first compressed data that is a
/// kernel, or the file itself (CONFIG_KERNEL_UNCOMPRESSED). scripts/extract-vmlinux searches in the same way.
fn kernel_in(file: &[u8]) -> Option<Vec<u8>> {
    /// The most places that are tried. The decompressor before the kernel has few that look like compressed data.
    const MOST: usize = 64;
    let is_packed = |at: &usize| Packing::of(&file[*at..]).is_some();
    let contents = (0..file.len()).filter(is_packed).take(MOST).filter_map(|at| uncompressed(&file[at..]).ok());
    let itself = || file.to_vec();
    contents.chain(std::iter::once_with(itself)).find(|content| banner(content).is_some())
}

/// The compressed kernel in an EFI program that decompresses it (drivers/firmware/efi/libstub/zboot-header.S).
fn efi_payload(file: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?) as usize);
    let is_zboot = file.starts_with(b"MZ\0\0zimg");
    file.get(word(8)?..)?.get(..word(12)?).filter(|_| is_zboot)
}

/// The kernel in a unified kernel image, which is an EFI program
/// (uapi-group.org/specifications/specs/unified_kernel_image).
fn unified(file: &[u8]) -> Option<&[u8]> {
    PeFile64::parse(file).ok()?.section_by_name(".linux")?.data().ok()
}

/// The content of the first stream. The kernel's build may add the content's size behind it, in 4 bytes (`size_append`
/// in scripts/Makefile.lib).
pub fn uncompressed(payload: &[u8]) -> Result<Vec<u8>> {
    let start = &payload[..payload.len().min(4)];
    let packing =
        Packing::of(payload).with_context(|| format!("it begins with {start:02x?}, which is no known format"))?;
    let (content, _) =
        first_stream(packing, payload).with_context(|| format!("its {} data is damaged", packing.name()))?;
    Ok(content)
}
