//! Roots by the names of partitions and file systems, and the failures if none or several fit.

use guest_init::failure::Code;

use super::{DRIVERS, MOUNT_POINTS, SWITCH, tree};
use crate::support::disk::Disk;
use crate::support::{Console, Image, Vm};

const UUID: &str = "0a1b2c3d-4e5f-4061-8293-a4b5c6d7e8f9";

/// A disk with a file system that has an agent, this label, and [`UUID`].
fn root(label: &str) -> Disk {
    Disk::ext4(tree(MOUNT_POINTS).path(), &["-L", label, "-U", UUID])
}

/// Boots with these disks, and switches to the root. `wait` is a word for how long to wait for it.
fn boot(disks: &[&Disk], root: &str, wait: &str) -> Console {
    let disks = disks.iter().flat_map(|disk| ["--disk", disk.path()]);
    let words = format!("{SWITCH} root={root} {wait} -- --cat /etc/name");
    Vm::new(&Image::new().modules(DRIVERS).build()).options(disks).append(&words).run()
}

#[test]
fn partitions_of_a_gpt_have_names() {
    let (blank, system) = (Disk::blank(1 << 20), root("system"));
    let guid = "8da63339-0007-60c0-c436-083ac8230908";
    let disk = Disk::partitioned("gpt", "", &[("name=boot", &blank), (&format!("name=system,uuid={guid}"), &system)]);
    for name in
        [format!("PARTUUID={}", guid.to_uppercase()), "PARTLABEL=system".into(), "/dev/disk/by-label/system".into()]
    {
        boot(&[&blank, &disk], &name, "rootwait").agent_ran().has("  /      ext4      /dev/vdb2  ro,relatime");
    }
    // The whole disk has no file system.
    let line = "start root=/dev/vdb: ENODEV: guest-init does not recognise its file system: name it with rootfstype=; \
                /dev/vdb has partitions: vdb1, vdb2";
    boot(&[&blank, &disk], "/dev/vdb", "rootwait").failed(Code::RootUnknownType, line);
}

#[test]
fn a_partition_of_an_mbr_has_a_uuid() {
    let (blank, system) = (Disk::blank(1 << 20), root("system"));
    let disk = Disk::partitioned("dos", "label-id: 0xdeadbeef", &[("", &blank), ("", &system)]);
    boot(&[&disk], "PARTUUID=deadbeef-02", "rootwait").agent_ran().has("  /      ext4      /dev/vda2  ro,relatime");
}

#[test]
fn file_systems_have_names_and_two_that_fit_are_a_failure() {
    let (one, other) = (root("one"), root("other"));
    boot(&[&one, &other], "LABEL=other", "rootwait").agent_ran().has("  /      ext4      /dev/vdb  ro,relatime");
    let line = format!("start root=UUID={UUID}: ENOTUNIQ: several disks fit: vda, vdb; name one by root=/dev/NAME");
    boot(&[&one, &other], &format!("UUID={UUID}"), "rootwait").failed(Code::RootAmbiguous, &line);
    let line = "start root=LABEL=none: ENODEV: no such disk within 3 s; disks here: vda, vdb";
    boot(&[&one, &other], "LABEL=none", "rootwait=3").failed(Code::RootMissing, line);
}
