//! Tar files: what `docker export` writes, and the layers of a container image.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use anyhow::{Context, Result, bail, ensure};
use guest_init::guest::modules::unpack::Format;
use tar::{Archive, Entry, EntryType};

use super::super::decompress::Packing;
use super::files::{Attributes, LONGEST_PATH, MOST_BYTES, RootFiles, RootNode};

/// The start of the names that stand for removed files (OCI image specification, layer.md, Whiteouts).
const WHITEOUT: &str = ".wh.";
/// The name that hides everything that earlier layers have in its directory.
const OPAQUE: &str = ".wh..wh..opq";
/// The key of an extended attribute in a header of pax.
const XATTR: &str = "SCHILY.xattr.";
/// The most bytes of a decompressed tar file: its contents, and as much again for headers.
const LONGEST_TAR: u64 = 2 * MOST_BYTES;
/// The most bytes of an entry's headers, which are read into memory: long names, and what pax adds.
const LONGEST_HEADERS: u64 = 4 << 20;

/// The meaning of a tar file's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// All files of a root.
    Whole,
    /// The changes of a layer, with whiteouts.
    Layer,
}

/// Adds the entries of a tar file to a root. The file may be compressed.
pub fn read(files: &mut RootFiles, file: impl BufRead, entries: Entries) -> Result<()> {
    let (allowance, at_end) = (Cell::new(0), Cell::new(false));
    let mut archive = Archive::new(Metered { inner: decompressed(file)?, allowance: &allowance, at_end: &at_end });
    let mut all = archive.entries()?;
    loop {
        allowance.set(LONGEST_HEADERS);
        let Some(entry) = all.next() else { break };
        ensure!(entry.is_ok() || allowance.get() > 0, "an entry has headers of more than 4 MiB");
        let mut entry = entry.context("not a tar file, or a damaged one")?;
        allowance.set(allowance.get().saturating_add(entry.size()));
        let name = text(&entry.path_bytes())?;
        add(files, &mut entry, &name, entries).with_context(|| format!("/{}", name.trim_start_matches(['.', '/'])))?;
    }
    // A layer has the digest of its descriptor, and so is whole.
    ensure!(
        entries == Entries::Layer || !at_end.get(),
        "the tar file has no end mark, so it was cut short; export it again"
    );
    Ok(())
}

/// The tar file, of which no more is read than is allowed.
struct Metered<'m, R> {
    inner: R,
    /// The bytes that may still be read.
    allowance: &'m Cell<u64>,
    /// Whether the file ended.
    at_end: &'m Cell<bool>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let allowance = self.allowance.get();
        if allowance == 0 && !bytes.is_empty() {
            return Err(io::Error::other("more bytes than an entry may have"));
        }
        let length = bytes.len().min(usize::try_from(allowance).unwrap_or(usize::MAX));
        let count = self.inner.read(&mut bytes[..length])?;
        self.allowance.set(allowance - count as u64);
        self.at_end.set(count == 0 && length > 0);
        Ok(count)
    }
}

fn add<R: Read>(files: &mut RootFiles, entry: &mut Entry<'_, R>, name: &str, entries: Entries) -> Result<()> {
    let (directory, last) = name.trim_end_matches('/').rsplit_once('/').unwrap_or(("", name));
    if entries == Entries::Layer && last.starts_with(WHITEOUT) {
        return match last.strip_prefix(WHITEOUT) {
            _ if last == OPAQUE => files.white_out_below(directory),
            // Data of AUFS itself.
            Some(hidden) if hidden.starts_with(WHITEOUT) => Ok(()),
            Some("" | "." | "..") | None => bail!("a whiteout without a name"),
            Some(hidden) => files.white_out(&format!("{directory}/{hidden}")),
        };
    }
    let header = entry.header();
    let id = |id: io::Result<u64>| u32::try_from(id?).context("a user or group of more than 32 bits");
    let (uid, gid) = (id(header.uid())?, id(header.gid())?);
    let attributes = Attributes { mode: header.mode()? & 0o7777, uid, gid };
    let device = || Ok::<_, io::Error>((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)));
    let node = match header.entry_type() {
        EntryType::XGlobalHeader => return Ok(()),
        EntryType::Link => return files.place_hard_link(name, &target(entry)?),
        EntryType::Directory => RootNode::Directory,
        // Before POSIX, a slash at the end was the mark of a directory.
        EntryType::Regular if name.ends_with('/') => RootNode::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => files.store(entry.size(), entry)?,
        EntryType::Symlink => RootNode::Link(target(entry)?),
        EntryType::Char => device().map(|(major, minor)| RootNode::CharDevice(major, minor))?,
        EntryType::Block => device().map(|(major, minor)| RootNode::BlockDevice(major, minor))?,
        EntryType::Fifo => RootNode::Fifo,
        other => bail!("an entry of a type that an image can't hold: {:?}", char::from(other.as_byte())),
    };
    note_xattrs(files, entry, name)?;
    files.place(name, node, attributes)
}

/// The target of a link.
fn target<R: Read>(entry: &Entry<'_, R>) -> Result<String> {
    let target = text(&entry.link_name_bytes().context("a link without a target")?)?;
    // The kernel passes over a longer link.
    ensure!(!target.is_empty() && target.len() <= LONGEST_PATH, "a link of {} bytes", target.len());
    Ok(target)
}

/// Counts the files with extended attributes, which an initramfs can't hold.
fn note_xattrs<R: Read>(files: &mut RootFiles, entry: &mut Entry<'_, R>, name: &str) -> Result<()> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    let has = extensions.flatten().any(|extension| extension.key_bytes().starts_with(XATTR.as_bytes()));
    if has {
        files.with_xattrs.get_or_insert_with(|| (name.into(), 0)).1 += 1;
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.into()).map_err(|_| anyhow::anyhow!("{}: not UTF-8", String::from_utf8_lossy(bytes)))
}

/// The tar file itself, decompressed while it is read.
fn decompressed<'f>(mut file: impl BufRead + 'f) -> Result<Box<dyn Read + 'f>> {
    let plain: Box<dyn Read + 'f> = match Packing::of(file.fill_buf()?) {
        None => Box::new(file),
        Some(Packing::Module(Format::Gzip)) => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Some(Packing::Module(Format::Zstd)) => Box::new(zstd::Decoder::with_buffer(file)?),
        Some(Packing::Bzip2) => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        Some(other) => {
            bail!("compressed with {}; decompress it first, for instance into a pipe to --root -", other.name())
        }
    };
    Ok(Box::new(plain.take(LONGEST_TAR)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    #[test]
    fn a_tar_file_that_is_cut_short_or_damaged_is_an_error_at_most() {
        let mut tar = Builder::new(Vec::new());
        let names = ["a/b", ".wh.a", "a/.wh..wh..opq", "link", "hard"];
        let types = [EntryType::Regular, EntryType::Regular, EntryType::Regular, EntryType::Symlink, EntryType::Link];
        for (name, kind) in names.into_iter().zip(types) {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(4);
            header.set_link_name("a").unwrap();
            tar.append_data(&mut header, name, &b"text"[..]).unwrap();
        }
        let whole = tar.into_inner().unwrap();
        for at in (0..whole.len()).step_by(31) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            let cut = &whole[..at];
            for bytes in [cut, &damaged] {
                let mut files = RootFiles::new().unwrap();
                files.begin_layer();
                if read(&mut files, bytes, Entries::Layer).is_ok() {
                    files.unpack().unwrap();
                }
            }
        }
    }
}
