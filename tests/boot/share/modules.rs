//! Module trees on shares, and in other directories of an image than /lib/modules.

use std::os::unix::fs::symlink;

use guest_init::failure::Code;
use tempfile::TempDir;

use super::{asked_for, drivers_only, with_share};
use crate::support::scene::{BARE, boot, directory};
use crate::support::{Image, Kernel};

const MODULE_DIR: &str = "guest_init.module_dir=virtiofs:kataShared:/";

#[test]
fn a_share_with_modules_stays_mounted_if_the_image_has_modprobe() {
    let modules = Kernel::under_test().directory.join("lib/modules");
    let words = "guest_init.modules=\"dummy numdummies=2; bonding\" -- --exec /sbin/modprobe -v ext4 ; \
                 --mount virtiofs kataShared /mnt --cat /proc/self/mountinfo";
    let console = with_share(drivers_only(), &modules, &format!("{MODULE_DIR} {words}"))
        .agent_ran()
        .has("  dummy1  ")
        .has("agent: exec /sbin/modprobe: exit 0")
        .has("agent: mount virtiofs: ok")
        .has("  /lib/modules  virtiofs  kataShared  ro,nosuid,nodev,noexec,relatime")
        .has("  /mnt          virtiofs  kataShared  rw,relatime")
        .has("Mounts: 7")
        .has("Open descriptors: 3");
    assert_eq!(asked_for(&console), ["dummy", "bonding", "ext4"]);
}

#[test]
fn a_share_with_modules_is_unmounted_if_the_image_has_no_modprobe() {
    let kernel = Kernel::under_test();
    let share = TempDir::new().expect("a temporary directory");
    symlink(kernel.directory.join("lib/modules"), share.path().join("modules")).expect("a link can be made");
    // The share has nothing but the link, which leads out of it.
    let words = "guest_init.modules=dummy guest_init.module_dir=virtiofs:kataShared:/modules";
    let line = "plan virtiofs:kataShared:/modules: EXDEV: its path, or a symbolic link in it, leads out of the share or the disk";
    with_share(drivers_only(), share.path(), words).failed(Code::NoModuleTree, line);

    let words = format!("guest_init.modules=dummy {MODULE_DIR}lib/modules");
    let image = drivers_only().layout(BARE);
    let console = with_share(image, &kernel.directory, &words).agent_ran().has("Mounts: 5").has("Open descriptors: 3");
    assert_eq!(asked_for(&console), ["dummy"]);
}

#[test]
fn modules_come_from_another_directory_of_the_image() {
    let release = &Kernel::under_test().release;
    let (file, _) = Kernel::under_test().module("dummy");
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
    let image = Image::new().add(&file, &format!("/opt/{release}/{name}")).file(
        &format!("/opt/{release}/modules.dep"),
        format!("{name}:\n"),
        0o644,
    );
    let console = boot(image, "guest_init.module_dir=/opt guest_init.modules=dummy").agent_ran();
    assert_eq!(console.modules(), ["dummy"]);
}

#[test]
fn a_share_without_modules_for_this_kernel_is_a_failure() {
    let share = directory(&[("5.4.0-other/modules.dep", b"dummy.ko:\n")]);
    let release = &Kernel::under_test().release;
    let line =
        format!("plan virtiofs:kataShared:/{release}: ENOENT: the directory can't be opened; there is 5.4.0-other");
    let words = format!("{MODULE_DIR} guest_init.modules=dummy");
    with_share(drivers_only(), share.path(), &words).failed(Code::NoModuleTree, &line);
}

/// A share with a module tree in lib/modules, whose module is an absolute link to this path.
fn share_with_link(target: &str) -> TempDir {
    let kernel = Kernel::under_test();
    let module = kernel.plain("dummy");
    let (name, tree) = ("dummy.ko", format!("lib/modules/{}", kernel.release));
    let share = directory(&[("store/dummy.ko", &module[..])]);
    let path = share.path().join(&tree);
    std::fs::create_dir_all(&path).expect("a directory can be made");
    std::fs::write(path.join("modules.dep"), format!("{name}:\n")).expect("an index can be written");
    symlink(format!("{target}/{name}"), path.join(name)).expect("a link can be made");
    share
}

#[test]
fn an_absolute_link_on_a_share_begins_at_the_share() {
    let share = share_with_link("/store");
    let words = format!("guest_init.modules=dummy {MODULE_DIR}lib/modules");
    assert_eq!(asked_for(&with_share(drivers_only(), share.path(), &words).agent_ran()), ["dummy"]);
}

#[test]
fn a_file_of_the_configuration_that_cannot_be_read_is_a_failure() {
    let share = share_with_link("/store");
    let tree = format!("lib/modules/{}", Kernel::under_test().release);
    symlink("/elsewhere", share.path().join(&tree).join("modules.softdep")).expect("a link can be made");
    let words = format!("guest_init.modules=dummy {MODULE_DIR}lib/modules");
    let line = "plan modules.softdep: EXDEV: it can't be read: its path, or a symbolic link in it, leads out of the share or the disk";
    with_share(drivers_only(), share.path(), &words).failed(Code::ConfigUnreadable, line);
}

#[test]
fn a_link_to_a_file_that_is_not_on_the_share_is_a_failure_that_says_so() {
    let share = share_with_link("/elsewhere");
    let words = format!("guest_init.modules=dummy {MODULE_DIR}lib/modules");
    let line = "load dummy.ko: EXDEV: its path, or a symbolic link in it, leads out of the share or the disk";
    with_share(drivers_only(), share.path(), &words).failed(Code::Unreadable, line);
}
