//! An existing initramfs that a new image is appended to. The kernel unpacks the archives of one file one over the
//! other. The existing part stays unchanged, byte for byte, and its paths decide which paths the new part may have.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cpio::NewcReader;

use crate::shared::decompress::{self, Packing, first_stream};
use crate::shared::links::follow;

/// The file type's bits of a mode (S_IFMT).
const TYPE: u32 = 0o170_000;

/// The kind of a node in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NodeKind {
    Directory,
    Link(String),
    /// A regular file that has other names as well.
    HardLink,
    Other,
}

/// An existing initramfs.
#[derive(Debug, Default)]
pub struct ExistingImage {
    /// The bytes of its file, to which another archive can be appended.
    pub bytes: Vec<u8>,
    /// The format of its last archive, if that is compressed.
    last: Option<Packing>,
    entries: BTreeMap<String, NodeKind>,
}

impl ExistingImage {
    /// Reads a file of cpio archives, each of which may be compressed.
    pub fn read(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let mut bytes = fs::read(path).with_context(name)?;
        let mut image = Self::default();
        image.read_archives(&bytes).with_context(name)?;
        ensure!(!image.entries.is_empty(), "{}: an empty image", path.display());
        if image.last == Some(Packing::Lz4) {
            // The format has no end. To the kernel, the archive ends at a block of 0 bytes (lib/decompress_unlz4.c).
            bytes.extend([0; 4]);
        }
        image.bytes = bytes;
        Ok(image)
    }

    /// Whether anything stands at a path that [`ExistingImage::resolve`] returned.
    pub fn has(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// Whether a directory stands at such a path.
    pub fn has_directory(&self, path: &str) -> bool {
        self.entries.get(path) == Some(&NodeKind::Directory)
    }

    /// Whether a file with several names stands at such a path.
    pub fn has_hard_link(&self, path: &str) -> bool {
        self.entries.get(path) == Some(&NodeKind::HardLink)
    }

    /// The paths below a directory.
    pub fn below<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries.keys().filter_map(move |path| path.strip_prefix(directory)?.strip_prefix('/'))
    }

    /// The path with all links on the way followed, but not the last part. A directory in place of such a link would
    /// replace the link.
    pub fn resolve(&self, path: &str) -> Result<String> {
        follow(path, false, &|path| self.link(path))
    }

    /// The target of the link at a path.
    pub fn link(&self, path: &str) -> Option<&str> {
        match self.entries.get(path)? {
            NodeKind::Link(target) => Some(target),
            NodeKind::Directory | NodeKind::HardLink | NodeKind::Other => None,
        }
    }

    /// Reads all archives of a file. Zeros may stand between them.
    fn read_archives(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while let Some(start) = rest.iter().position(|&b| b != 0) {
            rest = &rest[start..];
            let offset = bytes.len() - rest.len();
            let at = || format!("at offset {offset:#x}");
            let packing = Packing::of(rest);
            rest = match packing {
                None if rest.starts_with(b"0707") => self.read_archive(rest).with_context(at)?,
                None => bail!(
                    "at offset {offset:#x}: neither a cpio archive nor one in {}; compress the image in one of these",
                    decompress::names()
                ),
                Some(packing) => {
                    let (content, behind) = first_stream(packing, rest).with_context(at)?;
                    self.read_archives(&content).with_context(at)?;
                    behind
                }
            };
            self.last = packing;
        }
        Ok(())
    }

    /// Reads one archive. Returns the bytes behind it.
    fn read_archive<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let mut rest = bytes;
        loop {
            let mut reader = NewcReader::new(rest)?;
            let entry = reader.entry().clone();
            let mut content = Vec::new();
            if entry.mode() & TYPE == 0o120_000 {
                reader.read_to_end(&mut content)?;
            }
            rest = reader.finish()?;
            if entry.is_trailer() {
                return Ok(rest);
            }
            let kind = match entry.mode() & TYPE {
                0o040_000 => NodeKind::Directory,
                0o120_000 => NodeKind::Link(String::from_utf8(content)?),
                0o100_000 if entry.nlink() > 1 => NodeKind::HardLink,
                _ => NodeKind::Other,
            };
            let path = entry.name().trim_start_matches("./").trim_matches('/');
            if !matches!(path, "" | ".") {
                self.entries.insert(path.into(), kind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entries: &[(&str, NodeKind)]) -> ExistingImage {
        let entries = entries.iter().map(|(path, kind)| (path.to_string(), kind.clone())).collect();
        ExistingImage { entries, ..ExistingImage::default() }
    }

    #[test]
    fn links_on_the_way_are_followed_and_the_last_is_not() {
        let link = |target: &str| NodeKind::Link(target.into());
        let image = image(&[
            ("usr", NodeKind::Directory),
            ("lib", link("usr/lib")),
            ("usr/lib", NodeKind::Directory),
            ("sbin", link("/usr/sbin")),
            ("usr/sbin", link("./bin")),
            ("usr/bin", NodeKind::Directory),
            ("a", link("b")),
            ("b", link("a")),
        ]);
        let resolved =
            ["lib/modules/1", "sbin/init", "sbin", "new/x", "usr/../lib/y"].map(|path| image.resolve(path).unwrap());
        assert_eq!(resolved, ["usr/lib/modules/1", "usr/bin/init", "sbin", "new/x", "usr/lib/y"]);
        assert!(image.resolve("a/x").is_err());
    }

    #[test]
    fn an_image_that_is_cut_short_or_damaged_is_an_error_at_most() {
        let mut plain = Vec::new();
        for (path, mode, content) in [("a", 0o040_755, ""), ("b", 0o120_777, "a"), ("a/c", 0o100_644, "text")] {
            let mut entry = cpio::newc::Builder::new(path).mode(mode).write(&mut plain, content.len() as u32);
            std::io::Write::write_all(&mut entry, content.as_bytes()).unwrap();
            entry.finish().unwrap();
        }
        let plain = cpio::newc::trailer(plain).unwrap();
        let packed = zstd::encode_all(&plain[..], 1).unwrap();
        for whole in [plain, packed] {
            let mut image = ExistingImage::default();
            image.read_archives(&whole).unwrap();
            assert_eq!(image.entries.len(), 3);
            for at in 0..whole.len() {
                let _ = ExistingImage::default().read_archives(&whole[..at]);
                let mut damaged = whole.clone();
                damaged[at] ^= 1;
                let _ = ExistingImage::default().read_archives(&damaged);
            }
        }
    }
}
