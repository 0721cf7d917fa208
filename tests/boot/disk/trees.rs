//! Module trees on disks, and what is left of them for the agent.

use tempfile::TempDir;

use super::{DRIVERS, Verified, add_tree, named, with_disks};
use crate::support::scene::BARE;
use crate::support::{Console, Image};

/// Boots with a verified disk that has the module tree.
fn boots(image: Image, words: &str) -> Console {
    let files = TempDir::new().expect("a temporary directory");
    add_tree(files.path());
    let verified = Verified::erofs(files.path());
    let words =
        format!("guest_init.module_dir=disk:modules:/modules guest_init.verity=modules,{} {words}", verified.fields());
    with_disks(image.modules(DRIVERS), &[named("modules", &verified.disk())], &words).agent_ran()
}

#[test]
fn a_tree_stays_mounted_if_the_image_has_modprobe() {
    boots(Image::new(), "-- --exec /sbin/modprobe -v dummy ;")
        .has("agent: /sbin/modprobe: insmod /lib/modules/")
        .has("agent: exec /sbin/modprobe: exit 0")
        .has("  dummy0  ")
        .has("  /lib/modules  erofs     /dev/dm-0  ro,nosuid,nodev,noexec,relatime")
        .has("Open descriptors: 3");
}

#[test]
fn mount_and_device_are_gone_if_the_image_has_no_modprobe() {
    boots(Image::new().layout(BARE), "guest_init.modules=dummy -- --cat /sys/block/dm-0/dev --cat /dev/dm-0")
        .has("  dummy0  ")
        .has("agent: cat /sys/block/dm-0/dev: ENOENT")
        .has("agent: cat /dev/dm-0: ENOENT")
        .has("Mounts: 5")
        .has("Open descriptors: 3");
}
