//! Kata's extensions.

use guest_init::failure::Code;
use tempfile::TempDir;

use super::{DRIVERS, LIST, Verified, add_tree, erofs, image, named, with_disks, with_list};
use crate::root::{MOUNT_POINTS, tree};
use crate::support::Image;
use crate::support::scene::{boot, directory};

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

#[test]
fn an_extension_moves_along_to_a_root_and_the_list_is_on_a_third_disk() {
    let verified = Verified::erofs(files().path());
    let extension = verified.disk();
    let (lists, root) = (erofs(with_list().path()), erofs(tree(MOUNT_POINTS).path()));
    let words = format!(
        "guest_init.root=switch root=/dev/vdc {KEY}={} guest_init.modules_file=disk:lists:/list \
         guest_init.module_dir=/run/kata-extensions/gpu/modules {AGENT} --cat /etc/name",
        verified.fields()
    );
    let disks = [named("extension-gpu", &extension), named("lists", &lists), root.path().into()];
    let console = with_disks(Image::new().modules(DRIVERS), &disks, &words)
        .agent_ran()
        .has("agent: /etc/name: the root")
        .has("agent: /run/kata-extensions/gpu/list: # on a disk")
        .has("  dummy1  ")
        .has_not("  /run/kata-extensions/gpu/modules");
    let mount = console.report().find(|line| line.contains("/run/kata-extensions/gpu  erofs"));
    assert!(mount.is_some_and(|line| line.contains("ro,nosuid,nodev")), "{console}");
}

#[test]
fn words_that_contradict_each_other_or_are_malformed_are_all_reported() {
    let twice = "root_hash=00,root_hash=00";
    boot(
        Image::new(),
        &format!("{KEY} {KEY}= kata.extension.g/pu.verity_params kata.extension.x.verity_params={twice}"),
    )
    .has(&format!("guest-init: read {KEY}=: EINVAL: the word may stand only once for each extension"))
    .has("guest-init: read kata.extension.g/pu.verity_params: EINVAL: an extension's name has letters, digits")
    .has(&format!("guest-init: read kata.extension.x.verity_params={twice}: EINVAL: a field of the verity parameters"))
    .failed(Code::RepeatedKey, &format!("read {KEY}=, "));
}
