//! Kata's extensions.

use guest_init::failure::Code;
use tempfile::TempDir;

use super::{DRIVERS, LIST, Verified, add_tree, directory, erofs, image, named, with_disks};
use crate::support::Image;

/// The files of an extension: what Kata's agent reads, a list, and a module tree.
fn files() -> TempDir {
    let components = b"# components\n";
    let files = directory(&[("etc/kata-extensions/components.toml", components), ("list", LIST.as_bytes())]);
    add_tree(files.path());
    files
}

const KEY: &str = "kata.extension.gpu.verity_params";
const AGENT: &str = "-- --cat /run/kata-extensions/gpu/list";

#[test]
fn a_verified_extension_is_mounted_and_modules_are_loaded_from_it() {
    let verified = Verified::erofs(files().path());
    let words = format!(
        "{KEY}={} guest_init.modules_file=/run/kata-extensions/gpu/list \
         guest_init.module_dir=/run/kata-extensions/gpu/modules {AGENT}",
        verified.fields()
    );
    let console = with_disks(Image::new().modules(DRIVERS), &[named("extension-gpu", &verified.disk())], &words)
        .agent_ran()
        .has("guest-init: kata.extension.gpu: mounted at /run/kata-extensions/gpu")
        .has("/run/kata-extensions/gpu")
        .has("agent: /run/kata-extensions/gpu/list: # on a disk")
        .has("  dummy1  ");
    let mount = console.report().find(|line| line.contains("/run/kata-extensions/gpu  erofs"));
    assert!(mount.is_some_and(|line| line.contains("/dev/dm-0") && line.contains("ro,nosuid,nodev")), "{console}");
}

#[test]
fn a_bare_key_and_an_empty_value_mount_an_extension_without_a_hash_tree() {
    for word in [KEY.to_string(), format!("{KEY}=")] {
        with_disks(image(), &[named("extension-gpu", &erofs(files().path()))], &format!("{word} {AGENT}"))
            .agent_ran()
            .has("agent: /run/kata-extensions/gpu/list: # on a disk");
    }
}

#[test]
fn parameters_without_a_hash_partition_are_refused_and_the_reverse() {
    let verified = Verified::erofs(files().path());
    let line = "mount kata.extension.gpu: ENOENT: its disk has no partition 2, where the hash tree would be";
    with_disks(image(), &[named("extension-gpu", &verified.data)], &format!("{KEY}={}", verified.fields()))
        .failed(Code::HashTreeMissing, line);
    let line = "mount kata.extension.gpu: EKEYREJECTED: partition 2 of its disk has a hash tree, but the word has no verity \
                parameters";
    with_disks(image(), &[named("extension-gpu", &verified.disk())], KEY).failed(Code::ParametersMissing, line);
}

#[test]
fn a_serial_number_is_compared_as_the_device_cuts_it() {
    let words = "kata.extension.nvidia-gpu-570.verity_params -- --cat /run/kata-extensions/nvidia-gpu-570/list";
    with_disks(image(), &[named("extension-nvidia-gpu", &erofs(files().path()))], words)
        .agent_ran()
        .has("agent: /run/kata-extensions/nvidia-gpu-570/list: # on a disk");
}
