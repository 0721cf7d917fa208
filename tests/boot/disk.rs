//! Lists, module trees, Kata's extensions and roots on disks, with hash trees of veritysetup's and without.

mod corrupted;
mod extensions;
mod files;
mod images;
mod layouts;
mod refused;
mod roots;
mod trees;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::disk::Disk;
use crate::support::scene::directory;
use crate::support::verified::{BLOCK, Verified, erofs};
use crate::support::{Console, Image, Kernel, Vm};

/// The drivers of a disk, of dm-verity and of the file systems here, as far as the kernel has them as modules.
const DRIVERS: &str = "?virtio_pci; ?virtio_mmio; ?virtio_blk; ?virtio_scsi; ?sd_mod; ?nvme; dm_verity; ?crypto-sha256; \
                       ?crypto-sha512; erofs; ext4";
/// A list that needs the module `dummy`.
const LIST: &str = "# on a disk\ndummy numdummies=2\n";

/// An image with the drivers and the module that [`LIST`] needs.
fn image() -> Image {
    Image::new().modules(DRIVERS).modules("dummy")
}

/// A directory with the list, and with a file that makes data of several blocks, which take a hash tree.
fn with_list() -> TempDir {
    directory(&[("list", LIST.as_bytes()), ("more", &[1; 5 * BLOCK as usize])])
}

/// Adds to a directory the module tree of the kernel under test with one module, `dummy`, and the indexes of the whole
/// tree.
fn add_tree(directory: &Path) {
    let kernel = Kernel::under_test();
    let tree = directory.join("modules").join(&kernel.release);
    let (_, path) = kernel.module("dummy");
    fs::create_dir_all(tree.join(Path::new(&path).parent().expect("a directory"))).expect("it can be made");
    fs::copy(kernel.modules().join(&path), tree.join(&path)).expect("the module can be copied");
    for entry in fs::read_dir(kernel.modules()).expect("the tree can be read") {
        let entry = entry.expect("an entry");
        if entry.file_name().to_string_lossy().starts_with("modules.") {
            fs::copy(entry.path(), tree.join(entry.file_name())).expect("an index can be copied");
        }
    }
}

/// Boots with disks, each `SERIAL=FILE` or `FILE`.
fn with_disks(image: Image, disks: &[String], words: &str) -> Console {
    let options = disks.iter().flat_map(|disk| ["--disk", disk]);
    Vm::telling(image).options(options).append(words).run()
}

/// The option for a disk with a serial number.
fn named(serial: &str, disk: &Disk) -> String {
    format!("{serial}={}", disk.path())
}
