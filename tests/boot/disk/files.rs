//! Lists and module trees on disks.

use super::{DRIVERS, Verified, add_tree, erofs, image, named, with_disks, with_list};
use crate::support::Image;

const FROM_LIST: &str = "guest_init.modules_file=disk:lists:/list";

#[test]
fn a_list_on_an_erofs_disk_is_read_and_the_disk_is_free_behind_it() {
    let console = with_disks(image(), &[named("lists", &erofs(with_list().path()))], FROM_LIST)
        .agent_ran()
        .has("  dummy1  ")
        .has("Mounts: 5")
        .has("Open descriptors: 3");
    assert!(console.modules().contains(&"dummy"));
}

#[test]
fn list_and_tree_come_from_one_disk_verified() {
    let files = with_list();
    add_tree(files.path());
    let verified = Verified::erofs(files.path());
    let words =
        format!("{FROM_LIST} guest_init.module_dir=disk:lists:/modules guest_init.verity=lists,{}", verified.fields());
    with_disks(Image::new().modules(DRIVERS), &[named("lists", &verified.disk())], &words)
        .agent_ran()
        .has("guest-init: disk:lists: verified by 1 ")
        .has("  dummy1  ");
}
