//! Lists and module trees that the host hands over on virtio-fs shares, by the real virtiofsd.

mod daemon;
mod lists;
mod modules;

use std::path::Path;

use crate::support::{Console, Image, Vm};

/// An image with the drivers that a share needs, if the kernel has them as modules, and some modules to ask for.
fn image() -> Image {
    Image::new().modules("virtiofs; virtio_pci; virtio_mmio; dummy; loop; ifb; bonding")
}

/// An image with the drivers that a share needs and no other module.
fn drivers_only() -> Image {
    Image::new().modules("virtiofs; virtio_pci")
}

/// Boots with a directory of the host's as the share `kataShared`.
fn with_share(image: Image, directory: &Path, words: &str) -> Console {
    let share = format!("kataShared={}", directory.display());
    Vm::telling(image).options(["--share", &share]).append(words).run()
}

/// The loaded modules that a test asked for, without the drivers of the share.
fn asked_for(console: &Console) -> Vec<&str> {
    let known = ["dummy", "loop", "ifb", "bonding", "ext4"];
    console.modules().into_iter().filter(|module| known.contains(module)).collect()
}
