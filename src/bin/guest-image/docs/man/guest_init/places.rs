//! guest-init(8): shares, disks and the root.

use super::super::markup::Section;

/// The sections on places that files come from.
pub const PLACES: &[Section] = &[
    (
        "FROM THE HOST",
        &["A virtio-fs share can hold a module list (`guest_init.modules_file=virtiofs:TAG:/list`), the module tree \
           (`guest_init.module_dir=virtiofs:TAG:/modules`), and the root of the agent (`root=TAG rootfstype=virtiofs \
           rw`, if the initramfs has no agent). If the kernel has virtio-fs as modules, the image must contain \
           `virtiofs`, and `virtio_pci` or `virtio_mmio`. The share is `/` for the paths and symbolic links on it, so \
           none leads out of the share. One that leads to nothing on the share is a failure that says so."],
    ),
    (
        "DISKS",
        &[
            "A module list and the module tree can also be on a disk (`guest_init.modules_file=disk:`DISK`:/list`, \
             `guest_init.module_dir=disk:`DISK`:/modules`). DISK is the disk's serial number, or its name below \
             `/dev`. virtio-blk and NVMe cut a serial number to 20 bytes, and names are compared so: two names that \
             are equal in their first 20 bytes are a failure, and so are two disks that fit one name. The first \
             partition is read, or the whole disk if it has none. Its file system is recognised by its contents, as \
             that of `root=` is. A disk may take 10 seconds to appear, from the last driver on. It is mounted as a \
             share is.",
            "`guest_init.verity=`DISK`,root_hash=`HEX`,salt=`HEX`,data_blocks=`N`,data_block_size=`B`,\
             hash_block_size=`B has the kernel verify what is read from a disk, with SHA-256, whoever asks for the disk. The fields may \
             stand in any order. The salt may be empty or `-`. The hash tree is on partition 2, or, if the disk has \
             no partition 2, right behind the data on the same device. A superblock of veritysetup in front of the \
             tree is passed over.",
            "`kata.extension.`NAME`.verity_params=`FIELDS mounts an extension of Kata Containers at \
             `/run/kata-extensions/`NAME, read-only, nosuid and nodev, before the lists are read: the disk with the \
             serial number `extension-`NAME. The fields are the same, and the hash tree is on partition 2. Without a \
             value the extension is mounted without verification, and its disk must not have a partition 2. Lists and \
             the module tree may lie in an extension, which is `/` for the links in it. `disk:extension-`NAME`:/path` \
             is verified as well.",
            "`roothash=`HEX verifies the root. The partitions with the data and with the hash tree have the first and \
             the last 128 bits of the root hash as their PARTUUIDs, or `systemd.verity_root_data=` (or `root=`) and \
             `systemd.verity_root_hash=` name them. The other parameters are in the superblock in front of the hash \
             tree. The root is read-only. `systemd.verity_root_options=` is not supported. `roothash=` verifies the \
             root alone: for a list or modules on the same disk, use `guest_init.verity=`.",
            "While guest-init runs, a block that differs from its hash is a failure that names the block. After the \
             agent has started, the kernel panics. The image needs the drivers: that of the disk, `dm_verity`, the \
             file system, and for speed what `crypto-sha256` means.",
        ],
    ),
    (
        "ROOT",
        &[
            "An initramfs gives way to `root=` if it does not have the agent: before the agent starts, guest-init \
             mounts that root, makes it `/`, and empties the initramfs. An initramfs with the agent stays, and \
             `root=` is ignored, because some runtimes write it for every VM. `guest_init.root=switch` and \
             `guest_init.root=stay` decide otherwise. One line in the log says what was done, and why. If the kernel \
             itself mounted the root, nothing is done.",
            "`root=` is `/dev/NAME`, or `PARTUUID=`, `PARTLABEL=`, `UUID=` or `LABEL=` with a value, or a link of udev \
             below `/dev/disk/`. A UUID or a label is read from ext2 to ext4, xfs, btrfs, erofs, f2fs, vfat, and an \
             ISO's label. If several disks fit, that is a failure which names them. With `rootfstype=virtiofs` or \
             `rootfstype=9p`, `root=` is the tag of a share.",
            "The drivers of disks, and of the buses that disks are on, are loaded for the devices of the VM: virtio, \
             SCSI, SATA, NVMe, USB, MMC, persistent memory, Xen, Hyper-V. Only the driver of the file system must be \
             in the image beside them. A disk may take 10 seconds to appear, from the last driver on. With `rootwait` \
             it may take any time, up to the deadline, and with `rootwait=N` N seconds. `rootdelay=N` waits N seconds \
             before all that.",
            "`rootfstype=` and `ro` or `rw` count as they do to the kernel. `rootflags=` takes the options of the file \
             system and those of mount(8) that are attributes of a mount, such as `noatime` or `nodev`. A failure \
             quotes the kernel's words on an option that it refuses.",
        ],
    ),
];
