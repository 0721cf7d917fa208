//! The table of codes, which the README, the man pages, `guest-image explain` and the tests read.

use core::fmt;

use syscalls::Errno;

/// The part of the mission that failed: the high digit of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// 0x1_: mounts and descriptors.
    Mount,
    /// 0x2_: the kernel command line and the module lists.
    Read,
    /// 0x3_: what the lists take, resolved against the module tree.
    Plan,
    /// 0x4_: finit_module.
    Load,
    /// 0x5_: the hand-off to the agent.
    Start,
    /// 0x6_: the deadline.
    Deadline,
    /// 0x7_: guest-init itself.
    Bug,
}

impl Stage {
    /// The first word of a failure's line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Read => "read",
            Self::Plan => "plan",
            Self::Load => "load",
            Self::Start => "start",
            Self::Deadline => "deadline",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $stage:ident, $errno:ident: $meaning:literal, $look:literal;)*) => {
        /// The code of a failure. PID 1 exits with the number, so the kernel's panic line shows it as
        /// `exitcode=0x0000NN00`.
        ///
        /// The numbers are stable: a released one never changes its meaning.
        ///
        /// ```
        /// use guest_init::failure::Code;
        ///
        /// // Kernel panic - not syncing: Attempted to kill init! exitcode=0x00004200
        /// let status = 0x4200 >> 8;
        /// let code = Code::ALL.iter().find(|code| **code as i32 == status);
        /// assert_eq!(code, Some(&Code::OtherKernel));
        /// assert_eq!(Code::OtherKernel.meaning(), "a module was built for another kernel");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Code {
            $(#[doc = concat!($meaning, ".")] $name = $number,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stage that the code belongs to.
            pub const fn stage(self) -> Stage {
                match self { $(Self::$name => Stage::$stage),* }
            }

            /// The meaning of the code, in a few words.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }

            /// The places to look at for the cause.
            pub const fn look(self) -> &'static str {
                match self { $(Self::$name => $look),* }
            }

            /// The errno of a failure that no system call reported.
            pub(super) const fn errno(self) -> Errno {
                match self { $(Self::$name => Errno::$errno),* }
            }
        }
    };
}

codes! {
    MountFailed = 0x10, Mount, EINVAL: "/proc, /sys, /dev or /run can't be mounted",
        "the kernel's configuration; whether the image has the mount point or lets it be made";
    NoConsole = 0x11, Mount, ENOENT: "neither /dev/console nor /dev/null can be opened for descriptors 0-2",
        "CONFIG_DEVTMPFS; what is mounted on /dev";
    ShareUnknown = 0x12, Mount, EINVAL: "no virtio-fs device of this VM has the tag of a share",
        "the tag; the VM's vhost-user-fs devices; the image's virtio_pci or virtio_mmio";
    ShareFailed = 0x13, Mount, EIO: "a share can't be mounted",
        "whether the kernel or the image has virtiofs; virtiofsd on the host";
    DiskMissing = 0x14, Mount, ENODEV: "no disk of this VM has the serial number or the name",
        "the VM's disks and their serial numbers; the drivers for them in the image";
    DiskAmbiguous = 0x15, Mount, ENOTUNIQ: "several disks have the serial number or the name",
        "the disks named; virtio-blk cuts a serial number to 20 bytes";
    DiskFailed = 0x16, Mount, EIO: "a disk can't be read or mounted",
        "the kernel's words, in the line or in its own lines above; the disk's file on the host";
    DiskUnknownType = 0x17, Mount, ENODEV: "a disk has no file system that guest-init, the kernel and the image know",
        "the file system on the first partition, or on the disk; its module in the image";
    HashTreeMissing = 0x18, Mount, ENOENT: "verity parameters are given for a disk without a hash tree",
        "whether the disk has partition 2; data_blocks; how the image was made";
    ParametersMissing = 0x19, Mount, EKEYREJECTED: "a disk has a hash tree, but the command line has no verity parameters for it",
        "kata.extension.NAME.verity_params=; what removes words from this command line";
    WrongRootHash = 0x1a, Mount, EBADMSG: "the hash tree of a disk does not fit the root hash, or the salt",
        "root_hash= and salt=; whether the disk is the one that they are for";
    HashTreeCorrupted = 0x1b, Mount, EBADMSG: "the hash tree of a disk is damaged",
        "the block named; the disk's file on the host";
    DataCorrupted = 0x1c, Mount, EBADMSG: "a disk's data differs from its hash",
        "the block named; the disk's file on the host";
    NoVerity = 0x1d, Mount, ENODEV: "neither the kernel nor the image has dm-verity",
        "CONFIG_DM_VERITY; dm_verity in the image";
    VerityRefused = 0x1e, Mount, EINVAL: "the device mapper refuses to verify a disk",
        "the kernel's words, in the line; dm_verity.require_signatures";

    CommandLineUnreadable = 0x20, Read, EIO: "/proc/cmdline can't be read, or is longer than 64 KiB",
        "bootconfig; what is mounted on /proc";
    UnknownKey = 0x21, Read, EINVAL: "the command line has a guest_init key that does not exist",
        "the spelling; the keys in guest-init(8)";
    RepeatedKey = 0x22, Read, EINVAL: "a key that may occur once occurs twice",
        "what else adds words to this command line";
    BadValue = 0x23, Read, EINVAL: "a key's value is malformed",
        "the key in guest-init(8)";
    UnbalancedQuote = 0x24, Read, EINVAL: "a quote is opened and not closed",
        "the quotes; the kernel has no escapes";
    BadEntry = 0x25, Read, EINVAL: "an entry of a module list is malformed",
        "the entry named; the list grammar in guest-init(8)";
    TooMany = 0x26, Read, E2BIG: "more entries, or files with lists, than guest-init takes",
        "the bounds in guest-init(8)";
    ListMissing = 0x27, Read, ENOENT: "the file of a module list does not exist",
        "guest_init.modules_file; what the host shares";
    ListOutside = 0x28, Read, EXDEV: "the path of a module list leads out of its share",
        "symbolic links in the path; `..`";
    ListNotAFile = 0x29, Read, EINVAL: "the file of a module list is a directory, FIFO, socket or device",
        "what the host shares";
    ListTooLong = 0x2a, Read, EFBIG: "the file of a module list has more than 64 KiB",
        "whether the path names a list";
    ListNotText = 0x2b, Read, EILSEQ: "the file of a module list is not UTF-8",
        "the offset named; whether the path names a list";
    ListUnreadable = 0x2c, Read, EIO: "the file of a module list can't be read",
        "the errno named; virtiofsd on the host";
    CommandLineCut = 0x2d, Read, E2BIG: "the command line is as long as the kernel's limit, so it may have been cut",
        "guest_init.modules_file, for a list in a file; what else adds words to this command line";
    DisksCollide = 0x2e, Read, ENOTUNIQ: "two disks have names that are equal in their first 20 bytes",
        "the names; a serial number of virtio-blk has 20 bytes, of which Kata's `extension-` takes 10";

    NoModuleTree = 0x30, Plan, ENOENT: "there is no module tree for this kernel",
        "uname -r against the image's /lib/modules; whether depmod was run";
    CorruptIndex = 0x31, Plan, EBADMSG: "an index file of the module tree is damaged, or can't be read",
        "the file and offset named; run depmod again";
    UnknownModule = 0x32, Plan, ENOENT: "a name is no module, alias or built-in of this kernel",
        "the spelling; whether the image holds that module";
    MissingFile = 0x33, Plan, ENOENT: "the file of a module, or of a dependency, does not exist",
        "how the image was built";
    PlanTooLarge = 0x34, Plan, E2BIG: "the plan has too many modules, or a soft dependency has no end",
        "the list; modules.softdep; the files in modprobe.d";

    InstallCommand = 0x35, Plan, EPERM: "an install command of modprobe.d prevents a module from being loaded",
        "the image's modprobe.d; guest-init(8) has the commands that are understood";
    UnknownParameter = 0x36, Plan, EINVAL: "with guest_init.strict=1: a parameter has no module that takes it",
        "modinfo -p; the closest names in the line; the install commands of modprobe.d";
    ConfigUnreadable = 0x37, Plan, EIO: "a file of modprobe.d, or modules.softdep, can't be read",
        "the errno named; the file system that holds the file";

    Unreadable = 0x40, Load, EIO: "a module's file can't be read",
        "the file named; the file system that holds it";
    NotAModule = 0x41, Load, ENOEXEC: "a file is no module for this kernel: damaged, compressed, or of another architecture",
        "the file named; the original of the file";
    OtherKernel = 0x42, Load, ENOEXEC: "a module was built for another kernel",
        "the two versions named";
    UnresolvedSymbol = 0x43, Load, ENOENT: "a module needs a symbol that nothing loaded provides",
        "modules.dep; whether both modules come from one build";
    BadParameter = 0x44, Load, EINVAL: "a parameter's value is refused",
        "modinfo -p; the kernel's line above";
    BadSignature = 0x45, Load, EKEYREJECTED: "a module's signature is missing, wrong, or by an unknown key",
        "the signer named; whether the kernel and the modules come from one build; sig_enforce";
    Forbidden = 0x46, Load, EPERM: "this kernel does not permit the module to be loaded",
        "the cause named: nomodule, module_blacklist, modules_disabled, lockdown, CONFIG_MODULES";
    OutOfMemory = 0x47, Load, ENOMEM: "not enough memory for a module",
        "the VM's memory";
    InitFailed = 0x48, Load, EINVAL: "a module's init function failed",
        "the kernel's lines above; whether this VM has the device";
    ParameterNotSet = 0x49, Load, EPERM: "with guest_init.strict=1: a parameter of a loaded or built-in module can't be set",
        "/sys/module/NAME/parameters; whether an earlier entry loads the module without the parameter";
    NotLocked = 0x4a, Load, EIO: "with guest_init.lock_modules=1: module loading can't be disabled",
        "kernel.modules_disabled; what is mounted on /proc";

    AgentMissing = 0x50, Start, ENOENT: "the agent does not exist",
        "guest_init.agent; the image";
    AgentNotExecutable = 0x51, Start, EACCES: "the agent exists and may not be executed",
        "the file's mode; noexec on its mount";
    InterpreterMissing = 0x52, Start, ENOENT: "the agent's interpreter (its dynamic loader, or after #!) does not exist",
        "whether the agent is static; the image's libraries";
    AgentRefused = 0x53, Start, ENOEXEC: "the kernel can't execute the agent",
        "the errno named; the agent's architecture";
    RootUnclear = 0x54, Start, EINVAL: "root= has a form that guest-init does not support",
        "root=/dev/NAME, PARTUUID=, PARTLABEL=, UUID= or LABEL=; root=TAG with rootfstype=virtiofs or 9p";
    RootMissing = 0x55, Start, ENODEV: "the device of root= does not appear",
        "root=; the VM's disks; the drivers for them in the module tree";
    RootUnknownType = 0x56, Start, ENODEV: "neither the kernel nor the module tree has the file system of root=",
        "rootfstype=; the file system's module in the module tree";
    RootFailed = 0x57, Start, EINVAL: "the root can't be mounted",
        "the kernel's words, in the line or in its own lines above; rootfstype= and rootflags=; the disk";
    RootUnfit = 0x58, Start, EINVAL: "guest-init can't switch to the root",
        "whether it has the directories /proc, /sys, /dev and /run";
    RootAmbiguous = 0x59, Start, ENOTUNIQ: "several disks fit root=",
        "the disks named; whether one is a copy of another; root=/dev/NAME";

    DeadlinePassed = 0x60, Deadline, ETIMEDOUT: "the deadline passed before the agent was started; the VM panics by sysrq, not by this exit code",
        "what was in progress, as the line says; guest_init.deadline";
    NoWatch = 0x61, Deadline, EAGAIN: "the thread that watches the deadline can't be started",
        "the VM's memory";

    Bug = 0x70, Bug, EFAULT: "guest-init itself crashed",
        "whether the host changes files while guest-init reads them; otherwise, report it";
    WrongBuild = 0x71, Bug, ENOEXEC: "this file of guest-init was not built for a VM",
        "scripts/build makes the right file: target/TRIPLE/guest/guest-init";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", *self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_lie_in_their_stage() {
        assert!(Code::ALL.windows(2).all(|pair| (pair[0] as u8) < pair[1] as u8));
        let digit = |stage| match stage {
            Stage::Mount => 1,
            Stage::Read => 2,
            Stage::Plan => 3,
            Stage::Load => 4,
            Stage::Start => 5,
            Stage::Deadline => 6,
            Stage::Bug => 7,
        };
        assert!(Code::ALL.iter().all(|&code| code as u8 >> 4 == digit(code.stage())));
    }
}
