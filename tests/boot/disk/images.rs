//! Disks that `guest-image extension` makes.

use std::process::Command;

use tempfile::TempDir;

use super::{DRIVERS, with_disks, with_list};
use crate::support::{Console, Image, Kernel};

/// Boots with a disk that has the list and all that its modules need. `target` says how the guest names the disk, which
/// has this serial number, and `words` follow the word that guest-image prints.
fn boots(target: [&str; 2], serial: &str, words: &str) -> Console {
    let (folder, list) = (TempDir::new().expect("a temporary directory"), with_list());
    let disk = folder.path().join("disk");
    let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
    command.arg("extension").args(target).args(["--modules", "dummy"]).arg("--tree").arg(list.path());
    command
        .arg("--module-dir")
        .arg(Kernel::under_test().modules().parent().expect("a folder"))
        .arg("--output")
        .arg(&disk);
    let output = command.output().expect("guest-image");
    assert!(output.status.success(), "{output:?}");
    let word = String::from_utf8(output.stdout).expect("text");
    let words = format!("{} {words}", word.trim_end());
    with_disks(Image::new().modules(DRIVERS), &[format!("{serial}={}", disk.display())], &words)
}

#[test]
fn modules_are_loaded_from_a_disk_of_guest_image() {
    let words = "guest_init.modules_file=disk:modules:/list guest_init.module_dir=disk:modules:/lib/modules";
    boots(["--serial", "modules"], "modules", words)
        .agent_ran()
        .has("guest-init: disk:modules: verified by 1 ")
        .has("  dummy1  ");
}

#[test]
fn modules_are_loaded_from_an_extension_of_guest_image() {
    let gpu = "/run/kata-extensions/gpu";
    let words = format!("guest_init.modules_file={gpu}/list guest_init.module_dir={gpu}/lib/modules");
    boots(["--name", "gpu"], "extension-gpu", &words)
        .agent_ran()
        .has("guest-init: kata.extension.gpu: verified by 1 ")
        .has("  dummy1  ");
}
