//! Beside Debian's own initramfs: one image, and rdinit= says which of the two inits starts.

use std::process::Command;

use super::support::{Image, Kernel, Vm, root};

const LIST: &str = "e1000e; virtio_blk; ext4";

/// Debian's initramfs for a kernel, with guest-init beside it.
fn both(kernel: &Kernel, directory: &std::path::Path, compress: &str) -> super::support::image::Built {
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
fn debians_own_init_still_starts_from_it() {
    let kernel = Kernel::version("6.1");
    let directory = tempfile::TempDir::new().unwrap();
    let image = both(&kernel, directory.path(), "xz");
    // Its udev loads the driver that came with guest-init, for the indexes know the modules of both.
    Vm::of(&kernel, &image)
        .options(["--nic", "e1000e"])
        .run()
        .has("Begin: Loading essential drivers")
        .has("Intel(R) PRO/1000 Network Connection")
        .has("No root device specified.");
}
