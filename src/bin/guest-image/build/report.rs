//! The report on an image, as text and as JSON: its files, and why each is in it.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use indicatif::HumanBytes;
use serde::Serialize;

use super::archive::{Archive, Item};
use super::image_file::{STDOUT, Sizes};
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
#[derive(Debug, Default)]
pub struct AddedModules {
    /// The release of their tree, if there was a tree.
    pub release: Option<String>,
    /// Their number.
    pub modules: usize,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    image: &'a Path,
    release: Option<&'a str>,
    modules: usize,
    size: u64,
    unpacked: u64,
    files: Vec<Item<'a>>,
}

/// Prints the report on standard output, or on standard error if the image is written to standard output. The summary
/// of the text format always goes to standard error.
pub fn print(format: ReportFormat, image: &Path, archive: &Archive, added: &AddedModules, sizes: Sizes) -> Result<()> {
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
            files,
        })?),
        ReportFormat::Text => {
            print(&listing(&files))?;
            stderr::print(summary(image, archive, added, sizes));
            Ok(())
        }
    }
}

/// A line for each file. All files of `--all-modules` share one.
fn listing(files: &[Item<'_>]) -> String {
    let width = files.iter().map(|file| file.why.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut line = |size, why: &str, what: &str| {
        let size = HumanBytes(size).to_string();
        let _ = writeln!(text, "{size:>11}  {}  {what}", styled(NOTE, format_args!("{why:width$}")));
    };
    let (whole, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.why == ALL);
    others.into_iter().for_each(|file| line(file.size, file.why, file.path));
    if !whole.is_empty() {
        let size = whole.iter().map(|file| file.size).sum();
        line(size, ALL, &format!("{} modules", whole.len()));
    }
    text
}

fn summary(image: &Path, archive: &Archive, added: &AddedModules, sizes: Sizes) -> String {
    let (file, unpacked) = (HumanBytes(sizes.file), HumanBytes(sizes.unpacked));
    let modules = if added.modules == 1 { "module" } else { "modules" };
    let mut text = format!("{}: {} {modules}, {file}, unpacked {unpacked}", image.display(), added.modules);
    if !archive.existing.bytes.is_empty() {
        let _ = write!(text, "; boot with rdinit=/sbin/guest-init");
    }
    text
}
