//! Several module trees: the image's /lib/modules with the drivers, another directory of the image, and an add-on on a
//! share, on a disk or in an extension. depmod made each of them without the others.

use std::fs;
use std::path::Path;

use guest_init::failure::Code;
use tempfile::TempDir;

use crate::support::scene::{boot, busybox, small};
use crate::support::small_tree::depmod;
use crate::support::verified::{Verified, erofs};
use crate::support::{Console, Image, Kernel, Vm};

/// The modules of the image's /lib/modules: what it takes to reach a share or a disk, what vxlan of the add-on needs,
/// and modules that the configuration of the add-on names.
const BASE: &str = "?virtio_pci; ?virtio_mmio; ?virtio_blk; virtiofs; dm_verity; ?crypto-sha256; erofs; \
                    udp_tunnel; ip6_udp_tunnel; dummy; loop; test_firmware; nls_ascii";
/// The modules of the image's /opt/lib/modules. macvtap needs tap of the add-on.
const OPT: [&str; 2] = ["macvlan", "macvtap"];
/// The modules of the add-on. It has dummy too.
const ADD_ON: [&str; 6] = ["vxlan", "tap", "ifb", "dummy", "veth", "overlay"];
/// The list of all boots.
const LIST: &str = "guest_init.modules=\"dummy; vxlan; macvtap; block-major-7-0; test_firmware\"";

/// Asks the kernel for a file of firmware. /dev/test_firmware has its content then.
const ASK_FOR_FIRMWARE: &str =
    "#!/bin/busybox sh\necho -n name.bin >/sys/devices/virtual/misc/test_firmware/trigger_request\n";

/// A directory with `lib/modules` of these modules, as depmod makes it without any other.
fn root(modules: &[&str]) -> TempDir {
    let root = TempDir::new().expect("a temporary directory");
    let kernel = Kernel::under_test();
    let tree = root.path().join("lib/modules").join(&kernel.release);
    fs::create_dir_all(&tree).expect("it can be made");
    for name in modules {
        let (file, _) = kernel.module(name);
        fs::copy(&file, tree.join(file.file_name().expect("a name"))).expect("the module can be copied");
    }
    for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        fs::write(tree.join(name), "").expect("the file can be written");
    }
    depmod(root.path(), &kernel.release);
    root
}

/// The add-on, with configuration and firmware.
fn add_on() -> TempDir {
    let root = root(&ADD_ON);
    let configuration =
        "softdep dummy pre: ifb\noptions dummy numdummies=2\nblacklist loop\noptions nls_ascii late=1\n";
    for (path, text) in [("modprobe.d/add-on.conf", configuration), ("firmware/name.bin", "of the add-on\n")] {
        let path = root.path().join("lib").join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, text).expect("the file can be written");
    }
    root
}

/// The image, whose configuration has options for a module of the add-on.
fn image() -> Image {
    let root = root(&OPT);
    let busybox = busybox();
    let mut image = Image::new()
        .modules(BASE)
        .file("/etc/modprobe.d/base.conf", "options ifb numifbs=3\n", 0o644)
        .file("/lib/firmware/name.bin", "of the image\n", 0o644)
        .file("/bin/ask", ASK_FOR_FIRMWARE, 0o755)
        .add(Path::new(&busybox), "/bin/busybox");
    let tree = root.path().join("lib/modules").join(&Kernel::under_test().release);
    for entry in fs::read_dir(tree).expect("the tree can be read") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let content = fs::read(entry.path()).expect("the file can be read");
        image = image.file(&format!("/opt/lib/modules/{}/{name}", Kernel::under_test().release), content, 0o644);
    }
    image
}

/// The words for the image's trees and one more, in this order.
fn trees(add_on: &str) -> String {
    ["/lib/modules", "/opt/lib/modules", add_on].map(|location| format!("guest_init.module_dir={location} ")).concat()
}

/// Asserts that each module was loaded behind all that it needs of the other trees, with the parameters of both
/// configurations.
fn all_loaded(console: Console) -> Console {
    let console = console.agent_ran().has("  dummy1  ").has_not("  dummy2  ").has("  ifb2  ").has_not("  ifb3  ");
    let modules = console.modules();
    for [earlier, later] in [
        ["udp_tunnel", "vxlan"],
        ["ip6_udp_tunnel", "vxlan"],
        ["tap", "macvtap"],
        ["macvlan", "macvtap"],
        ["ifb", "dummy"],
    ] {
        let place = |name| modules.iter().position(|module| *module == name);
        assert!(place(earlier).is_some() && place(earlier) < place(later), "{earlier}, {later}: {modules:?}");
    }
    assert!(!modules.contains(&"loop"), "{modules:?}");
    console.has("guest-init: loop: not loaded: it is blacklisted, and was asked for by an alias")
}

#[test]
fn an_add_on_on_a_share_completes_the_image_and_lasts_for_modprobe() {
    let add_on = add_on();
    let share = format!("add={}", add_on.path().display());
    let words = format!(
        "{}guest_init.log=debug {LIST} -- --cat /sys/module/firmware_class/parameters/path --exec /bin/ask ; \
         --cat /dev/test_firmware --exec /sbin/modprobe -v veth ; --exec /sbin/modprobe -v nls_ascii ; \
         --mount overlay none /mnt",
        trees("virtiofs:add:/lib/modules")
    );
    let console = all_loaded(Vm::telling(image()).options(["--share", &share]).append(&words).run())
        .has("guest-init: dummy: it is in /lib/modules/")
        .has("guest-init: virtiofs:add:/lib/firmware: the kernel looks for firmware in it")
        .has("agent: /sys/module/firmware_class/parameters/path: /run/guest-init/firmware")
        .has("agent: /dev/test_firmware: of the add-on")
        .has("agent: /sbin/modprobe: insmod /run/guest-init/2/modules/")
        .has("agent: /sbin/modprobe: insmod /lib/modules/")
        // The add-on's modprobe.d counts for modules of the image then too.
        .has("nls_ascii.ko late=1")
        // overlay refuses a mount without options. If the kernel's own request had not loaded it, this were ENODEV.
        .has("agent: mount overlay: EINVAL")
        .has("Open descriptors: 3");
    assert!(console.modules().ends_with(&["veth", "nls_ascii", "overlay"]), "{console}");
}

#[test]
fn an_add_on_on_a_disk_completes_the_image_and_the_command_lines_firmware_counts() {
    let verified = Verified::erofs(add_on().path());
    let words = format!(
        "{}guest_init.verity=add,{} firmware_class.path=/lib/firmware {LIST} -- \
         --cat /sys/module/firmware_class/parameters/path --exec /bin/ask ; --cat /dev/test_firmware",
        trees("disk:add:/lib/modules"),
        verified.fields()
    );
    let disk = verified.disk();
    let disk = format!("add={}", disk.path());
    all_loaded(Vm::telling(image()).options(["--disk", &disk]).append(&words).run())
        .has("guest-init: disk:add:/lib/firmware: no firmware is taken from it: the kernel looks in /lib/firmware")
        .has("agent: /sys/module/firmware_class/parameters/path: /lib/firmware")
        .has("agent: /dev/test_firmware: of the image");
}

#[test]
fn an_extension_before_the_image_has_the_first_word() {
    let disk = erofs(add_on().path());
    let disk = format!("extension-add={}", disk.path());
    let words = format!(
        "kata.extension.add.verity_params guest_init.module_dir=/run/kata-extensions/add/lib/modules {} \
         guest_init.log=debug {LIST} -- --exec /bin/ask ; --cat /dev/test_firmware --exec /sbin/modprobe -v veth ;",
        "guest_init.module_dir=/lib/modules guest_init.module_dir=/opt/lib/modules"
    );
    all_loaded(Vm::telling(image()).options(["--disk", &disk]).append(&words).run())
        .has("guest-init: dummy: it is in /run/kata-extensions/add/lib/modules/")
        .has("agent: /dev/test_firmware: of the add-on")
        .has("agent: /sbin/modprobe: insmod /run/kata-extensions/add/lib/modules/");
}

#[test]
fn trees_that_another_modprobe_does_not_see_are_named() {
    let image = image().file("/sbin/modprobe", "#!/bin/busybox true\n", 0o755);
    let words = "guest_init.module_dir=/opt/lib/modules guest_init.module_dir=/lib/modules guest_init.modules=macvlan";
    boot(image, words)
        .agent_ran()
        .has("guest-init: /opt/lib/modules: modprobe will not see these modules")
        .has_not("guest-init: /lib/modules: modprobe will not see");
}

#[test]
fn a_tree_that_is_missing_is_named() {
    let words = "guest_init.module_dir=/lib/modules guest_init.module_dir=/nowhere guest_init.modules=dummy";
    boot(small(), words).failed(Code::NoModuleTree, "plan /nowhere: ENOENT: the directory can't be opened");
}
