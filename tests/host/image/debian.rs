//! guest-image build --append behind Debian's own initramfs: both inits boot from one image, and rdinit= chooses.

use std::process::Command;

use crate::support::{Image, Kernel, Vm, root};

const LIST: &str = "e1000e; virtio_blk; ext4";

/// Debian's initramfs for a kernel with guest-init's behind it.
fn both(kernel: &Kernel, directory: &std::path::Path, compress: &str) -> crate::support::image::Built {
    let initramfs = directory.join("debian");
    let mut command = Command::new(root().join("scripts/initramfs"));
    command.arg("--kernel").arg(&kernel.directory).args(["--compress", compress]).arg(&initramfs);
    assert!(command.status().unwrap().success());
    Image::of(kernel).modules(LIST).options(["--append", initramfs.to_str().unwrap()]).build()
}

#[test]
fn guest_init_starts_from_debians_initramfs() {
    let directory = tempfile::TempDir::new().unwrap();
    for (version, compress) in [("6.1", "gzip"), ("7.2", "zstd")] {
        let kernel = Kernel::version(version);
        let image = both(&kernel, directory.path(), compress);
        let words = format!("rdinit=/sbin/guest-init guest_init.modules=\"{LIST}\"");
        let console = Vm::of(&kernel, &image).options(["--nic", "e1000e"]).append(&words).run().agent_ran();
        let modules = console.modules();
        assert!(["e1000e", "ext4"].iter().all(|name| modules.contains(name)), "{modules:?}");
    }
}

#[test]
fn debians_own_init_still_starts_from_the_image() {
    let kernel = Kernel::version("6.1");
    let directory = tempfile::TempDir::new().unwrap();
    let image = both(&kernel, directory.path(), "xz");
    // Debian's udev loads a driver of guest-init's image, because the indexes have the modules of both images.
    Vm::of(&kernel, &image)
        .options(["--nic", "e1000e"])
        .run()
        .has("Begin: Loading essential drivers")
        .has("Intel(R) PRO/1000 Network Connection")
        .has("No root device specified.");
}
