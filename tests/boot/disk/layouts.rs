//! The places that a hash tree may have.

use super::{DRIVERS, Verified, add_tree, erofs, image, named, with_disks, with_list};
use crate::support::Image;
use crate::support::disk::Disk;

/// Boots with a verified disk whose list is read.
fn boots(disk: &Disk, fields: &str) {
    let words = format!("guest_init.modules_file=disk:lists:/list guest_init.verity=lists,{fields}");
    with_disks(image(), &[named("lists", disk)], &words)
        .agent_ran()
        .has("guest-init: disk:lists: verified by 1 ")
        .has("  dummy1  ");
}

#[test]
fn list_and_tree_come_from_one_disk_verified() {
    let files = with_list();
    add_tree(files.path());
    let verified = Verified::erofs(files.path());
    let words = format!(
        "guest_init.modules_file=disk:lists:/list guest_init.module_dir=disk:lists:/modules guest_init.verity=lists,{}",
        verified.fields()
    );
    with_disks(Image::new().modules(DRIVERS), &[named("lists", &verified.disk())], &words)
        .agent_ran()
        .has("guest-init: disk:lists: verified by 1 ")
        .has("  dummy1  ");
}

#[test]
fn a_tree_is_found_on_partition_2_of_an_mbr() {
    let verified = Verified::erofs(with_list().path());
    let disk = Disk::partitioned("dos", "", &[("", &verified.data), ("", &verified.tree)]);
    boots(&disk, &verified.fields());
}

#[test]
fn a_tree_is_found_behind_a_superblock() {
    let verified = Verified::of(erofs(with_list().path()), &[]);
    boots(&verified.disk(), &verified.fields());
}

#[test]
fn a_tree_is_found_behind_the_data_of_a_disk_and_of_a_partition() {
    let (disk, fields) = Verified::in_one(&erofs(with_list().path()));
    boots(&disk, &fields);
    boots(&Disk::partitioned("gpt", "", &[("", &disk)]), &fields);
}

#[test]
fn parameters_may_name_the_partition() {
    let list = "guest_init.modules_file=disk";
    let verified = Verified::erofs(with_list().path());
    let words = format!("{list}:vda:/list guest_init.verity=vda1,{}", verified.fields());
    with_disks(image(), &[named("lists", &verified.disk())], &words)
        .agent_ran()
        .has("guest-init: disk:vda: verified by 1 ");
    let (second, fields) = Verified::in_one(&erofs(with_list().path()));
    let disk = Disk::partitioned("gpt", "", &[("", &verified.data), ("", &second)]);
    let words = format!("{list}:vda2:/list guest_init.verity=vda2,{fields}");
    with_disks(image(), &[named("lists", &disk)], &words).agent_ran().has("guest-init: disk:vda2: verified by 1 ");
}
