//! Lists and module trees that the host hands over on virtio-fs shares, by the real virtiofsd.

mod daemon;
mod lists;
mod modules;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Console, Image, Vm};

/// An image with the drivers that a share needs, if the kernel has them as modules, and some modules to ask for.
fn image() -> Image {
    Image::new().modules("virtiofs; virtio_pci; virtio_mmio; dummy; loop; ifb; bonding")
}

/// An image with the drivers that a share needs and no other module.
fn drivers_only() -> Image {
    Image::new().modules("virtiofs; virtio_pci")
}

/// A directory of the host's with these files.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, content).expect("the file can be written");
    }
    directory
}

/// Boots with a directory of the host's as the share `kataShared`.
fn with_share(image: Image, directory: &Path, words: &str) -> Console {
    Vm::new(&image.build()).options(["--share", &format!("kataShared={}", directory.display())]).append(words).run()
}

/// The loaded modules that a test asked for, without the drivers of the share.
fn asked_for(console: &Console) -> Vec<&str> {
    let known = ["dummy", "loop", "ifb", "bonding", "ext4"];
    console.modules().into_iter().filter(|module| known.contains(module)).collect()
}
