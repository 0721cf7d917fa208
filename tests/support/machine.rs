//! The machines that boot tests run on: an architecture and a shape. All that differs between them stands here.

use std::env;
use std::sync::OnceLock;

/// What an architecture, or Debian's kernel for it, has of its own.
#[derive(Debug)]
pub struct Arch {
    /// Its name, as the scripts take it.
    pub name: &'static str,
    /// Its serial console.
    pub serial: &'static str,
    /// QEMU's device for a second serial port, and the port's number N in /dev/ttySN. Debian's kernels have the driver
    /// built in.
    pub second_serial: (&'static str, u8),
    /// Its C compiler on the host.
    pub compiler: &'static str,
    /// What that makes a program's dynamic loader.
    pub loader: &'static str,
    /// A driver for a device that no VM here has: it loads, with many modules before it, i2c-algo-bit among them.
    pub graphics: &'static str,
    /// A module whose own start fails, for want of something in the CPU.
    pub unfit: &'static str,
    /// What a function begins with that can be traced, and an instruction that jumps to itself.
    pub trace_site: &'static [u8],
    pub spin: &'static [u8],
    /// Words with which a kernel preempts itself; where there are none, CPUs that it takes for the other threads while a
    /// module's start spins.
    pub preempt: &'static str,
    pub spare: usize,
    /// A memory that the largest modules don't fit into, in MiB.
    pub tight: &'static str,
}

/// A network card: what the demonstration is about.
#[derive(Debug)]
pub struct Card {
    /// `--nic` of scripts/vm.
    pub nic: &'static str,
    /// Its entry in a list, with a parameter that its driver has, and EEE, which it has not.
    pub entry: &'static str,
    pub driver: &'static str,
    /// What is loaded first for it.
    pub first: &'static str,
    /// What shows that the parameter arrived.
    pub effect: &'static str,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    pub arch: &'static Arch,
    /// `--machine` of scripts/vm.
    pub name: &'static str,
    /// The module with which virtio devices are found, where it is one.
    pub virtio: &'static str,
    /// How QEMU's names of virtio devices end.
    pub bus: &'static str,
    pub card: &'static Card,
    /// Whether a device tells the host of a panic, with a driver for it. Debian's arm64 kernels have none.
    pub pvpanic: bool,
}

static X86_64: Arch = Arch {
    name: "x86_64",
    serial: "ttyS0",
    second_serial: ("isa-serial,index=1", 1),
    compiler: "x86_64-linux-gnu-gcc",
    loader: "/lib64/ld-linux-x86-64.so.2",
    graphics: "i915",
    unfit: "kvm_intel",
    trace_site: b"\xe8\0\0\0\0",
    spin: b"\xeb\xfe",
    preempt: "preempt=full",
    spare: 0,
    tight: "116",
};

static AARCH64: Arch = Arch {
    name: "aarch64",
    serial: "ttyAMA0",
    second_serial: ("pci-serial", 0),
    compiler: "aarch64-linux-gnu-gcc",
    loader: "/lib/ld-linux-aarch64.so.1",
    graphics: "nouveau",
    unfit: "sha512_ce",
    trace_site: b"\x1f\x20\x03\xd5\x1f\x20\x03\xd5",
    spin: b"\0\0\0\x14",
    preempt: "",
    spare: 1,
    tight: "88",
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

/// The first of an architecture is the one that is meant where none is named.
static MACHINES: [Machine; 4] = [
    Machine { arch: &X86_64, name: "q35", virtio: "virtio_pci", bus: "pci", card: &E1000E, pvpanic: true },
    Machine { arch: &X86_64, name: "microvm", virtio: "virtio_mmio", bus: "device", card: &VIRTIO_NET, pvpanic: false },
    Machine { arch: &AARCH64, name: "virt", virtio: "virtio_pci", bus: "pci", card: &E1000E, pvpanic: false },
    Machine {
        arch: &AARCH64,
        name: "virt-mmio",
        virtio: "virtio_mmio",
        bus: "device",
        card: &VIRTIO_NET,
        pvpanic: false,
    },
];

impl Machine {
    /// The machine that boot tests run on: the environment's `MACHINE` of its `KERNEL_ARCH`, or that one's first, or this
    /// machine's own.
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

    /// That of the same architecture whose virtio devices are memory-mapped.
    pub fn memory_mapped(&self) -> &'static Self {
        let wanted = |machine: &&Self| machine.arch.name == self.arch.name && machine.bus == "device";
        MACHINES.iter().find(wanted).expect("each architecture has one")
    }
}
