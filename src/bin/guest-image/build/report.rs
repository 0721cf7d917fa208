//! What was put into an image, and why: as text and as JSON.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use indicatif::HumanBytes;
use serde::Serialize;

use super::archive::{Archive, Item};
use super::image_file::Sizes;
use super::selection::ALL;
use crate::cli::stderr;
use crate::cli::stdout::{self, NOTE, styled};

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// A line a file, and one of sums.
    Text,
    /// One object.
    Json,
    /// Not at all.
    None,
}

/// What a module tree gave.
#[derive(Debug, Default)]
pub struct AddedModules {
    /// The tree's release, if there was one.
    pub release: Option<String>,
    /// The number of modules.
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

/// Tells it: the files on standard output, the sums, as text, on standard error.
pub fn print(format: ReportFormat, image: &Path, archive: &Archive, added: &AddedModules, sizes: Sizes) -> Result<()> {
    let files: Vec<_> = archive.files().collect();
    match format {
        ReportFormat::None => Ok(()),
        ReportFormat::Json => stdout::print_json(&JsonReport {
            image,
            release: added.release.as_deref(),
            modules: added.modules,
            size: sizes.file,
            unpacked: sizes.unpacked,
            files,
        }),
        ReportFormat::Text => {
            stdout::print(&listing(&files))?;
            stderr::print(sums(image, archive, added, sizes));
            Ok(())
        }
    }
}

/// A line a file; one for all that an image of a whole tree holds of it.
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

fn sums(image: &Path, archive: &Archive, added: &AddedModules, sizes: Sizes) -> String {
    let (file, unpacked) = (HumanBytes(sizes.file), HumanBytes(sizes.unpacked));
    let modules = if added.modules == 1 { "module" } else { "modules" };
    let mut text = format!("{}: {} {modules}, {file}, unpacked {unpacked}", image.display(), added.modules);
    if !archive.existing.bytes.is_empty() {
        let _ = write!(text, "; rdinit=/sbin/guest-init starts it");
    }
    text
}
