//! What a kernel image says of itself: its release, the version magic that its modules must have, its configuration.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use guest_init::elf::Elf;
use guest_init::guest::modules::unpack::Format;
use memchr::memmem::{find, find_iter};

use crate::shared::decompress::{all_streams, first_stream};

/// The banner at the start of a kernel's log, and in every image that is not compressed.
const BANNER: &[u8] = b"Linux version ";

/// A kernel image.
#[derive(Debug)]
pub struct KernelImage {
    /// What its `uname -r` prints.
    pub release: String,
    /// `vermagic`, as its modules must have it, if the image shows it.
    pub vermagic: Option<Vec<u8>>,
    /// The text of its .config, if it holds one (CONFIG_IKCONFIG).
    pub config: Option<Vec<u8>>,
}

impl KernelImage {
    /// Reads an image: x86's bzImage, arm64's Image, or vmlinux, as it is, compressed as a whole, or as an EFI program.
    pub fn read(path: &Path) -> Result<Self> {
        let name = || format!("--kernel {}", path.display());
        let file = fs::read(path).with_context(name)?;
        let file = match Format::of(&file) {
            Some(format) => all_streams(format, &file).with_context(name)?,
            None => file,
        };
        let file = match efi_payload(&file) {
            Some(payload) => payload,
            None => file,
        };
        Self::of(file).with_context(name)
    }

    fn of(file: Vec<u8>) -> Result<Self> {
        if let Some(setup) = BzImage::of(&file) {
            let release = setup.release().context("a bzImage whose header names no version")?;
            return Ok(Self::with(release, &setup.payload().unwrap_or_default()));
        }
        let is_raw = Elf::new(&file).is_some() || file.get(0x38..0x3c) == Some(b"ARM\x64");
        ensure!(is_raw, "no kernel image: neither a bzImage, nor vmlinux, nor an Image of arm64");
        let Some(release) = banner(&file) else { bail!("a kernel image in which no `Linux version` stands") };
        Ok(Self::with(release, &file))
    }

    /// `image` is the kernel itself, not compressed.
    fn with(release: String, image: &[u8]) -> Self {
        Self { vermagic: vermagic(image, &release), config: embedded_config(image), release }
    }
}

/// An x86 image (Documentation/arch/x86/boot.rst).
struct BzImage<'a>(&'a [u8]);

impl<'a> BzImage<'a> {
    fn of(file: &'a [u8]) -> Option<Self> {
        (file.get(0x202..0x206) == Some(b"HdrS")).then_some(Self(file))
    }

    /// `kernel_version`: where the version's text is, less 0x200.
    fn release(&self) -> Option<String> {
        let offset = self.0.get(0x20e..0x210)?;
        let start = usize::from(u16::from_le_bytes(offset.try_into().ok()?)) + 0x200;
        first_word(self.0.get(start..)?)
    }

    /// The kernel itself: behind `setup_sects` sectors and the boot sector, at `payload_offset`, in a format of ours.
    fn payload(&self) -> Option<Vec<u8>> {
        let word = |at| Some(u32::from_le_bytes(self.0.get(at..at + 4)?.try_into().ok()?) as usize);
        let sectors = usize::from(*self.0.get(0x1f1)?);
        let start = (sectors + 1) * 512 + word(0x248)?;
        let payload = self.0.get(start..start + word(0x24c)?)?;
        first(payload)
    }
}

/// The kernel in an EFI program that decompresses it (drivers/firmware/efi/libstub/zboot-header.S).
fn efi_payload(file: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?) as usize);
    let is_zboot = file.starts_with(b"MZ\0\0zimg");
    let payload = file.get(word(8)?..)?.get(..word(12)?).filter(|_| is_zboot)?;
    first(payload)
}

/// The content of the first stream, if its format is known. Behind it may stand the content's size, in 4 bytes.
fn first(payload: &[u8]) -> Option<Vec<u8>> {
    Some(first_stream(Format::of(payload)?, payload).ok()?.0)
}

/// The release behind the banner; a format string has `%s` there.
fn banner(image: &[u8]) -> Option<String> {
    find_iter(image, BANNER).find_map(|at| first_word(&image[at + BANNER.len()..]))
}

/// The first word of a text, if it can be a release.
fn first_word(text: &[u8]) -> Option<String> {
    let end = text.iter().position(|&b| matches!(b, b' ' | 0 | b'\n'))?;
    let word = str::from_utf8(&text[..end]).ok()?;
    word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.into())
}

/// `RELEASE SMP preempt mod_unload …` with its end, where the banner has `RELEASE (compiler`.
fn vermagic(image: &[u8], release: &str) -> Option<Vec<u8>> {
    let start = [release.as_bytes(), b" "].concat();
    let flags = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b' ' | b'-' | b'.');
    find_iter(image, &start).find_map(|at| {
        let text = image[at..].split(|&b| b == 0).next()?;
        let whole = at == 0 || image[at - 1] == 0;
        (whole && text.len() < 256 && text[start.len()..].iter().all(|&b| flags(b))).then(|| text.to_vec())
    })
}

/// The gzip data between two marks (scripts/extract-ikconfig).
fn embedded_config(image: &[u8]) -> Option<Vec<u8>> {
    let start = find(image, b"IKCFG_ST")? + 8;
    let length = find(&image[start..], b"IKCFG_ED")?;
    first(&image[start..start + length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// An arm64 Image, as far as one is looked into.
    fn image() -> Vec<u8> {
        let mut image = vec![0; 0x40];
        image[0x38..0x3c].copy_from_slice(b"ARM\x64");
        let strings = ["Linux version %s (%s)", "6.9-x SMP not this", "Linux version 6.9-x (gcc) #1 SMP"];
        strings.iter().for_each(|string| image.extend([string.as_bytes(), b"\n\0"].concat()));
        image.extend(b"6.9-x SMP preempt mod_unload aarch64\0");
        image.extend(b"IKCFG_ST");
        let mut gzip = flate2::write::GzEncoder::new(&mut image, flate2::Compression::fast());
        gzip.write_all(b"CONFIG_X=y\n").unwrap();
        gzip.finish().unwrap();
        image.extend(b"IKCFG_ED");
        image
    }

    /// Reads an image of these bytes.
    fn read(bytes: &[u8]) -> Result<KernelImage> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        KernelImage::read(file.path())
    }

    #[test]
    fn an_image_of_arm64_says_what_it_is_in_every_form() {
        let packed = zstd::encode_all(&image()[..], 1).unwrap();
        let mut efi = b"MZ\0\0zimg".to_vec();
        efi.extend([64_u32.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat());
        efi.resize(64, 0);
        efi.extend(&packed);
        for form in [&image(), &packed, &efi] {
            let kernel = read(form).unwrap();
            assert_eq!(kernel.release, "6.9-x");
            assert_eq!(kernel.vermagic.as_deref(), Some(&b"6.9-x SMP preempt mod_unload aarch64"[..]));
            assert_eq!(kernel.config.as_deref(), Some(&b"CONFIG_X=y\n"[..]));
        }
    }

    #[test]
    fn what_is_cut_short_is_no_kernel_or_one_that_says_less() {
        let image = image();
        for length in 0..image.len() {
            if let Ok(kernel) = read(&image[..length]) {
                assert_eq!(kernel.release, "6.9-x");
            }
        }
    }
}
