//! The file of the image: its compression, and that it is written completely or not at all.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::shared::draft::Draft;

/// The level of zstd. At a higher level, compressing takes longer than a boot, and the image is hardly smaller.
const ZSTD_LEVEL: i32 = 9;

/// The largest archive, in bytes, that `--compress auto` leaves uncompressed. The kernel unpacks an image into memory,
/// into at most half of the memory that is left beside the image. So an archive of N bytes takes 3 N bytes of memory
/// for a moment, and in zstd 2.2 N: Linux 6.1 boots the 386 MiB of all its modules with 1,250 MiB, and in zstd with
/// 950 MiB.
const MOST_PLAIN: u64 = 64 << 20;

/// The compression that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompressionChoice {
    /// None up to 64 MiB, which boots fastest: Linux 6.1 unpacks 25 modules, 12 MiB, in 35 million instructions, and in
    /// zstd in 200. zstd for more, because without it the VM needs three times the size in memory while it boots
    Auto,
    /// zstd, which nearly all kernels decompress (CONFIG_RD_ZSTD). Take it also if the host reads images slowly
    Zstd,
    /// No compression
    None,
}

/// The compression of an image. The kernel recognises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// zstd.
    Zstd,
    /// No compression.
    None,
}

impl CompressionChoice {
    /// The compression of an archive of `size` bytes, for a kernel that can decompress zstd or not, and the reason if
    /// it was chosen here.
    pub fn for_archive(self, size: u64, kernel_has_zstd: bool) -> (Compression, Option<&'static str>) {
        match self {
            Self::None => (Compression::None, None),
            Self::Zstd => (Compression::Zstd, None),
            Self::Auto if !kernel_has_zstd => (Compression::None, Some("this kernel has no CONFIG_RD_ZSTD")),
            Self::Auto if size <= MOST_PLAIN => (Compression::None, Some("it boots fastest so")),
            Self::Auto => {
                (Compression::Zstd, Some("uncompressed it would take three times its size of the VM's memory"))
            }
        }
    }
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
