//! Disks that guest-init refuses: each failure with its code and its reason.

use guest_init::failure::Code;

use super::{Verified, erofs, image, named, with_disks, with_list};
use crate::support::disk::{Disk, blkdebug};
use crate::support::scene::boot;
use crate::support::{Image, Machine, Vm};

const FROM_LIST: &str = "guest_init.modules_file=disk:lists:/list";

/// A word that names no more than the disk of the list, verified with these parameters.
fn verified(fields: &str) -> String {
    format!("{FROM_LIST} guest_init.verity=lists,{fields}")
}

#[test]
fn a_disk_that_is_missing_is_named_with_those_that_exist() {
    let line =
        "mount disk:lists: ENODEV: no such disk within 10 s; disks here: vda; a disk is named by its serial number";
    with_disks(image(), &[named("list", &erofs(with_list().path()))], FROM_LIST).failed(Code::DiskMissing, line);
}

#[test]
fn two_disks_with_one_serial_number_are_both_named() {
    let disks = [erofs(with_list().path()), erofs(with_list().path())];
    let line = "mount disk:lists: ENOTUNIQ: several disks fit: vda, vdb; give each a serial number of its own";
    with_disks(image(), &disks.each_ref().map(|disk| named("lists", disk)), FROM_LIST)
        .failed(Code::DiskAmbiguous, line);
}

#[test]
fn a_disk_whose_reads_fail_is_no_disk_that_differs_from_its_hash() {
    let verified_disk = Verified::erofs(with_list().path());
    let disk = verified_disk.disk();
    let errors = blkdebug(disk.find(b"\xe2\xe1\xf5\xe0"));
    let drive = format!(
        "driver=blkdebug,config={},image.driver=file,image.filename={},if=none,id=d",
        errors.path(),
        disk.path()
    );
    let device = format!("virtio-blk-{},drive=d,serial=lists", Machine::under_test().bus);
    let line = "mount disk:lists: EIO: /dev/dm-0 can't be read: Input/output error";
    Vm::new(&image().build())
        .devices(["-drive", &drive, "-device", &device])
        .append(&verified(&verified_disk.fields()))
        .run()
        .failed(Code::DiskFailed, line);
}

#[test]
fn a_disk_without_a_file_system_is_refused() {
    let line = "mount disk:lists: ENODEV: guest-init does not recognise its file system";
    with_disks(image(), &[named("lists", &Disk::blank(1 << 20))], FROM_LIST).failed(Code::DiskUnknownType, line);
    let line = "mount disk:lists: ENODEV: neither the kernel nor the module tree has erofs";
    let image = Image::new().modules("?virtio_pci; ?virtio_mmio; ?virtio_blk");
    with_disks(image, &[named("lists", &erofs(with_list().path()))], FROM_LIST).failed(Code::DiskUnknownType, line);
}

#[test]
fn parameters_without_a_hash_tree_are_refused() {
    let verified_disk = Verified::erofs(with_list().path());
    let line = "mount disk:lists: ENOENT: neither has it a partition 2, nor /dev/vda, with ";
    with_disks(image(), &[named("lists", &verified_disk.data)], &verified(&verified_disk.fields()))
        .failed(Code::HashTreeMissing, line);
}

#[test]
fn more_data_than_the_disk_has_are_refused() {
    let verified_disk = Verified::erofs(with_list().path());
    let more = verified_disk.fields().replace(&data_blocks(&verified_disk.fields()), "data_blocks=8193");
    let line =
        "mount disk:lists: ENOSPC: data_blocks= and data_block_size= mean 33558528 bytes, and /dev/vda1 has 33554432";
    with_disks(image(), &[named("lists", &verified_disk.disk())], &verified(&more)).failed(Code::DiskFailed, line);
}

/// The field of the number of blocks.
fn data_blocks(fields: &str) -> String {
    fields.split(',').find(|field| field.starts_with("data_blocks=")).expect("the field is there").into()
}

#[test]
fn names_that_a_device_would_cut_to_the_same_are_refused() {
    let line = "read extension-nvidia-gpu-570, extension-nvidia-gpu-580: ENOTUNIQ: both names are the same in their \
                first 20 bytes";
    let words = "kata.extension.nvidia-gpu-570.verity_params kata.extension.nvidia-gpu-580.verity_params";
    boot(Image::new(), words).failed(Code::DisksCollide, line);
}

#[test]
fn an_image_without_dm_verity_is_refused() {
    let verified_disk = Verified::erofs(with_list().path());
    let line = "mount disk:lists: ENODEV: neither the kernel nor the module tree of the image has dm_verity";
    let image = Image::new().modules("?virtio_pci; ?virtio_mmio; ?virtio_blk; erofs; dm_mod");
    with_disks(image, &[named("lists", &verified_disk.disk())], &verified(&verified_disk.fields()))
        .failed(Code::NoVerity, line);
}

#[test]
fn a_kernel_that_wants_signed_root_hashes_refuses_the_table() {
    let verified_disk = Verified::erofs(with_list().path());
    let words = format!("dm_verity.require_signatures=1 {}", verified(&verified_disk.fields()));
    let line = "mount disk:lists: ENOKEY: /dev/vda1: device-mapper: ";
    with_disks(image(), &[named("lists", &verified_disk.disk())], &words).failed(Code::VerityRefused, line);
}

#[test]
fn parameters_are_checked_before_any_disk_is_looked_for() {
    let line = "read guest_init.verity=lists,root_hash=00: EINVAL: the fields are root_hash=,salt=,data_blocks=,";
    boot(Image::new(), "guest_init.verity=lists,root_hash=00").failed(Code::BadValue, line);
}
