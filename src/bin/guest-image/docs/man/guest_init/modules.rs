//! guest-init(8): lists of modules, and the plan that is made of them.

use super::super::markup::Section;

/// The sections on modules.
pub const MODULES: &[Section] = &[
    (
        "MODULE LIST",
        &[
            "An entry ends at `;` or at the end of the line. Its first word is the name or the alias of a module. In \
             names, `-` and `_` are the same. The other words are parameters, which are passed on unchanged. `\"` \
             keeps blanks and `;` inside a value. A `?` before the name makes the entry optional: its failure is \
             logged, and the boot goes on. Only a module index that is damaged or can't be read ends the VM all the \
             same, because it may hide other modules. A line that begins with `#` is a comment. Kata's array, \
             `[\"e1000e EEE=1\", \"i915\"]`, is a list as well. As in TOML, it may have several lines and comments. \
             Lines may end in CR LF, and a file may begin with a byte order mark.",
            "Four forms of other tools have two meanings, and are failures that say what to write: entries between \
             commas, a module's name in place of a parameter, single quotes, and a line that begins with `;`.",
            "A list on the command line can't contain a value with blanks. Write `module.parameter=\"a b\"` beside the \
             list, or put the list into a file.",
            "`@devices` is the entry for this VM's devices: the modaliases of all devices that have no driver are \
             requested where the entry stands, as aliases are. With `@devices=`BUS`,`BUS only the devices on these \
             buses count. A bus is what stands before the first `:` of a modalias: `pci`, `virtio`, `platform`, \
             `acpi`, `usb`, `scsi`, `hid`, `of`, `vmbus`, `xen`, `ccw`. The entry takes no parameters and no `?`, and \
             may stand several times. Behind the load of the list, the drivers for devices that others brought are \
             loaded in rounds, until there are no new modaliases, with the same `guest_init.jobs=`, \
             `guest_init.strict=` and `guest_init.keep_modules=`. A driver that fails is logged and passed over. A \
             device that is announced by `virtio_mmio.device=` asks for virtio_mmio, on the buses `virtio` and \
             `platform`.",
            "`@devices` means the devices that exist when guest-init looks, and those that their drivers bring. It \
             never waits for hardware that may come. Only USB is enumerated in the background. Behind a load \
             guest-init looks again every 10 ms while a USB hub is active and a device was new in the last 500 ms, \
             and while USB storage has no disk and a device was new in the last 2 s. It does not if buses are named \
             and `usb` is not among them. Devices that are on no bus, such as input devices, have no driver in this \
             sense: name `evdev` in the list.",
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
             `guest_init.module_dir=/lib/modules guest_init.module_dir=virtiofs:TAG:/modules`. All are for the \
             running kernel. A module's name means the first tree that has the module; an alias means the modules of \
             all trees. What a module needs of another tree is found by the module's own file, because its \
             modules.dep does not have it. modprobe.d and the soft dependencies count for the modules of all trees. \
             Beside the image's modprobe.d, the directory `modprobe.d` beside each other module directory counts.",
            "Firmware beside a module directory (`firmware`), or in `/lib/firmware` of its extension, share or disk, \
             reaches the kernel: the first directory of that kind becomes the value of `firmware_class.path`, unless \
             that is set. It stays after the agent has started. If the image has a `modprobe`, so do the module \
             trees, with the `modprobe.d` beside each. Only a share's or a disk's tree that is alone stays without \
             it, at `/lib/modules`. A `modprobe` that is not guest-init sees `/lib/modules` alone.",
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
            "An `install` line of modprobe.d replaces the load of a module by a command. `/bin/true` and `:` leave \
             the module out, and `/bin/false` refuses it. A command that consists of calls of `modprobe`, \
             `/sbin/modprobe` or `/usr/sbin/modprobe` is understood as well. A call names one module and may have \
             parameters, the options `-i`, `-b` and `-q` or their long forms, and `$CMDLINE_OPTS`. Calls, `true`, `:` \
             and `false` may be joined by `;`, `&&`, `||` and `{ ...; }`, and redirected to `/dev/null`. They succeed \
             and fail as in a shell: `modprobe -i a || true` passes over a failure of a.",
            "Other programs are passed over with a line in the log, if they follow a call behind `;` or `&&`, and no \
             further call depends on their exit status: `modprobe -i sunrpc $CMDLINE_OPTS && /sbin/sysctl -q \
             --system`. Any other command is a failure that quotes it.",
        ],
    ),
];
