//! guest-init(8): the words of the kernel, of systemd and of Kata that guest-init heeds.

/// The words, each with its meaning to guest-init.
pub const WORDS: &[(&str, &str)] = &[
    (
        "`root=`",
        "the root to switch to, if the initramfs has no agent: `/dev/`NAME, `PARTUUID=`, `PARTLABEL=`, `UUID=`, \
         `LABEL=`, or the tag of a share; see ROOT",
    ),
    (
        "`rootfstype=`, `rootflags=`, `ro`, `rw`",
        "the file system of that root, its options, and whether it is read-only",
    ),
    ("`rootwait`, `rootwait=`N, `rootdelay=`N", "how long guest-init waits for the disk of that root"),
    (
        "`roothash=`, `systemd.verity_root_data=`, `systemd.verity_root_hash=`",
        "that root is verified by dm-verity; see DISKS",
    ),
    ("`kata.extension.`NAME`.verity_params=`", "an extension image of Kata Containers; see DISKS"),
    (
        "MODULE`.`PARAMETER`=`VALUE",
        "a parameter of a module, whether a list names the module or another module needs it",
    ),
    ("`modprobe.blacklist=`, `module_blacklist=`", "modules that no alias loads, and modules that the kernel refuses"),
    ("`firmware_class.path=`", "the directory of firmware; guest-init leaves it as it is"),
    ("`panic=`", "how the VM ends after a panic; without it guest-init sets a `kernel.panic` of 0 to -1"),
    (
        "`console=`",
        "`hvc0` and the like are virtio consoles, whose driver guest-init loads before it reports a failure",
    ),
    ("`systemd.set_credential=vmm.notify_socket:`ADDRESS", "the same as `guest_init.notify=`; see NOTIFICATIONS"),
];
