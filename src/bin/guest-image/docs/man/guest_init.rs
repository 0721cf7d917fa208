//! guest-init(8). Its keys and failures come from the tables of the code.

use guest_init::failure::Code;
use guest_init::guest::modules::unpack::Format;
use guest_init::request::keys::KEYS;
use guest_init::request::{DEFAULT_AGENT, MOST_ENTRIES};
use guest_init::resolve::plan::MOST_STEPS;
use guest_init::text::Shown;
use roff::{Inline, Roff, bold, roman};

/// A section: its heading and its paragraphs. Text in backticks is bold: it is to be written as it stands.
type Section = (&'static str, &'static [&'static str]);

/// The sections before the table of keys.
const INTRODUCTION: &[Section] = &[
    (
        "DESCRIPTION",
        &[
            "`guest-init` is the program of a VM image between the kernel and the agent. As PID 1 it mounts `/proc`, \
             `/sys`, `/dev` and `/run`, loads the kernel modules that the command line asks for, with their parameters \
             and dependencies, and becomes the agent. If any of that fails, it panics the VM and logs the reason.",
            "The kernel starts `guest-init` from an initramfs as `/init`, or with `rdinit=/sbin/guest-init`. From a \
             root disk, the kernel starts it with `init=/sbin/guest-init`. If anyone else starts it, or if it is PID 1 of \
             a container, it prints the reason and changes nothing.",
        ],
    ),
    (
        "KERNEL COMMAND LINE",
        &[
            "An unknown key, a key that may stand once and stands twice, and a malformed value are failures that name \
             the word. Quoting is the kernel's: `\"` around a whole word or a value keeps its blanks, and there are no \
             escapes. A list with blanks needs quotes: `guest_init.modules=\"e1000e; i915\"`. Words behind ` -- ` are the \
             agent's arguments. If one of them looks like a word for guest-init or the kernel, such as `root=`, \
             guest-init logs a warning, because some VMMs add their words to the end of the command line.",
            "The kernel cuts a command line that is longer than its limit: 2,047 bytes on x86_64, aarch64 and ppc64le, \
             1,023 bytes on riscv64, 4,095 bytes on s390x. A command line of exactly that length is a failure, because \
             half a list may be missing. Put a long list into a file, and name the file with \
             `guest_init.modules_file=`.",
        ],
    ),
];

/// The sections between the table of keys and the table of failures.
const OPERATION: &[Section] = &[
    (
        "MODULE LIST",
        &[
            "An entry ends at `;` or at the end of the line. Its first word is the name or the alias of a module. In \
             names, `-` and `_` are the same. The other words are parameters, which are passed on unchanged. `\"` \
             keeps blanks and `;` inside a value. A `?` before the name makes the entry optional: its failure is \
             logged, and the boot goes on. Only a module index that is damaged or can't be read ends the VM all the \
             same, because it may hide other modules. A line that begins with `#` is a comment. Kata's array, \
             `[\"e1000e EEE=1\", \"i915\"]`, is a list as well. As in TOML, it may have several lines and comments. Lines may \
             end in CR LF, and a file may begin with a byte order mark.",
            "Four forms of other tools have two meanings, and are failures that say what to write: entries between \
             commas, a module's name in place of a parameter, single quotes, and a line that begins with `;`.",
            "A list on the command line can't contain a value with blanks. Write `module.parameter=\"a b\"` beside the \
             list, or put the list into a file.",
            "`@devices` is the entry for this VM's devices: the modaliases of all devices that have no driver are \
             requested where the entry stands, as aliases are. With `@devices=`BUS`,`BUS only the devices on these buses \
             count. A bus is what stands before the first `:` of a modalias: `pci`, `virtio`, `platform`, `acpi`, `usb`, \
             `scsi`, `hid`, `of`, `vmbus`, `xen`, `ccw`. The entry takes no parameters and no `?`, and may stand several \
             times. Behind the load of the list, the drivers for devices that others brought are loaded in rounds, until \
             there are no new modaliases, with the same `guest_init.jobs=`, `guest_init.strict=` and \
             `guest_init.keep_modules=`. A driver that fails is logged and passed over. A device that is announced by \
             `virtio_mmio.device=` asks for virtio_mmio, on the buses `virtio` and `platform`.",
            "`@devices` means the devices that exist when guest-init looks, and those that their drivers bring. It never \
             waits for hardware that may come. Only USB is enumerated in the background. Behind a load guest-init looks \
             again every 10 ms while a USB hub is active and a device was new in the last 500 ms, and while USB storage \
             has no disk and a device was new in the last 2 s. It does not if buses are named and `usb` is not among \
             them. Devices that are on no bus, such as input devices, have no driver in this sense: name `evdev` in the \
             list.",
            "A name begins with a letter, a digit or `_` and contains no `/`, so that no name is taken for an option \
             or a path.",
        ],
    ),
    (
        "PLAN",
        &[
            "Names are resolved as modprobe resolves them: modules.dep, aliases and built-in modules count, and so do \
             the soft dependencies, options and blacklists of modprobe.d. The whole list is planned, and every module \
             file of the plan is opened, before the first module is loaded. All failures are reported at once, with \
             the nearest names that exist.",
            "There may be several module trees, each with the modules.dep that its own depmod wrote: \
             `guest_init.module_dir=/lib/modules guest_init.module_dir=virtiofs:TAG:/modules`. All are for the running \
             kernel. A module's name means the first tree that has the module; an alias means the modules of all trees. \
             What a module needs of another tree is found by the module's own file, because its modules.dep does not \
             have it. modprobe.d and the soft dependencies count for the modules of all trees. Beside the image's \
             modprobe.d, the directory `modprobe.d` beside each other module directory counts.",
            "Firmware beside a module directory (`firmware`), or in `/lib/firmware` of its extension, share or disk, reaches \
             the kernel: the first directory of that kind becomes the value of `firmware_class.path`, unless that is set. \
             It stays after the agent has started. If the image has a `modprobe`, so do the module trees, with the \
             `modprobe.d` beside each. Only a share's or a disk's tree that is alone stays without it, at `/lib/modules`. \
             A `modprobe` that is not guest-init sees `/lib/modules` alone.",
            "Parameters come from modprobe.d, then from `module.parameter=value` on the kernel command line, then from \
             the entry. The last value counts. A parameter that the module does not have is reported before anything \
             is loaded, with the nearest names that exist. If the module is compressed, the parameter is reported \
             when the kernel has ignored it, right behind the load of its module, because to decompress a module \
             takes longer than the rest of its load. That is only so while such a parameter can't end the VM: with \
             `guest_init.strict=1`, and if a parameter is the name of a module, compressed modules are looked into \
             before anything is loaded too. A module that is built in or already loaded gets its \
             parameters through `/sys/module/NAME/parameters`. A parameter that can't be set there is reported. If an \
             install command of modprobe.d replaces a module, the parameters of its entry are reported.",
            "With `guest_init.strict=1`, a parameter that is reported ends the VM, unless the entry is optional, or \
             only a soft dependency asks for the module.",
            "With `guest_init.jobs=2` and above, a module waits only for the modules that it depends on, with soft \
             dependencies. The modules of the entries are started in the order of the list. The failure that is \
             reported is the one that `guest_init.jobs=1` would report. Only `guest_init.jobs=1` keeps the order of \
             the plan exactly, so only it fixes which of two drivers names its device first (`eth0`).",
            "The files of loaded modules are removed from an initramfs, to free their memory.",
        ],
    ),
    (
        "INSTALL COMMANDS",
        &[
            "An `install` line of modprobe.d replaces the load of a module by a command. `/bin/true` and `:` leave the \
             module out, and `/bin/false` refuses it. A command that consists of calls of `modprobe`, `/sbin/modprobe` or \
             `/usr/sbin/modprobe` is understood as well. A call names one module and may have parameters, the options \
             `-i`, `-b` and `-q` or their long forms, and `$CMDLINE_OPTS`. Calls, `true`, `:` and `false` may \
             be joined by `;`, `&&`, `||` and `{ ...; }`, and redirected to `/dev/null`. They succeed and fail as in a \
             shell: `modprobe -i a || true` passes over a failure of a.",
            "Other programs are passed over with a line in the log, if they follow a call behind `;` or `&&`, and no \
             further call depends on their exit status: `modprobe -i sunrpc $CMDLINE_OPTS && /sbin/sysctl -q --system`. \
             Any other command is a failure that quotes it.",
        ],
    ),
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
             `guest_init.module_dir=disk:`DISK`:/modules`). DISK is the disk's serial number, or its name below `/dev`. \
             virtio-blk and NVMe cut a serial number to 20 bytes, and names are compared so: two names that are equal \
             in their first 20 bytes are a failure, and so are two disks that fit one name. The first partition is \
             read, or the whole disk if it has none. Its file system is recognised by its contents, as that of \
             `root=` is. A disk may take 10 seconds to appear, from the last driver on. It is mounted as a share is.",
            "`guest_init.verity=`DISK`,root_hash=`HEX`,salt=`HEX`,data_blocks=`N`,data_block_size=`B`,hash_block_size=`B \
             has the kernel verify what is read from a disk, with SHA-256, whoever asks for the disk. The fields may \
             stand in any order. The salt may be empty or `-`. The hash tree is on partition 2, or, if the disk has no \
             partition 2, right behind the data on the same device. A superblock of veritysetup in front of the tree \
             is passed over.",
            "`kata.extension.`NAME`.verity_params=`FIELDS mounts an extension of Kata Containers at \
             `/run/kata-extensions/`NAME, read-only, nosuid and nodev, before the lists are read: the disk with the \
             serial number `extension-`NAME. The fields are the same, and the hash tree is on partition 2. Without a \
             value the extension is mounted without verification, and its disk must not have a partition 2. Lists and \
             the module tree may lie in an extension, which is `/` for the links in it. `disk:extension-`NAME`:/path` is \
             verified as well.",
            "`roothash=`HEX verifies the root. The partitions with the data and with the hash tree have the first and the \
             last 128 bits of the root hash as their PARTUUIDs, or `systemd.verity_root_data=` (or `root=`) and \
             `systemd.verity_root_hash=` name them. The other parameters are in the superblock in front of the hash \
             tree. The root is read-only. `systemd.verity_root_options=` is not supported. `roothash=` verifies the root alone: \
             for a list or modules on the same disk, use `guest_init.verity=`.",
            "While guest-init runs, a block that differs from its hash is a failure that names the block. After the \
             agent has started, the kernel panics. The image needs the drivers: that of the disk, `dm_verity`, the \
             file system, and for speed what `crypto-sha256` means.",
        ],
    ),
    (
        "ROOT",
        &[
            "An initramfs gives way to `root=` if it does not have the agent: before the agent starts, guest-init mounts \
             that root, makes it `/`, and empties the initramfs. An initramfs with the agent stays, and `root=` is \
             ignored, because some runtimes write it for every VM. `guest_init.root=switch` and \
             `guest_init.root=stay` decide otherwise. One line in the log says what was done, and why. If the kernel \
             itself mounted the root, nothing is done.",
            "`root=` is `/dev/NAME`, or `PARTUUID=`, `PARTLABEL=`, `UUID=` or `LABEL=` with a value, or a link of udev \
             below `/dev/disk/`. A UUID or a label is read from ext2 to ext4, xfs, btrfs, erofs, f2fs, vfat, and an \
             ISO's label. If several disks fit, that is a failure which names them. With `rootfstype=virtiofs` or \
             `rootfstype=9p`, `root=` is the tag of a share.",
            "The drivers of disks, and of the buses that disks are on, are loaded for the devices of the VM: virtio, \
             SCSI, SATA, NVMe, USB, MMC, persistent memory, Xen, Hyper-V. Only the driver of the file system must be \
             in the image beside them. A disk may take 10 seconds to appear, from the last driver on. With `rootwait` it may take any time, up \
             to the deadline, and with `rootwait=N` N seconds. `rootdelay=N` waits N seconds before all that.",
            "`rootfstype=` and `ro` or `rw` count as they do to the kernel. `rootflags=` takes the options of the file \
             system and those of mount(8) that are attributes of a mount, such as `noatime` or `nodev`. A failure \
             quotes the kernel's words on an option that it refuses.",
        ],
    ),
    (
        "AGENT",
        &["The agent replaces guest-init and so is PID 1. It has the environment, signals, limits and working \
             directory that the kernel gave to guest-init, and descriptors 0 to 2 open, and no others. `/proc`, \
             `/sys`, `/dev` and `/run` are mounted. File systems that were mounted before stay as they were."],
    ),
    (
        "NOTIFICATIONS",
        &[
            "`guest_init.notify=` names a channel on which the host hears why the VM failed, or that the agent is started. \
             `guest-image listen` receives it, and so does whatever understands sd_notify(3) over vsock, such as \
             systemd-vmspawn. `systemd.set_credential=vmm.notify_socket:`ADDRESS means the same, if the key is absent.",
            "`vsock-stream:2:`PORT connects to a port of the host, with CID 2. Firecracker and Cloud Hypervisor have only \
             that type. `vsock-seqpacket:` and `vsock-dgram:` are the other types, and `vsock:` is the first that can be \
             connected of datagram, seqpacket and stream. `virtio-port:`NAME is the virtio-serial port of that name.",
            "Each message has a connection of its own. It consists of lines KEY=VALUE and an empty line. On a failure these are \
             `STATUS` (the line of the kernel log), `ERRNO`, `EXIT_STATUS` (the code as a decimal number), \
             `X_GUEST_INIT_CODE` (`0x42`), `X_GUEST_INIT_STAGE` and `X_GUEST_INIT_SUBJECT`. Before the agent starts \
             they are `STATUS=agent started`, `X_GUEST_INIT_AGENT`, `X_GUEST_INIT_MODULES` (the modules that the lists \
             loaded), `X_GUEST_INIT_USEC` (microseconds since guest-init read the command line), `X_GUEST_INIT_LOAD_USEC` (of \
             these, planning and loading) and `X_GUEST_INIT_BOOT_USEC` (microseconds since the kernel's start). \
             `READY=1` is the agent's to send. If the agent's file shows that the kernel will refuse it, only the failure is \
             sent. If the kernel refuses it for another reason, a failure follows.",
            "The drivers of the channel are loaded before the lists are read, without the parameters that a list has \
             for them: write these as `module.parameter=value`. The image needs `vmw_vsock_virtio_transport` for \
             vsock or `virtio_console` for a port, and `virtio_pci` or `virtio_mmio`, unless they are built in. If a \
             list loads the driver from a share or a disk, the channel is opened before the agent starts. A failure \
             that comes earlier loads them after its line is logged. A deadline that passes, and a crash, are sent \
             if the channel is open, and the panic then comes up to 500 ms later. While a \
             module spins on a CPU, vsock may carry nothing, because it needs the kernel's threads of that CPU. A port \
             does not.",
            "No notification is a reason to fail. guest-init waits at most 250 ms for the connection, and at most 500 ms until \
             the host has closed it, or the virtio-serial device has taken the message. If nobody listens, that is \
             a warning in the log. The agent inherits no descriptor, and can use the same port.",
        ],
    ),
    (
        "SECURITY",
        &[
            "The command line, lists, indexes, module files, shares and disks are read as hostile input. A share or a \
             disk with a list or a module tree is mounted read-only, nosuid, nodev and noexec, at no path. Only regular \
             files on it are opened. It is unmounted before the agent starts. These directories stay mounted, read-only: \
             the module tree, if the image has `/sbin/modprobe`, at `/lib/modules`, or, beside other trees and with its \
             `modprobe.d`, below `/run/guest-init/`N, where N is the place on the command line, counted from 0; and the directory \
             in which the kernel looks for firmware, at `/run/guest-init/firmware`.",
            "Whoever trusts the command line, and the disks no more than the host, names each disk with its verity \
             parameters. Then neither a disk that was changed nor one that was exchanged is read. Name a disk in the same way \
             everywhere: the serial number is what the host says.",
            "With `guest_init.lock_modules=1` nothing can load a module after the agent has started.",
        ],
    ),
    (
        "AS MODPROBE",
        &[
            "Called as `modprobe`, through a link of that name, guest-init answers as the modprobe of kmod 34 does. So \
             an image without kmod serves the kernel's own module requests, `mount -t`, and agents. The options are \
             `-a -b -C -D -d -i -n -q -R -S -s -v`, `--first-time`, their long forms, and those in `MODPROBE_OPTIONS`. \
             Options that remove modules are refused. A name that begins with `/` or `./` is the path of a module's \
             file. A line with the reason follows `could not insert`. `-s` logs to the kernel log.",
            "guest-init differs from modprobe on purpose in the following. Names in `modprobe.blacklist=` are \
             normalised. A dependency whose file is missing is an error that names the file. A module that the kernel \
             can't decompress is decompressed. If a `.bin` index does not exist, the text index is read. \
             `/proc/cmdline` is read to its end, up to ` -- `. There is no shell for `install` commands. A damaged \
             index is reported, and the look-up goes on without it; to PID 1 it is a failure.",
            "Other differences are smaller. A dependency that is a module and built in as well is not inserted. The byte \
             0xa0 ends a word of the kernel command line, as it does for the kernel. `POSIXLY_CORRECT` has no effect. \
             If a `.bin` index of built-in modules is missing, those of one alias have another order. libkmod's remarks \
             on lines of modprobe.d, on the kernel command line and on soft dependencies are not printed, nor is more \
             with `-vv`. With `-D` and `-n` a dependency whose file is missing is printed. An alias means at most 64 \
             modules, a request has at most 128 soft dependencies and 2,048 steps, a name at most 2,047 bytes, and the \
             kernel command line at most 64 KiB. Files in modprobe.d named `*.alias`, which kmod reads up to version \
             32, are not read.",
            "If PID 1 calls modprobe and reads its output from a pipe, modprobe closes its output and exits 10 ms \
             later. kata-agent needs that time to wait for its child before its handler of SIGCHLD does.",
            "Kernels run `/sbin/modprobe` or `/usr/sbin/modprobe` to load modules on demand, and an image should have \
             guest-init at both. If one of them is missing, or `sysctl.kernel.modprobe=` names another path, and the \
             kernel's path does not exist, PID 1 sets it to the one that is guest-init.",
        ],
    ),
    (
        "EXIT STATUS",
        &[
            "A failure is one record at emergency level on the kernel log, and then a panic. The kernel's panic line \
             shows the code as `exitcode=0x0000`CODE`00`: `exitcode=0x00003200` is code `0x32`. A `kernel.panic` of 0 \
             is set to -1, unless the command line has `panic=`, so that the VM ends.",
            "The line on the kernel log ends in the code, such as `(exit 0x32)`. If the deadline passes, or if \
             guest-init crashes while several threads load modules, the VM panics through `/proc/sysrq-trigger`. The panic line \
             then has no code, and the line on the kernel log ends in `(code 0x60)` or `(code 0x70)`.",
            "Without guest-init's own line, an exit code on the panic line may be the agent's own status.",
            "If `console=` names a virtio console whose driver is not loaded yet, guest-init loads the driver from \
             `guest_init.module_dir` before it logs the failure. If the VM has a pvpanic device without a driver, \
             guest-init loads `pvpanic_pci` or `pvpanic_mmio` after that, so that the host learns of the panic. A \
             deadline that passes, and a crash of guest-init, load nothing.",
            "Below each code stands what to look at.",
        ],
    ),
];

/// The page, in roff.
pub fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["guest-init", "8", "", concat!("guest-init ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]);
    page.text([roman("guest-init - the init of a microVM: loads its kernel modules, becomes its agent")]);
    section(&mut page, "SYNOPSIS", &["`rdinit=/sbin/guest-init` [`guest_init.`KEY`=`VALUE]... [`--` ARGUMENT...]"]);
    INTRODUCTION.iter().for_each(|(heading, paragraphs)| section(&mut page, heading, paragraphs));
    for key in KEYS {
        let default = key.default.map_or(String::new(), |default| format!(" (default: `{default}`)"));
        entry(&mut page, &format!("`guest_init.{}=`", key.name), &format!("{}{default}", key.value));
    }
    OPERATION.iter().for_each(|(heading, paragraphs)| section(&mut page, heading, paragraphs));
    for code in Code::ALL {
        entry(&mut page, &format!("`{code}` {}", code.meaning()), code.look());
    }
    limits(&mut page);
    files(&mut page);
    section(
        &mut page,
        "SEE ALSO",
        &["`guest-image`(1), `depmod`(8), `modprobe`(8), `modprobe.d`(5), `kernel-command-line`(7)"],
    );
    page.to_roff()
}

/// Adds the section of bounds, with the numbers of the code.
fn limits(page: &mut Roff) {
    let lists =
        format!("All lists together have at most {MOST_ENTRIES} entries and need at most {MOST_STEPS} modules.");
    let suffixes = Format::ALL.map(|format| format!("`.ko{}`", format.suffix())).join(", ");
    let modules = format!(
        "A compressed module ({suffixes}) is decompressed by the kernel, if it knows the format, or else by guest-init. A \
         module that guest-init decompresses has at most 256 MiB."
    );
    section(page, "LIMITS", &[&lists, &modules]);
}

/// Adds the section of files.
fn files(page: &mut Roff) {
    section(page, "FILES", &[]);
    let agent = format!("`{}`", Shown(DEFAULT_AGENT));
    entry(page, &agent, "The agent, unless `guest_init.agent=` names another.");
    let index = "`/lib/modules/`RELEASE`/modules.dep.bin`";
    entry(page, index, "The module tree. Keep every file that depmod wrote beside it.");
    entry(page, "`/etc/modprobe.d/*.conf`", "Configuration, as modprobe reads it.");
}

/// Adds a heading and paragraphs.
fn section(page: &mut Roff, heading: &str, paragraphs: &[&str]) {
    page.control("SH", [heading]);
    for (at, paragraph) in paragraphs.iter().enumerate() {
        if at > 0 {
            page.control("PP", []);
        }
        page.text(marked(paragraph));
    }
}

/// Adds a term and its meaning.
fn entry(page: &mut Roff, term: &str, meaning: &str) {
    page.control("TP", []);
    page.text(marked(term));
    page.text(marked(meaning));
}

/// Roff text. Parts in backticks become bold.
fn marked(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
