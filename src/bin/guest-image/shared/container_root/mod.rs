//! The root of a container as `--root`: the tar file that `docker export` writes, or an OCI image layout, as a folder
//! or as a tar file. It is unpacked into a temporary folder, without privileges.

mod files;
mod oci;
mod tar_file;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use guest_init::machine::Machine;

pub use files::{Attributes, RootNode, UnpackedRoot};

use super::folder::Folder;
use crate::cli::stderr::warn;
use files::RootFiles;
use tar_file::Entries;

/// The name of standard input in place of a path.
const STDIN: &str = "-";
/// The file that older versions of `docker save` write in place of a layout.
const DOCKER_MANIFEST: &str = "manifest.json";

/// Unpacks the root at a path, for a machine. `None`: the path is a folder that is the root itself, or nothing is
/// there.
pub fn unpack(path: &Path, machine: &Machine) -> Result<Option<UnpackedRoot>> {
    if path == Path::new(STDIN) {
        return unpack_tar(BufReader::new(io::stdin().lock()), machine).context("standard input").map(Some);
    }
    let name = || path.display().to_string();
    if path.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
        let file = BufReader::new(File::open(path).with_context(name)?);
        return unpack_tar(file, machine).with_context(name).map(Some);
    }
    match is_layout(&Folder::of_guest(path)) {
        true => unpack_layout(&Folder::of_guest(path), machine).with_context(name).map(Some),
        false => Ok(None),
    }
}

fn unpack_tar(file: impl io::BufRead, machine: &Machine) -> Result<UnpackedRoot> {
    let mut files = RootFiles::new()?;
    tar_file::read(&mut files, file, Entries::Whole)?;
    ensure!(!files.is_empty(), "a tar file without files");
    let xattrs = files.with_xattrs.take();
    let root = files.unpack()?;
    let folder = Folder::of_guest(&root.path());
    match () {
        () if is_layout(&folder) => return unpack_layout(&folder, machine),
        () if folder.file(DOCKER_MANIFEST).is_ok() && !folder.below("etc").exists() => {
            bail!("an image of `docker save` without an OCI layout; use `docker export`, or `skopeo copy`")
        }
        () => {}
    }
    warn_of_xattrs(xattrs);
    Ok(root)
}

fn unpack_layout(layout: &Folder, machine: &Machine) -> Result<UnpackedRoot> {
    let mut files = RootFiles::new()?;
    let command = oci::read(&mut files, layout, machine)?;
    ensure!(!files.is_empty(), "an image without files");
    warn_of_xattrs(files.with_xattrs.take());
    let mut root = files.unpack()?;
    root.command = command;
    Ok(root)
}

/// Whether a folder is an OCI image layout.
fn is_layout(folder: &Folder) -> bool {
    folder.file(oci::MARK).is_ok() && folder.file("index.json").is_ok()
}

/// The extended attributes of a file are lost, because the archive of an initramfs has none.
fn warn_of_xattrs(found: Option<(String, usize)>) {
    let Some((path, count)) = found else { return };
    let others = if count > 1 { format!(" and of {} others", count - 1) } else { String::new() };
    warn(format_args!(
        "the extended attributes of {path}{others}, such as capabilities, are lost: an initramfs can't hold any"
    ));
}
