//! A kernel image: its release, the version magic that its modules must have, and its configuration.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use guest_init::elf::Elf;
use guest_init::guest::modules::unpack::Format;
use memchr::memmem::{find, find_iter};

use crate::shared::decompress::{all_streams, first_stream};

/// The start of the banner that every uncompressed kernel contains (`linux_banner`).
const BANNER: &[u8] = b"Linux version ";

/// A kernel image.
#[derive(Debug)]
pub struct KernelImage {
    /// The release, as `uname -r` prints it.
    pub release: String,
    /// The version magic that its modules must have, if the image could be decompressed.
    pub vermagic: Option<Vec<u8>>,
    /// The text of its .config, if the kernel contains it (CONFIG_IKCONFIG).
    pub config: Option<Vec<u8>>,
}

impl KernelImage {
    /// Reads a bzImage of x86, an Image of arm64, or vmlinux. The file may be compressed, or be an EFI program that
    /// decompresses the kernel.
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
            let release = setup.release().context("a bzImage whose header has no version")?;
            return Ok(Self::with(release, &setup.payload().unwrap_or_default()));
        }
        let is_raw = Elf::new(&file).is_some() || file.get(0x38..0x3c) == Some(b"ARM\x64");
        ensure!(is_raw, "not a kernel image: neither bzImage, nor vmlinux, nor an Image of arm64");
        let Some(release) = banner(&file) else { bail!("a kernel image without the text `Linux version`") };
        Ok(Self::with(release, &file))
    }

    /// Searches `image`, the uncompressed kernel, for the other two.
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

    /// The release. The header's `kernel_version` is the offset of its text, less 0x200.
    fn release(&self) -> Option<String> {
        let offset = self.0.get(0x20e..0x210)?;
        let start = usize::from(u16::from_le_bytes(offset.try_into().ok()?)) + 0x200;
        first_word(self.0.get(start..)?)
    }

    /// The uncompressed kernel, if its format is one of [`Format`]. It starts `payload_offset` bytes behind the boot
    /// sector and `setup_sects` further sectors.
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

/// The content of the first stream. The kernel's build may add the content's size behind it, in 4 bytes (`size_append`
/// in scripts/Makefile.lib).
fn first(payload: &[u8]) -> Option<Vec<u8>> {
    Some(first_stream(Format::of(payload)?, payload).ok()?.0)
}

/// The release in the banner. The kernel also contains a format string of the banner, with `%s` in place of the
/// release.
fn banner(image: &[u8]) -> Option<String> {
    find_iter(image, BANNER).find_map(|at| first_word(&image[at + BANNER.len()..]))
}

/// The first word of a text, if it starts like a release.
fn first_word(text: &[u8]) -> Option<String> {
    let end = text.iter().position(|&b| matches!(b, b' ' | 0 | b'\n'))?;
    let word = str::from_utf8(&text[..end]).ok()?;
    word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.into())
}

/// The version magic: a NUL-terminated string `RELEASE SMP preempt mod_unload …`. The banner goes on differently behind
/// the release, with `(`.
fn vermagic(image: &[u8], release: &str) -> Option<Vec<u8>> {
    let start = [release.as_bytes(), b" "].concat();
    let flags = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b' ' | b'-' | b'.');
    find_iter(image, &start).find_map(|at| {
        let text = image[at..].split(|&b| b == 0).next()?;
        let whole = at == 0 || image[at - 1] == 0;
        (whole && text.len() < 256 && text[start.len()..].iter().all(|&b| flags(b))).then(|| text.to_vec())
    })
}

/// The configuration: gzip data between two marks (scripts/extract-ikconfig).
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
