//! guest-init(8): the agent, the host, security, and failures.

use super::super::markup::Section;

/// The sections on the hand-off and on failures.
pub const ENDING: &[Section] = &[
    (
        "AGENT",
        &["The agent replaces guest-init and so is PID 1. It has the environment, signals, limits and working \
             directory that the kernel gave to guest-init, and descriptors 0 to 2 open, and no others. `/proc`, \
             `/sys`, `/dev` and `/run` are mounted. File systems that were mounted before stay as they were."],
    ),
    (
        "NOTIFICATIONS",
        &[
            "`guest_init.notify=` names a channel on which the host hears why the VM failed, or that the agent is \
             started. `guest-image listen` receives it, and so does whatever understands sd_notify(3) over vsock, \
             such as systemd-vmspawn. `systemd.set_credential=vmm.notify_socket:`ADDRESS means the same, if the key \
             is absent.",
            "`vsock-stream:2:`PORT connects to a port of the host, with CID 2. Firecracker and Cloud Hypervisor have \
             only that type. `vsock-seqpacket:` and `vsock-dgram:` are the other types, and `vsock:` is the first \
             that can be connected of datagram, seqpacket and stream. `virtio-port:`NAME is the virtio-serial port of \
             that name.",
            "Each message has a connection of its own. It consists of lines KEY=VALUE and an empty line. On a failure \
             these are `STATUS` (the line of the kernel log), `ERRNO`, `EXIT_STATUS` (the code as a decimal number), \
             `X_GUEST_INIT_CODE` (`0x42`), `X_GUEST_INIT_STAGE` and `X_GUEST_INIT_SUBJECT`. Before the agent starts \
             they are `STATUS=agent started`, `X_GUEST_INIT_AGENT`, `X_GUEST_INIT_MODULES` (the modules that the \
             lists loaded), `X_GUEST_INIT_USEC` (microseconds since guest-init read the command line), \
             `X_GUEST_INIT_LOAD_USEC` (of these, planning and loading) and `X_GUEST_INIT_BOOT_USEC` (microseconds \
             since the kernel's start). `READY=1` is the agent's to send. If the agent's file shows that the kernel \
             will refuse it, only the failure is sent. If the kernel refuses it for another reason, a failure \
             follows.",
            "The drivers of the channel are loaded before the lists are read, without the parameters that a list has \
             for them: write these as `module.parameter=value`. The image needs `vmw_vsock_virtio_transport` for \
             vsock or `virtio_console` for a port, and `virtio_pci` or `virtio_mmio`, unless they are built in. If a \
             list loads the driver from a share or a disk, the channel is opened before the agent starts. A failure \
             that comes earlier loads them after its line is logged. A deadline that passes, and a crash, are sent \
             if the channel is open, and the panic then comes up to 500 ms later. While a \
             module spins on a CPU, vsock may carry nothing, because it needs the kernel's threads of that CPU. A port \
             does not.",
            "No notification is a reason to fail. guest-init waits at most 250 ms for the connection, and at most 500 \
             ms until the host has closed it, or the virtio-serial device has taken the message. If nobody listens, \
             that is a warning in the log. The agent inherits no descriptor, and can use the same port.",
        ],
    ),
    (
        "SECURITY",
        &[
            "The command line, lists, indexes, module files, shares and disks are read as hostile input. A share or a \
             disk with a list or a module tree is mounted read-only, nosuid, nodev and noexec, at no path. Only \
             regular files on it are opened. It is unmounted before the agent starts. These directories stay mounted, \
             read-only: the module tree, if the image has `/sbin/modprobe`, at `/lib/modules`, or, beside other trees \
             and with its `modprobe.d`, below `/run/guest-init/`N, where N is the place on the command line, counted \
             from 0; and the directory in which the kernel looks for firmware, at `/run/guest-init/firmware`.",
            "Whoever trusts the command line, and the disks no more than the host, names each disk with its verity \
             parameters. Then neither a disk that was changed nor one that was exchanged is read. Name a disk in the \
             same way everywhere: the serial number is what the host says.",
            "With `guest_init.lock_modules=1` nothing can load a module after the agent has started.",
        ],
    ),
];

/// The section before the table of failures.
pub const EXIT_STATUS: &[Section] = &[(
    "EXIT STATUS",
    &[
        "A failure is one record at emergency level on the kernel log, and then a panic. The kernel's panic line \
             shows the code as `exitcode=0x0000`CODE`00`: `exitcode=0x00003200` is code `0x32`. A `kernel.panic` of 0 \
             is set to -1, unless the command line has `panic=`, so that the VM ends.",
        "The line on the kernel log ends in the code, such as `(exit 0x32)`. If the deadline passes, or if guest-init \
         crashes while several threads load modules, the VM panics through `/proc/sysrq-trigger`. The panic line then \
         has no code, and the line on the kernel log ends in `(code 0x60)` or `(code 0x70)`.",
        "Without guest-init's own line, an exit code on the panic line may be the agent's own status.",
        "If `console=` names a virtio console whose driver is not loaded yet, guest-init loads the driver from \
             `guest_init.module_dir` before it logs the failure. If the VM has a pvpanic device without a driver, \
             guest-init loads `pvpanic_pci` or `pvpanic_mmio` after that, so that the host learns of the panic. A \
             deadline that passes, and a crash of guest-init, load nothing.",
        "Below each code stands what to look at.",
    ],
)];
