//! The report on an image, as text and as JSON: its files, and why each is in it.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use indicatif::HumanBytes;
use serde::Serialize;

use super::archive::{Archive, Item, WHOLE_ROOT};
use super::image_file::{Compression, STDOUT, Sizes};
use super::selection::ALL;
use crate::cli::stderr;
use crate::cli::stdout::{self, NOTE, styled};

/// The format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// A line for each file, and a summary.
    Text,
    /// One JSON object.
    Json,
    /// No report.
    None,
}

/// The modules that were added.
#[derive(Debug)]
pub struct AddedModules {
    /// The release of their tree, if there was a tree.
    pub release: Option<String>,
    /// Their number.
    pub modules: usize,
    /// Whether the kernel decompresses zstd, as far as its configuration is known.
    pub kernel_has_zstd: bool,
}

impl Default for AddedModules {
    fn default() -> Self {
        Self { release: None, modules: 0, kernel_has_zstd: true }
    }
}

/// An image that was written.
pub struct Written<'a> {
    /// The file, or [`STDOUT`].
    pub path: &'a Path,
    /// Its sizes.
    pub sizes: Sizes,
    /// Its compression.
    pub compression: Compression,
    /// Why it has that compression, if guest-image chose it.
    pub reason: Option<&'static str>,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    image: &'a Path,
    release: Option<&'a str>,
    modules: usize,
    size: u64,
    unpacked: u64,
    compression: Compression,
    files: Vec<Item<'a>>,
}

/// Prints the report on standard output, or on standard error if the image is written to standard output. The summary
/// of the text format always goes to standard error.
pub fn print(format: ReportFormat, written: &Written<'_>, archive: &Archive, added: &AddedModules) -> Result<()> {
    let &Written { path: image, sizes, compression, .. } = written;
    let files: Vec<_> = archive.files().collect();
    let print = |text: &str| match image == Path::new(STDOUT) {
        true => {
            stderr::print(text.trim_end());
            Ok(())
        }
        false => stdout::print(text),
    };
    match format {
        ReportFormat::None => Ok(()),
        ReportFormat::Json => print(&stdout::json(&JsonReport {
            image,
            release: added.release.as_deref(),
            modules: added.modules,
            size: sizes.file,
            unpacked: sizes.unpacked,
            compression,
            files,
        })?),
        ReportFormat::Text => {
            print(&listing(&files))?;
            stderr::print(summary(written, archive, added));
            Ok(())
        }
    }
}

/// A line for each file. All files of `--all-modules` share one, and so do those of `--whole-root`.
fn listing(files: &[Item<'_>]) -> String {
    let width = files.iter().map(|file| file.why.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut line = |size, why: &str, what: &str| {
        let size = HumanBytes(size).to_string();
        let _ = writeln!(text, "{size:>11}  {}  {what}", styled(NOTE, format_args!("{why:width$}")));
    };
    let is_single = |file: &&Item<'_>| !matches!(file.why, ALL | WHOLE_ROOT);
    files.iter().filter(is_single).for_each(|file| line(file.size, file.why, file.path));
    for (why, noun) in [(ALL, "modules"), (WHOLE_ROOT, "files")] {
        let sizes: Vec<_> = files.iter().filter(|file| file.why == why).map(|file| file.size).collect();
        if !sizes.is_empty() {
            line(sizes.iter().sum(), why, &format!("{} {noun}", sizes.len()));
        }
    }
    text
}

fn summary(written: &Written<'_>, archive: &Archive, added: &AddedModules) -> String {
    let Written { path, sizes, compression, reason } = written;
    let (file, unpacked) = (HumanBytes(sizes.file), HumanBytes(sizes.unpacked));
    let modules = if added.modules == 1 { "module" } else { "modules" };
    let mut text = format!("{}: {} {modules}, {file}", path.display(), added.modules);
    match compression {
        Compression::Zstd => _ = write!(text, ", unpacked {unpacked}, compressed by zstd"),
        Compression::None if archive.existing.bytes.is_empty() => text += ", not compressed",
        Compression::None => _ = write!(text, ", of which {unpacked} appended, not compressed"),
    }
    if let Some(reason) = reason {
        _ = write!(text, ": {reason}");
    }
    if !archive.existing.bytes.is_empty() {
        text += "; boot with rdinit=/sbin/guest-init";
    }
    text
}
