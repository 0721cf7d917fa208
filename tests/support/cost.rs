//! What a list of modules costs from the start of PID 1 to the agent's: lists, the floor below them, and what the agent
//! says of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use guest_init::guest::modules::tree::ModuleTree;
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list;
use guest_init::resolve::plan::{Action, Plan};
use guest_init::resolve::tree::dep::module_of;

use super::{Console, Image, Kernel, root};

/// How the paths of modules begin of which hundreds load into a VM without their hardware, in this order.
const HARMLESS: [&str; 6] = [
    "kernel/fs/nls/",
    "kernel/net/sched/",
    "kernel/net/netfilter/xt_",
    "kernel/drivers/media/tuners/",
    "kernel/drivers/usb/serial/",
    "kernel/drivers/media/dvb-frontends/",
];
/// The longest list for the kernel command line, of whose 2,048 bytes others take a part. A longer one goes into a file.
const MOST_WORDS: usize = 1500;

/// A list of modules.
#[derive(Clone, Debug)]
pub struct List {
    /// What it is called here, and in the image: /bench/NAME.
    pub name: String,
    /// As guest_init.modules= takes it.
    pub text: String,
}

impl List {
    /// The demonstration's, 12 modules on 6.1, with a parameter and an unknown one.
    pub fn demonstration() -> Self {
        Self::new("demonstration", "e1000e InterruptThrottleRate=3000,3000,3000 EEE=1; i915")
    }

    /// 8 names that a Kata VM may be asked for, with their dependencies 25 modules on 6.1.
    pub fn eight() -> Self {
        let names =
            "e1000e; i915; virtiofs; virtio_net; virtio_blk; overlay; vmw_vsock_virtio_transport; virtio_console";
        Self::new("eight", names)
    }

    /// 6 names of virtio drivers.
    pub fn virtio() -> Self {
        let names = "virtio_net; virtio_blk; virtio_console; virtiofs; vmw_vsock_virtio_transport; virtio_balloon";
        Self::new("virtio", names)
    }

    /// A list that takes exactly so many modules, which need no hardware: the first of the kernel's own.
    pub fn of_size(kernel: &Kernel, count: usize) -> Self {
        let dep = std::fs::read_to_string(kernel.modules().join("modules.dep")).expect("the tree has a modules.dep");
        let names = HARMLESS.iter().flat_map(|start| {
            let mut paths: Vec<_> = dep.lines().filter_map(|line| line.split(':').next()).collect();
            paths.retain(|path| path.starts_with(start));
            paths.sort_unstable();
            paths.into_iter().map(|path| String::from_utf8_lossy(module_of(path.as_bytes())))
        });
        let mut taken = Self::new(&format!("{count}-modules"), "");
        for name in names {
            let more = Self { text: format!("{}{name}; ", taken.text), ..taken.clone() };
            match more.plan(kernel).len() {
                length if length <= count => taken = more,
                _ => continue,
            }
            if taken.plan(kernel).len() == count {
                break;
            }
        }
        assert_eq!(taken.plan(kernel).len(), count, "{}", taken.text);
        taken
    }

    fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The files that guest-init would load, each with its parameters behind it.
    pub fn plan(&self, kernel: &Kernel) -> Vec<String> {
        let modules = kernel.directory.join("lib/modules");
        let files = ModuleTree::open(modules.to_str().expect("a path in UTF-8"), &kernel.release, &[]);
        let files = files.unwrap_or_else(|failure| panic!("{failure}"));
        let config = files.config(ModuleWords::NONE);
        let mut entries = Vec::new();
        list::read(self.text.as_bytes(), &self.name, &mut |entry| {
            entries.push(entry.expect("the list is well formed"))
        });
        let mut plan = Plan::new(files.sources(&config));
        plan.add_all(&entries, &mut |entry, failure| panic!("{}: {failure}", entry.name));
        let loads = plan.steps().iter().filter_map(|step| match step.action {
            Action::Load(path) if plan.earlier_steps(step).next().is_none() => {
                Some(format!("{} {}", String::from_utf8_lossy(path), plan.parameters(step)))
            }
            _ => None,
        });
        loads.map(|line| line.trim_end().into()).collect()
    }

    /// The names of these modules.
    pub fn modules(&self, kernel: &Kernel) -> Vec<String> {
        let name = |line: &String| {
            let path = line.split(' ').next().unwrap_or_default();
            String::from_utf8_lossy(module_of(path.as_bytes())).replace('-', "_")
        };
        self.plan(kernel).iter().map(name).collect()
    }

    /// Puts its modules into an image, the floor, and the files that [`Self::words`] name; and with a `share`, one for
    /// modules on a virtio-fs share of that tag, in which the tree lies as on the host.
    pub fn place(&self, image: Image, kernel: &Kernel) -> Image {
        let lines = |list: &Self, modules: &str| -> String {
            list.plan(kernel).iter().map(|line| format!("{modules}/{}/{line}\n", kernel.release)).collect()
        };
        let drivers = lines(&Self::new("", SHARE_DRIVERS), "/lib/modules");
        let shared = lines(self, "/mnt/lib/modules");
        image
            .modules(&self.text)
            .add(floor(), "/sbin/floor")
            .file(&format!("/bench/{}", self.name), self.entries(), 0o644)
            .file(&format!("/bench/{}.floor", self.name), lines(self, "/lib/modules"), 0o644)
            .file(&format!("/bench/{}.share", self.name), format!("{drivers}{SHARE}\n{shared}"), 0o644)
    }

    /// An entry a line.
    pub fn entries(&self) -> String {
        let entries = self.text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(|entry| format!("{entry}\n")).collect()
    }

    /// What tells each PID 1 of the list, on the kernel command line, so that it is the same for all.
    pub fn words(&self) -> String {
        let Self { name, text } = self;
        let asked = match text.len() {
            ..=MOST_WORDS => format!("guest_init.modules=\"{text}\""),
            _ => format!("guest_init.modules_file=/bench/{name}"),
        };
        format!("quiet list=/bench/{name} floor=/bench/{name}.floor {asked}")
    }
}

/// The tag of the share with the kernel's module tree.
pub const SHARE: &str = "kernel";
/// What mounting a share takes.
pub const SHARE_DRIVERS: &str = "virtiofs; virtio_pci";

/// tests/support/floor.c, compiled.
pub fn floor() -> &'static Path {
    static FLOOR: OnceLock<PathBuf> = OnceLock::new();
    FLOOR.get_or_init(|| {
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("floor");
        let flags = "-O2 -static -nostdlib -ffreestanding -fno-stack-protector -Wall -Werror -o";
        let mut command = Command::new("cc");
        let status = command
            .args(flags.split(' '))
            .arg(&output)
            .arg(root().join("tests/support/floor.c"))
            .status()
            .expect("cc starts");
        assert!(status.success(), "cc: {status}");
        output
    })
}

/// The same image with the indexes of the kernel's whole tree.
pub fn with_all_indexes(image: Image, kernel: &Kernel) -> Image {
    let files = std::fs::read_dir(kernel.modules()).expect("the tree can be read").map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
    files.sort_unstable();
    files.iter().fold(image, |image, path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        image.add(path, &format!("/lib/modules/{}/{name}", kernel.release))
    })
}

/// From the start of PID 1 to the agent's in thousands: of ns, or with --icount of instructions.
pub fn to_agent(console: &Console) -> u64 {
    thousands(console, "PID 1's start to now")
}

/// The same from the start of the kernel.
pub fn from_kernel(console: &Console) -> u64 {
    thousands(console, "kernel's start to now")
}

/// A row of the agent's report in ms with three places.
fn thousands(console: &Console, row: &str) -> u64 {
    let line = console.report().find_map(|line| line.trim_start().strip_prefix(row));
    let number = line.and_then(|line| line.split_whitespace().next()?.replace('.', "").parse().ok());
    number.unwrap_or_else(|| panic!("the agent does not say {row}:\n{console}"))
}
