//! guest-init(8): guest-init as modprobe.

use super::super::markup::Section;

/// The section on modprobe.
pub const MODPROBE: &[Section] = &[(
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
         0xa0 ends a word of the kernel command line, as it does for the kernel. `POSIXLY_CORRECT` has no effect. If \
         a `.bin` index of built-in modules is missing, those of one alias have another order. libkmod's remarks on \
         lines of modprobe.d, on the kernel command line and on soft dependencies are not printed, nor is more with \
         `-vv`. With `-D` and `-n` a dependency whose file is missing is printed. An alias means at most 64 modules, \
         a request has at most 128 soft dependencies and 2,048 steps, a name at most 2,047 bytes, and the kernel \
         command line at most 64 KiB. Files in modprobe.d named `*.alias`, which kmod reads up to version 32, are not \
         read.",
        "If PID 1 calls modprobe and reads its output from a pipe, modprobe closes its output and exits 10 ms \
             later. kata-agent needs that time to wait for its child before its handler of SIGCHLD does.",
        "Kernels run `/sbin/modprobe` or `/usr/sbin/modprobe` to load modules on demand, and an image should have \
             guest-init at both. If one of them is missing, or `sysctl.kernel.modprobe=` names another path, and the \
             kernel's path does not exist, PID 1 sets it to the one that is guest-init.",
    ],
)];
