//! Decompression of kernels and initramfs images with the host's decoders. libzstd is many times as fast as the guest's
//! decoder. [`Format`] has the table of formats.

use std::io::Read;

use anyhow::{Result, bail};
use flate2::bufread::GzDecoder;
use guest_init::guest::modules::unpack::Format;
use xz4rust::{XzDecoder, XzNextBlockResult};

/// Decompresses all streams of a file. Bytes behind the last stream are ignored.
pub fn all_streams(format: Format, file: &[u8]) -> Result<Vec<u8>> {
    let (mut content, mut rest) = first_stream(format, file)?;
    while Format::of(rest) == Some(format) {
        let (more, behind) = first_stream(format, rest)?;
        content.extend(more);
        rest = behind;
    }
    Ok(content)
}

/// Decompresses the first stream of a file. Returns its content and the bytes behind it.
pub fn first_stream(format: Format, file: &[u8]) -> Result<(Vec<u8>, &[u8])> {
    let mut content = Vec::new();
    let rest = match format {
        Format::Gzip => {
            let mut decoder = GzDecoder::new(file);
            decoder.read_to_end(&mut content)?;
            decoder.into_inner()
        }
        Format::Xz => xz(file, &mut content)?,
        Format::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(file)?.single_frame();
            decoder.read_to_end(&mut content)?;
            decoder.finish()
        }
    };
    Ok((content, rest))
}

/// Decompresses one xz stream. Returns the bytes behind it, which the crate's `XzReader` does not report.
fn xz<'f>(file: &'f [u8], content: &mut Vec<u8>) -> Result<&'f [u8]> {
    const DICTIONARY: usize = 1 << 20;
    const LARGEST_DICTIONARY: usize = 128 << 20;
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

/// The names of all formats, for a sentence: `gzip, zstd or xz`.
pub fn names() -> String {
    let names = Format::ALL.map(Format::name);
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!("{} or {last}", others.join(", "))
}
