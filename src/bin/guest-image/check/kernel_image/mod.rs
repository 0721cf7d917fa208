//! A kernel image: its release, the version magic that its modules must have, its configuration, the versions of
//! its symbols, and the certificates of those who may sign modules.

mod certificates;
mod layers;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use guest_init::machine::Machine;
use memchr::memmem::{find, find_iter};

use crate::shared::decompress;
use crate::shared::symbol_versions::SymbolVersions;
pub use certificates::Certificate;
use layers::{BootImage, Layer, machine_of, uncompressed};

/// The start of the banner that every uncompressed kernel contains (`linux_banner`).
const BANNER: &[u8] = b"Linux version ";
/// The most layers around a kernel: a compressed UKI with a compressed EFI program has three.
const MOST_LAYERS: usize = 4;

/// A kernel image.
#[derive(Debug)]
pub struct KernelImage {
    /// The release, as `uname -r` prints it.
    pub release: String,
    /// The machine that it is for, if guest-init runs on it.
    pub machine: Option<&'static Machine>,
    /// The version magic that its modules must have, if the kernel in the image could be read.
    pub vermagic: Option<Vec<u8>>,
    /// The text of its .config, if the kernel contains it (CONFIG_IKCONFIG).
    pub config: Option<Vec<u8>>,
    /// The versions of its symbols, if it has them and is an ELF file.
    pub versions: Option<SymbolVersions>,
    /// The certificates whose keys it accepts for modules, if they were found.
    pub keys: Option<Vec<Certificate>>,
    /// Why the kernel in the image could not be read.
    pub unread: Option<String>,
}

impl KernelImage {
    /// Reads a bzImage of x86 or s390, an Image of arm64 or riscv64, vmlinux, or a unified kernel image. The file may
    /// be compressed, or be an EFI program that decompresses the kernel.
    pub fn read(path: &Path) -> Result<Self> {
        let name = || format!("--kernel {}", path.display());
        fs::read(path).map_err(anyhow::Error::from).and_then(Self::of).with_context(name)
    }

    /// Takes the layers around a kernel off.
    fn of(mut file: Vec<u8>) -> Result<Self> {
        for _ in 0..MOST_LAYERS {
            file = match Layer::of(&file)? {
                Layer::None => return Self::of_kernel(&file),
                Layer::Boot(image) => return Self::of_boot_image(image),
                Layer::Around(inner) => inner,
            };
        }
        bail!("more than {MOST_LAYERS} compressed files in one another")
    }

    /// Reads an uncompressed kernel.
    fn of_kernel(file: &[u8]) -> Result<Self> {
        let machine = machine_of(file).with_context(|| {
            let packings = decompress::names();
            format!(
                "not a kernel image: neither bzImage, nor vmlinux, nor an Image of arm64 or riscv64, nor a unified \
                 kernel image; it may be compressed with {packings}"
            )
        })?;
        let release = banner(file).context("a kernel image without the text `Linux version`")?;
        Ok(Self::with(release, machine, file))
    }

    /// Reads the kernel in an image, or only the image's header if that kernel can't be read.
    fn of_boot_image(image: BootImage<'_>) -> Result<Self> {
        let without_release = "a bzImage whose header has no version";
        match image.kernel() {
            Ok(kernel) => {
                let release = image.release.or_else(|| banner(&kernel)).context(without_release)?;
                Ok(Self::with(release, Some(image.machine), &kernel))
            }
            Err(error) => Ok(Self {
                release: image.release.context(without_release)?,
                machine: Some(image.machine),
                vermagic: None,
                config: None,
                versions: None,
                keys: None,
                unread: Some(format!("{error:#}")),
            }),
        }
    }

    /// Searches `image`, the uncompressed kernel of a machine, for everything but its release.
    fn with(release: String, machine: Option<&'static Machine>, image: &[u8]) -> Self {
        let vermagic = vermagic(image, &release);
        let unread = vermagic.is_none().then(|| "it has no version magic".into());
        let versions = SymbolVersions::of_kernel(image);
        let is_big_endian = machine.is_some_and(|machine| machine.big_endian);
        let keys = certificates::builtin_trusted_keys(image, is_big_endian);
        Self { machine, vermagic, config: embedded_config(image), versions, keys, unread, release }
    }
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
    uncompressed(&image[start..start + length]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::decompress::tests::{bzip2, lz4};
    use guest_init::machine::{AARCH64, RISCV64, S390X, X86_64};
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

    /// An Image of riscv64: the arm64 Image with the other mark in its header.
    fn riscv64() -> Vec<u8> {
        let mut image = image();
        image[0x38..0x3c].copy_from_slice(b"RSC\x05");
        image
    }

    /// A bzImage of s390 with this payload, behind text that looks like compressed data.
    fn s390(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x10500];
        image[0x10008..0x1000e].copy_from_slice(b"S390EP");
        image[0x10428..0x10430].copy_from_slice(&0x10480_u64.to_be_bytes());
        image[0x10480..0x1048b].copy_from_slice(b"6.9-x (gcc)");
        image[0x10490..0x10496].copy_from_slice(b"\xfd7zXZ\0");
        [&image, payload].concat()
    }

    /// A unified kernel image, as far as one is looked into: an EFI program with the section `.linux`.
    fn unified(linux: &[u8]) -> Vec<u8> {
        const HEADER: usize = 0x40;
        const OPTIONAL: usize = 0x70;
        let mut file = b"MZ".to_vec();
        file.resize(0x3c, 0);
        file.extend((HEADER as u32).to_le_bytes());
        file.extend(b"PE\0\0\x64\x86\x01\0");
        file.resize(HEADER + 20, 0);
        file.extend([OPTIONAL as u8, 0, 0x22, 0, 0x0b, 0x02]);
        file.resize(HEADER + 24 + OPTIONAL, 0);
        let start = file.len() + 40;
        let size = linux.len() as u32;
        file.extend(b".linux\0\0");
        file.extend([size, 0x1000, size, start as u32].map(u32::to_le_bytes).concat());
        file.resize(start, 0);
        [&file, linux].concat()
    }

    /// A bzImage with this payload.
    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image[0x300..0x306].copy_from_slice(b"6.9-x ");
        [&image, payload].concat()
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
        let forms = [
            image(),
            packed.clone(),
            efi.clone(),
            bzip2(&image()),
            lz4(&image()),
            unified(&image()),
            unified(&efi),
            bzip2(&unified(&packed)),
        ];
        for form in &forms {
            let kernel = read(form).unwrap();
            assert_eq!(kernel.release, "6.9-x");
            assert_eq!(kernel.vermagic.as_deref(), Some(&b"6.9-x SMP preempt mod_unload aarch64"[..]));
            assert_eq!(kernel.config.as_deref(), Some(&b"CONFIG_X=y\n"[..]));
        }
    }

    #[test]
    fn a_kernel_names_its_machine() {
        let packed = zstd::encode_all(&riscv64()[..], 1).unwrap();
        let kernels = [
            (image(), &AARCH64),
            (riscv64(), &RISCV64),
            (packed, &RISCV64),
            (bzimage(&lz4(&image())), &X86_64),
            (s390(&lz4(&image())), &S390X),
            (s390(&image()), &S390X),
            (bzip2(&s390(&bzip2(&image()))), &S390X),
        ];
        for (file, machine) in kernels {
            let kernel = read(&file).unwrap();
            assert_eq!((kernel.machine, &kernel.release[..]), (Some(machine), "6.9-x"));
            assert_eq!(kernel.vermagic.as_deref(), Some(&b"6.9-x SMP preempt mod_unload aarch64"[..]));
        }
        let kernel = read(&s390(b"no kernel")).unwrap();
        assert_eq!((&kernel.release[..], kernel.machine), ("6.9-x", Some(&S390X)));
        assert_eq!(kernel.unread.as_deref(), Some("no kernel was found in it"));
    }

    #[test]
    fn a_payload_is_read_in_every_format_or_the_reason_is_said() {
        let sized = |packed: Vec<u8>| bzimage(&[packed, vec![0; 4]].concat());
        for form in
            [bzimage(&lz4(&image())), sized(lz4(&image())), sized(bzip2(&image())), unified(&sized(lz4(&image())))]
        {
            let kernel = read(&form).unwrap();
            assert_eq!(kernel.vermagic.as_deref(), Some(&b"6.9-x SMP preempt mod_unload aarch64"[..]));
            assert_eq!(kernel.unread, None);
        }
        let unread = |payload: &[u8]| read(&bzimage(payload)).unwrap().unread.unwrap();
        assert_eq!(unread(b"\x01\x02\x03\x04\x05"), "it begins with [01, 02, 03, 04], which is no known format");
        assert!(unread(&bzip2(&image())[..60]).starts_with("its bzip2 data is damaged: "));
        assert_eq!(unread(&lz4(b"no kernel")), "it has no version magic");
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
