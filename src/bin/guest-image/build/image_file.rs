//! The file of the image: its compression, and that it is written completely or not at all.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::shared::draft::Draft;

/// The level of zstd. At a higher level, compressing takes longer than a boot, and the image is hardly smaller.
const ZSTD_LEVEL: i32 = 9;

/// The compression of an image. The kernel recognises it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Compression {
    /// Nearly all kernels decompress it (CONFIG_RD_ZSTD)
    Zstd,
    /// No compression, which boots fastest if the image is read from memory
    None,
}

/// The sizes of a written image, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The size of the new archive before compression.
    pub unpacked: u64,
    /// The size of the file.
    pub file: u64,
}

/// The name of standard output in place of a path.
pub const STDOUT: &str = "-";

/// Writes `before` unchanged and then the compressed output of `fill` to a new file, and renames that file to `path`.
/// If the path is [`STDOUT`], writes to standard output.
pub fn write(
    path: &Path,
    before: &[u8],
    compression: Compression,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Sizes> {
    if path == Path::new(STDOUT) {
        ensure!(!io::stdout().is_terminal(), "standard output is a terminal; send the image to a file or a pipe");
        return write_to(&mut io::stdout().lock(), before, compression, fill).context("standard output");
    }
    let draft = Draft::beside(path)?;
    let sizes = write_to(&mut draft.file(), before, compression, fill)?;
    draft.publish(path)?;
    Ok(sizes)
}

fn write_to(
    output: &mut dyn Write,
    before: &[u8],
    compression: Compression,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Sizes> {
    let mut output = Counted { inner: output, count: 0 };
    // The kernel finds an uncompressed archive only at an offset that is a multiple of 4, and skips zeros
    // (`unpack_to_rootfs` in init/initramfs.c).
    let padding = before.len().next_multiple_of(4) - before.len();
    output.write_all(before)?;
    output.write_all(&[0; 3][..padding])?;
    let unpacked = match compression {
        Compression::None => {
            let mut archive = Counted { inner: io::BufWriter::new(&mut output), count: 0 };
            fill(&mut archive)?;
            archive.flush()?;
            archive.count
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(&mut output, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            let mut archive = Counted { inner: encoder, count: 0 };
            fill(&mut archive)?;
            archive.inner.finish()?;
            archive.count
        }
    };
    output.flush()?;
    Ok(Sizes { unpacked, file: output.count })
}

/// A writer that counts bytes.
struct Counted<W> {
    inner: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
