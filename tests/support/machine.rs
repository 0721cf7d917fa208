//! The machines that boot tests run on, each an architecture and a shape, and every difference between them.

use std::env;
use std::sync::OnceLock;

/// The differences of an architecture, or of Debian's kernel for it.
#[derive(Debug)]
pub struct Arch {
    /// Its name, as the scripts take it.
    pub name: &'static str,
    /// The beginning of the name of its Rust target.
    pub rust: &'static str,
    /// Two versions of its kernel.
    pub kernels: [&'static str; 2],
    /// Its serial console.
    pub serial: &'static str,
    /// The device below /dev that the demonstration agent reports on, and its major and minor number.
    pub report: (&'static str, u32, u32),
    /// The first virtio console, if the VM has the device of `report` as well.
    pub virtio_console: &'static str,
    /// Its C compiler on the host.
    pub compiler: &'static str,
    /// The dynamic loader that this compiler names in its programs.
    pub loader: &'static str,
    /// A driver without a device here. It loads nevertheless, and needs many modules, i2c-algo-bit among them.
    pub graphics: &'static str,
    /// A module whose own start fails, because the CPU lacks something.
    pub unfit: &'static str,
    /// The place for the tracer at the beginning of a function, and an instruction that jumps to itself.
    pub trace_site: &'static [u8],
    pub spin: &'static [u8],
    /// While a module's start spins on a CPU, other threads of guest-init run because these words make the kernel
    /// preempt itself, or because the VM has this many CPUs more.
    pub preempt: &'static str,
    pub spare: usize,
    /// Too little memory for the largest modules, in MiB.
    pub tight: &'static str,
    /// More MiB than one allocation of the kernel's can have. The limit grows with the size of a page.
    pub too_much: usize,
    /// How a panic ends the VM.
    pub panic: Panic,
    /// The length of the longest command line that the kernel keeps, in bytes.
    pub longest_line: usize,
}

/// How a panic ends a VM, if none of its devices reports the panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panic {
    /// The kernel restarts the VM. The host does not learn why.
    Restarts,
    /// The kernel stops the CPU, and QEMU reports that as a panic (do_panic in arch/s390/kernel/ipl.c).
    Stops,
    /// The kernel reports the panic to the host by a call (rtas_os_term in arch/powerpc/kernel/rtas.c), and restarts.
    Reports,
}

/// The network card of the demonstration.
#[derive(Debug)]
pub struct Card {
    /// `--nic` of scripts/vm.
    pub nic: &'static str,
    /// The driver's entry in a list, with a parameter that it has, and EEE, which it does not have.
    pub entry: &'static str,
    pub driver: &'static str,
    /// The first module that is loaded for the driver.
    pub first: &'static str,
    /// A text that shows that the driver got its parameter.
    pub effect: &'static str,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    pub arch: &'static Arch,
    /// `--machine` of scripts/vm.
    pub name: &'static str,
    /// The driver of the bus that virtio devices are on, if the kernel has it as a module.
    pub virtio: &'static str,
    /// The end of QEMU's names of virtio devices.
    pub bus: &'static str,
    pub card: &'static Card,
    /// Whether the driver of QEMU's sound card finds its codec.
    pub codec: bool,
    /// Devices that report a panic to the host, as QEMU names them, with their drivers. Debian's arm64 kernels have no
    /// driver for any.
    pub panic_devices: &'static [(&'static str, &'static str)],
}

static X86_64: Arch = Arch {
    name: "x86_64",
    rust: "x86_64",
    kernels: ["6.1", "6.12"],
    serial: "ttyS0",
    report: ("ttyS1", 4, 65),
    virtio_console: "hvc0",
    compiler: "x86_64-linux-gnu-gcc",
    loader: "/lib64/ld-linux-x86-64.so.2",
    graphics: "i915",
    unfit: "kvm_intel",
    trace_site: b"\xe8\0\0\0\0",
    spin: b"\xeb\xfe",
    preempt: "preempt=full",
    spare: 0,
    tight: "116",
    panic: Panic::Restarts,
    longest_line: 2047,
    too_much: 5,
};

static AARCH64: Arch = Arch {
    name: "aarch64",
    rust: "aarch64",
    kernels: ["6.1", "6.12"],
    serial: "ttyAMA0",
    report: ("ttyS0", 4, 64),
    virtio_console: "hvc0",
    compiler: "aarch64-linux-gnu-gcc",
    loader: "/lib/ld-linux-aarch64.so.1",
    graphics: "nouveau",
    unfit: "sha512_ce",
    trace_site: b"\x1f\x20\x03\xd5\x1f\x20\x03\xd5",
    spin: b"\0\0\0\x14",
    preempt: "",
    spare: 1,
    tight: "88",
    panic: Panic::Restarts,
    longest_line: 2047,
    too_much: 5,
};

static RISCV64: Arch = Arch {
    name: "riscv64",
    rust: "riscv64gc",
    kernels: ["6.12", "7.2"],
    serial: "ttyS0",
    report: ("ttyS1", 4, 65),
    virtio_console: "hvc0",
    compiler: "riscv64-linux-gnu-gcc",
    loader: "/lib/ld-linux-riscv64-lp64d.so.1",
    graphics: "nouveau",
    unfit: "aes_riscv64",
    trace_site: b"\x01\0\x01\0\x01\0\x01\0",
    spin: b"\x6f\0\0\0",
    preempt: "",
    spare: 1,
    tight: "88",
    panic: Panic::Restarts,
    longest_line: 1023,
    too_much: 5,
};

static S390X: Arch = Arch {
    name: "s390x",
    rust: "s390x",
    kernels: ["6.1", "7.2"],
    serial: "ttysclp0",
    report: ("sclp_line0", 4, 64),
    virtio_console: "hvc0",
    compiler: "s390x-linux-gnu-gcc",
    loader: "/lib/ld64.so.1",
    // A network card's driver: Debian's kernels have no driver of graphics cards here.
    graphics: "igb",
    unfit: "kvm",
    trace_site: b"\xc0\x04\0\0\0\0",
    spin: b"\xa7\xf4\0\0",
    preempt: "",
    spare: 1,
    tight: "88",
    panic: Panic::Stops,
    longest_line: 4095,
    too_much: 5,
};

static PPC64LE: Arch = Arch {
    name: "ppc64le",
    rust: "powerpc64le",
    kernels: ["6.1", "7.2"],
    serial: "hvc0",
    report: ("hvc1", 229, 1),
    virtio_console: "hvc2",
    compiler: "powerpc64le-linux-gnu-gcc",
    loader: "/lib64/ld64.so.2",
    graphics: "nouveau",
    unfit: "kvm_hv",
    trace_site: b"\xa6\x02\x08\x7c\x01\0\0\x48",
    spin: b"\0\0\0\x48",
    preempt: "",
    spare: 1,
    tight: "128",
    panic: Panic::Reports,
    longest_line: 2047,
    too_much: 17,
};

static E1000E: Card = Card {
    nic: "e1000e",
    entry: "e1000e InterruptThrottleRate=3000,3000,3000 EEE=1",
    driver: "e1000e",
    first: "e1000e",
    effect: "Interrupt Throttling Rate (ints/sec) set to 3000",
};

static VIRTIO_NET: Card = Card {
    nic: "virtio-net",
    entry: "virtio_net csum=0 EEE=1",
    driver: "virtio_net",
    first: "failover",
    effect: "csum=N",
};

/// The first machine of an architecture is the one that is meant if none is named.
static MACHINES: [Machine; 8] = [
    Machine {
        arch: &X86_64,
        name: "q35",
        virtio: "virtio_pci",
        bus: "pci",
        card: &E1000E,
        codec: true,
        panic_devices: &[("pvpanic-pci", "pvpanic_pci"), ("pvpanic", "pvpanic_mmio")],
    },
    Machine {
        arch: &X86_64,
        name: "microvm",
        virtio: "virtio_mmio",
        bus: "device",
        card: &VIRTIO_NET,
        codec: false,
        panic_devices: &[("pvpanic", "pvpanic_mmio")],
    },
    Machine {
        arch: &AARCH64,
        name: "virt",
        virtio: "virtio_pci",
        bus: "pci",
        card: &E1000E,
        codec: true,
        panic_devices: &[],
    },
    Machine {
        arch: &AARCH64,
        name: "virt-mmio",
        virtio: "virtio_mmio",
        bus: "device",
        card: &VIRTIO_NET,
        codec: false,
        panic_devices: &[],
    },
    Machine {
        arch: &RISCV64,
        name: "virt",
        virtio: "virtio_pci",
        bus: "pci",
        card: &E1000E,
        codec: true,
        panic_devices: &[],
    },
    Machine {
        arch: &RISCV64,
        name: "virt-mmio",
        virtio: "virtio_mmio",
        bus: "device",
        card: &VIRTIO_NET,
        codec: false,
        panic_devices: &[],
    },
    Machine {
        arch: &S390X,
        name: "s390-ccw-virtio",
        // The kernel has virtio_ccw built in. The vsock device is on PCI.
        virtio: "virtio_pci",
        bus: "ccw",
        card: &VIRTIO_NET,
        codec: false,
        panic_devices: &[],
    },
    Machine {
        arch: &PPC64LE,
        name: "pseries",
        virtio: "virtio_pci",
        bus: "pci",
        card: &E1000E,
        codec: false,
        panic_devices: &[],
    },
];

impl Machine {
    /// The machine that boot tests run on: `MACHINE` of the architecture `KERNEL_ARCH`, both from the environment.
    /// Without the first it is the architecture's first machine, and without the second it is this computer's
    /// architecture.
    pub fn under_test() -> &'static Self {
        static MACHINE: OnceLock<&Machine> = OnceLock::new();
        MACHINE.get_or_init(|| {
            let arch = env::var("KERNEL_ARCH").unwrap_or_else(|_| env::consts::ARCH.into());
            let name = env::var("MACHINE").ok();
            let wanted =
                |machine: &&Self| machine.arch.name == arch && name.as_ref().is_none_or(|name| name == machine.name);
            MACHINES.iter().find(wanted).unwrap_or_else(|| panic!("no machine {name:?} of {arch}"))
        })
    }

    /// Whether the host learns of a panic that no device reports.
    pub fn reports_panics_without_device(&self) -> bool {
        self.arch.panic != Panic::Restarts
    }

    /// Whether the host learns of a panic, if the driver of a device that reports it is loaded.
    pub fn reports_panics(&self) -> bool {
        !self.panic_devices.is_empty() || self.reports_panics_without_device()
    }

    /// The reason in QEMU's event of the end of a VM that panicked, with the arguments of scripts/vm.
    pub fn end_of_panic(&self) -> &'static str {
        match self.arch.panic {
            Panic::Restarts | Panic::Reports => r#""reason": "guest-reset""#,
            Panic::Stops => r#""reason": "guest-panic""#,
        }
    }

    /// The machine of the same architecture whose virtio devices are memory-mapped.
    pub fn memory_mapped(&self) -> &'static Self {
        let wanted = |machine: &&Self| machine.arch.name == self.arch.name && machine.bus == "device";
        MACHINES.iter().find(wanted).expect("each architecture has one")
    }
}
