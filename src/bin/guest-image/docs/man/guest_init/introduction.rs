//! guest-init(8): what guest-init does, and its command line.

use super::super::markup::Section;

/// The sections before the table of keys.
pub const INTRODUCTION: &[Section] = &[
    (
        "DESCRIPTION",
        &[
            "`guest-init` is the program of a VM image between the kernel and the agent. As PID 1 it mounts `/proc`, \
             `/sys`, `/dev` and `/run`, loads the kernel modules that the command line asks for, with their parameters \
             and dependencies, and becomes the agent. If any of that fails, it panics the VM and logs the reason.",
            "The kernel starts `guest-init` from an initramfs as `/init`, or with `rdinit=/sbin/guest-init`. From a \
             root disk, the kernel starts it with `init=/sbin/guest-init`. If anyone else starts it, or if it is PID \
             1 of a container, it prints the reason and changes nothing.",
        ],
    ),
    (
        "KERNEL COMMAND LINE",
        &[
            "An unknown key, a key that may stand once and stands twice, and a malformed value are failures that name \
             the word. Quoting is the kernel's: `\"` around a whole word or a value keeps its blanks, and there are \
             no escapes. A list with blanks needs quotes: `guest_init.modules=\"e1000e; i915\"`. Words behind ` -- ` \
             are the agent's arguments. If one of them looks like a word for guest-init or the kernel, such as \
             `root=`, guest-init logs a warning, because some VMMs add their words to the end of the command line.",
            "The kernel cuts a command line that is longer than its limit: 2,047 bytes on x86_64, aarch64 and ppc64le, \
             1,023 bytes on riscv64, 4,095 bytes on s390x. A command line of exactly that length is a failure, because \
             half a list may be missing. Put a long list into a file, and name the file with \
             `guest_init.modules_file=`.",
        ],
    ),
];
