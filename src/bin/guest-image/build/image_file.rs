//! The output file: compressed, or as it is, and whole or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

/// Above it the image of a few modules takes longer than a boot, and gets hardly smaller.
const ZSTD_LEVEL: i32 = 9;

/// How an image is compressed; the kernel tells by itself.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Compression {
    /// For kernels with CONFIG_RD_ZSTD, and that is nearly all.
    Zstd,
    /// As it is: the fastest to boot where the image comes from memory.
    None,
}

/// Sizes of what was written, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// What the guest unpacks.
    pub unpacked: u64,
    /// The file's.
    pub file: u64,
}

/// Writes `before`, as it is, and what `fill` writes to the file at `path`, by way of one beside it.
pub fn write(
    path: &Path,
    before: &[u8],
    compression: Compression,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Sizes> {
    let draft = Draft::beside(path)?;
    // The kernel takes an archive that is not compressed for one at a multiple of 4 alone, and passes over zeros.
    let padding = before.len().next_multiple_of(4) - before.len();
    (&draft.file).write_all(before)?;
    (&draft.file).write_all(&[0; 3][..padding])?;
    let unpacked = match compression {
        Compression::None => {
            let mut output = Counted { inner: io::BufWriter::new(&draft.file), count: 0 };
            fill(&mut output)?;
            output.flush()?;
            output.count
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(&draft.file, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            let mut output = Counted { inner: encoder, count: 0 };
            fill(&mut output)?;
            output.inner.finish()?;
            output.count
        }
    };
    let file = draft.file.metadata()?.len();
    draft.publish(path)?;
    Ok(Sizes { unpacked, file })
}

/// A file that goes away unless it is published.
struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    fn beside(path: &Path) -> Result<Self> {
        let name = path.file_name().with_context(|| format!("{}: no file's name", path.display()))?;
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}.part", std::process::id()));
        let draft = path.with_file_name(draft);
        let file = File::create(&draft).with_context(|| path.display().to_string())?;
        Ok(Self { path: draft, file })
    }

    fn publish(&self, path: &Path) -> Result<()> {
        fs::rename(&self.path, path).with_context(|| path.display().to_string())
    }
}

impl Drop for Draft {
    /// After [`Draft::publish`] there is nothing left to remove.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Counts what is written.
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
