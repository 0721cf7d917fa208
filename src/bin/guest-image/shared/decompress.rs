//! Decompression of kernels and initramfs images with the host's decoders, in every format that the kernel has
//! (lib/decompress.c). libzstd is many times as fast as the guest's decoder.

use std::io::Read;

use anyhow::{Context, Result, bail};
use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use guest_init::guest::modules::unpack::Format;
use lzma_rust2::LzmaReader;
use xz4rust::{XzDecoder, XzNextBlockResult};

/// The format of a compressed kernel or initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// A format of modules.
    Module(Format),
    /// The format of bzip2.
    Bzip2,
    /// The format of `xz --format=lzma`.
    Lzma,
    /// The format of lzop.
    Lzo,
    /// The format of `lz4 -l`. The kernel knows no other format of lz4.
    Lz4,
}

/// The formats that modules never have, with their names and first bytes.
const OTHERS: [(Packing, &str, &[u8]); 4] = [
    (Packing::Bzip2, "bzip2", b"BZh"),
    (Packing::Lzma, "lzma", &[0x5d, 0, 0]),
    (Packing::Lzo, "lzo", b"\x89LZO\0\r\n\x1a\n"),
    (Packing::Lz4, "lz4", &LZ4_MAGIC),
];

/// The first bytes of a file in the legacy format of lz4.
const LZ4_MAGIC: [u8; 4] = 0x184c_2102_u32.to_le_bytes();

impl Packing {
    /// Recognises the format of a file by its first bytes.
    pub fn of(file: &[u8]) -> Option<Self> {
        let other = OTHERS.iter().find(|(.., magic)| file.starts_with(magic)).map(|(packing, ..)| *packing);
        Format::of(file).map(Self::Module).or(other)
    }

    /// The name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Module(format) => format.name(),
            other => OTHERS.iter().find(|(packing, ..)| *packing == other).map_or("", |(_, name, _)| name),
        }
    }
}

/// Decompresses all streams of a file. Bytes behind the last stream are ignored.
pub fn all_streams(packing: Packing, file: &[u8]) -> Result<Vec<u8>> {
    let (mut content, mut rest) = first_stream(packing, file)?;
    while Packing::of(rest) == Some(packing) {
        let (more, behind) = first_stream(packing, rest)?;
        content.extend(more);
        rest = behind;
    }
    Ok(content)
}

/// Decompresses the first stream of a file. Returns its content and the bytes behind it.
pub fn first_stream(packing: Packing, file: &[u8]) -> Result<(Vec<u8>, &[u8])> {
    let mut content = Vec::new();
    let rest = match packing {
        Packing::Module(Format::Gzip) => {
            let mut decoder = GzDecoder::new(file);
            decoder.read_to_end(&mut content)?;
            decoder.into_inner()
        }
        Packing::Module(Format::Xz) => xz(file, &mut content)?,
        Packing::Module(Format::Zstd) => {
            let mut decoder = zstd::Decoder::with_buffer(file)?.single_frame();
            decoder.read_to_end(&mut content)?;
            decoder.finish()
        }
        Packing::Bzip2 => {
            let mut decoder = BzDecoder::new(file);
            decoder.read_to_end(&mut content)?;
            decoder.into_inner()
        }
        Packing::Lzma => {
            let mut decoder = LzmaReader::new_mem_limit(file, LARGEST_DICTIONARY as u32 >> 10, None)?;
            decoder.read_to_end(&mut content)?;
            decoder.into_inner()
        }
        Packing::Lzo => lzo(file, &mut content).context("the lzo data ends early")??,
        Packing::Lz4 => lz4(file, &mut content)?,
    };
    Ok((content, rest))
}

/// The largest dictionary of xz and lzma, in bytes.
const LARGEST_DICTIONARY: usize = 128 << 20;

/// Decompresses one xz stream. Returns the bytes behind it, which the crate's `XzReader` does not report.
fn xz<'f>(file: &'f [u8], content: &mut Vec<u8>) -> Result<&'f [u8]> {
    const DICTIONARY: usize = 1 << 20;
    let mut decoder = XzDecoder::in_heap_with_alloc_dict_size(DICTIONARY, LARGEST_DICTIONARY);
    let mut buffer = vec![0; DICTIONARY];
    let mut rest = file;
    loop {
        let (is_end, taken, made) = match decoder.decode(rest, &mut buffer)? {
            XzNextBlockResult::NeedMoreData(0, 0) => bail!("the xz data ends early"),
            XzNextBlockResult::NeedMoreData(taken, made) => (false, taken, made),
            XzNextBlockResult::EndOfStream(taken, made) => (true, taken, made),
        };
        rest = &rest[taken..];
        content.extend_from_slice(&buffer[..made]);
        if is_end {
            return Ok(rest);
        }
    }
}

/// Decompresses the blocks of an lz4 file. Each has its compressed size before it. The format has no end: the blocks
/// end at a size that no block has, as they do for the kernel (lib/decompress_unlz4.c).
fn lz4<'f>(file: &'f [u8], content: &mut Vec<u8>) -> Result<&'f [u8]> {
    /// The size of a decompressed block, in bytes.
    const BLOCK: usize = 8 << 20;
    let mut rest = &file[LZ4_MAGIC.len()..];
    while let Some((size, behind)) = rest.split_first_chunk() {
        let size = u32::from_le_bytes(*size) as usize;
        if size == 0 || size > lz4_flex::block::get_maximum_output_size(BLOCK) {
            break;
        }
        let Some((block, behind)) = behind.split_at_checked(size) else { bail!("the lz4 data ends early") };
        content.extend(lz4_flex::block::decompress(block, BLOCK)?);
        rest = behind;
    }
    Ok(rest)
}

/// Decompresses an lzop file (lib/decompress_unlzo.c). `None`: it ends early.
fn lzo<'f>(file: &'f [u8], content: &mut Vec<u8>) -> Option<Result<&'f [u8]>> {
    /// From this version on, a header has a level, and the time has 64 bits.
    const WITH_LEVEL: u32 = 0x0940;
    /// The flags for a filter, and for checksums of decompressed and of compressed blocks: Adler-32 and CRC-32 each.
    const FILTER: u32 = 0x800;
    const CHECKSUMS: [u32; 2] = [0x001, 0x100];
    const COMPRESSED_CHECKSUMS: [u32; 2] = [0x002, 0x200];

    let mut rest = file.get(9..)?;
    let version = number(&mut rest, 2)?;
    let has_level = version >= WITH_LEVEL;
    // The library's version, the version that is needed, the method, and the level.
    skip(&mut rest, 5 + usize::from(has_level))?;
    let flags = number(&mut rest, 4)?;
    let fields = if flags & FILTER == 0 { 0 } else { 4 };
    // The filter, the file's mode and its time.
    skip(&mut rest, fields + 8 + if has_level { 4 } else { 0 })?;
    let name = number(&mut rest, 1)?;
    skip(&mut rest, name as usize + 4)?;
    let checksums = |kinds: [u32; 2]| 4 * kinds.iter().filter(|kind| flags & **kind != 0).count();
    loop {
        let size = number(&mut rest, 4)? as usize;
        if size == 0 {
            return Some(Ok(rest));
        }
        let compressed = number(&mut rest, 4)? as usize;
        let is_stored = compressed >= size;
        skip(&mut rest, checksums(CHECKSUMS) + if is_stored { 0 } else { checksums(COMPRESSED_CHECKSUMS) })?;
        let block = skip(&mut rest, compressed)?;
        match is_stored {
            true => content.extend_from_slice(block),
            false => match lzo::decompress(block, size) {
                Ok(block) => content.extend(block),
                Err(error) => return Some(Err(anyhow::anyhow!("{error}"))),
            },
        }
    }
}

/// Takes bytes off the start.
fn skip<'f>(rest: &mut &'f [u8], count: usize) -> Option<&'f [u8]> {
    let (taken, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    Some(taken)
}

/// Takes a number of at most four bytes off the start, the highest byte first.
fn number(rest: &mut &[u8], size: usize) -> Option<u32> {
    skip(rest, size).map(|bytes| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// The names of all formats, for a sentence: `gzip, zstd or xz`.
pub fn names() -> String {
    let modules = Format::ALL.map(Format::name);
    let names: Vec<_> = modules.into_iter().chain(OTHERS.map(|(_, name, _)| name)).collect();
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!("{} or {last}", others.join(", "))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::io::Write;

    /// `Hello, world!` in the format of lzma.
    const LZMA: [u8; 37] = [
        93, 0, 0, 128, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 36, 25, 73, 152, 111, 22, 2, 140, 232, 230, 91,
        177, 71, 198, 206, 183, 99, 255, 255, 60, 172, 0, 0,
    ];
    /// `hello, lzo world!` as a block of lzo.
    const LZO: &[u8] = b"\"hello, lzo world!\x11\0\0";

    pub fn bzip2(content: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(content).and_then(|()| encoder.finish()).unwrap()
    }

    pub fn lz4(content: &[u8]) -> Vec<u8> {
        let block = lz4_flex::block::compress(content);
        [&LZ4_MAGIC[..], &(block.len() as u32).to_le_bytes(), &block].concat()
    }

    /// An lzop file with checksums, of a compressed block and a stored one.
    fn lzo() -> Vec<u8> {
        let mut file = b"\x89LZO\0\r\n\x1a\n".to_vec();
        // Versions, method, level, the flags for both Adler-32, mode, time, name, and the header's checksum.
        file.extend([0x10, 0x30, 0x20, 0xa0, 0x09, 0x40, 1, 5, 0, 0, 0, 3]);
        file.extend([0; 12]);
        file.extend(b"\x01n\0\0\0\0");
        let number = |number: usize| (number as u32).to_be_bytes();
        // A compressed block is shorter than its content. This one says so, and the decoder finds the true length.
        file.extend([number(LZO.len() + 1), number(LZO.len()), number(0), number(0)].concat());
        file.extend(LZO);
        file.extend([number(3), number(3), number(0)].concat());
        file.extend(b"end");
        file.extend(number(0));
        file
    }

    #[test]
    fn every_format_is_recognised_and_the_bytes_behind_it_are_left() {
        let files = [
            (bzip2(b"text"), "bzip2", &b"text"[..]),
            (LZMA.to_vec(), "lzma", b"Hello, world!"),
            (lzo(), "lzo", b"hello, lzo world!end"),
            ([lz4(b"text"), vec![0; 4]].concat(), "lz4", b"text"),
            (zstd::encode_all(&b"text"[..], 1).unwrap(), "zstd", b"text"),
        ];
        for (file, name, content) in files {
            let packing = Packing::of(&file).unwrap();
            assert_eq!(packing.name(), name);
            let whole = [&file[..], b"\0\0\0\0behind"].concat();
            let (unpacked, behind) = first_stream(packing, &whole).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!((&unpacked[..], behind.ends_with(b"behind")), (content, true), "{name}");
            assert_eq!(all_streams(packing, &file).unwrap(), content, "{name}");
            for length in 9..file.len() - 8 {
                // An lz4 file may end behind any block.
                assert!(first_stream(packing, &file[..length]).is_err() || name == "lz4", "{length} bytes of {name}");
            }
        }
    }
}
