//! The cost of a list of modules, from the start of PID 1 to the agent's: lists, the floor's program, and the figures
//! of the agent's report.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list;
use guest_init::resolve::plan::{Action, Options, Plan};
use guest_init::resolve::tree::dep::module_of;

use super::{Console, Image, Kernel, Machine, root};

/// Folders of modules that load into a VM without their hardware, hundreds in all. The order decides which are taken
/// first.
const HARMLESS: [&str; 6] = [
    "kernel/fs/nls/",
    "kernel/net/sched/",
    "kernel/net/netfilter/xt_",
    "kernel/drivers/media/tuners/",
    "kernel/drivers/usb/serial/",
    "kernel/drivers/media/dvb-frontends/",
];
/// The most bytes of a list on the kernel command line, which has 2,048 bytes for all words. A longer list goes into a
/// file.
const MOST_WORDS: usize = 1500;

/// A list of modules.
#[derive(Clone, Debug)]
pub struct List {
    /// The list's name, and its file in the image: /bench/NAME.
    pub name: String,
    /// The value of guest_init.modules=.
    pub text: String,
}

impl List {
    /// The demonstration's list, with a parameter that exists and one that does not: on x86_64's 6.1 it is 12 modules.
    pub fn demonstration() -> Self {
        let graphics = Machine::under_test().arch.graphics;
        Self::new("demonstration", &format!("e1000e InterruptThrottleRate=3000,3000,3000 EEE=1; {graphics}"))
    }

    /// 8 names that a Kata VM may be asked for. With dependencies they are 25 modules on x86_64's 6.1.
    pub fn eight() -> Self {
        let names = "virtiofs; virtio_net; virtio_blk; overlay; vmw_vsock_virtio_transport; virtio_console";
        Self::new("eight", &format!("e1000e; {}; {names}", Machine::under_test().arch.graphics))
    }

    /// 6 virtio drivers.
    pub fn virtio() -> Self {
        let names = "virtio_net; virtio_blk; virtio_console; virtiofs; vmw_vsock_virtio_transport; virtio_balloon";
        Self::new("virtio", names)
    }

    /// A list of this many modules with their dependencies, which need no hardware: the first of the kernel's tree.
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

    /// A list with a name.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The files that guest-init loads, in its order, each with its parameters.
    pub fn plan(&self, kernel: &Kernel) -> Vec<String> {
        let modules = kernel.directory.join("lib/modules");
        let files = ModuleTrees::open(modules.to_str().expect("a path in UTF-8"), &kernel.release, &[]);
        let files = files.unwrap_or_else(|failure| panic!("{failure}"));
        let config = files.config(ModuleWords::NONE);
        let mut entries = Vec::new();
        list::read(self.text.as_bytes(), &self.name, &mut |entry| {
            entries.push(entry.expect("the list is well formed"))
        });
        let mut plan = Plan::new(files.sources(&config));
        plan.add_all(&entries, &[b""; 0], Options::default(), &mut |entry, failure| panic!("{entry}: {failure}"));
        let loads = plan.steps().iter().filter_map(|step| match step.action {
            Action::Load(file) if plan.earlier_steps(step).next().is_none() => {
                Some(format!("{} {}", String::from_utf8_lossy(file.path), plan.parameters(step)))
            }
            _ => None,
        });
        loads.map(|line| line.trim_end().into()).collect()
    }

    /// The names of the modules that guest-init loads, in its order.
    pub fn modules(&self, kernel: &Kernel) -> Vec<String> {
        let name = |line: &String| {
            let path = line.split(' ').next().unwrap_or_default();
            String::from_utf8_lossy(module_of(path.as_bytes())).replace('-', "_")
        };
        self.plan(kernel).iter().map(name).collect()
    }

    /// Adds the list's modules to an image, the floor's program, and the files that [`Self::words`] names. One more
    /// file is the floor's list if the modules are on the virtio-fs share [`SHARE`], which has the host's folder of the
    /// kernel.
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

    /// The list with one entry a line.
    pub fn entries(&self) -> String {
        let entries = self.text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(|entry| format!("{entry}\n")).collect()
    }

    /// The words of the kernel command line that name the list to every PID 1, the same for all of them.
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
/// The drivers that mounting a share needs.
pub const SHARE_DRIVERS: &str = "virtiofs; virtio_pci";

/// The program of tests/support/floor.c.
pub fn floor() -> &'static Path {
    static FLOOR: OnceLock<PathBuf> = OnceLock::new();
    FLOOR.get_or_init(|| {
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("floor-{}", Machine::under_test().arch.name));
        let flags = "-O2 -static -nostdlib -ffreestanding -fno-stack-protector -Wall -Werror -o";
        let mut command = Command::new(Machine::under_test().arch.compiler);
        let status = command
            .args(flags.split(' '))
            .arg(&output)
            .arg(root().join("tests/support/floor.c"))
            .status()
            .expect("the compiler starts");
        assert!(status.success(), "the compiler: {status}");
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

/// From the start of PID 1 to the agent's, in thousands of ns, or with --icount in thousands of instructions.
pub fn to_agent(console: &Console) -> u64 {
    thousands(console, "PID 1's start to now")
}

/// From the start of the kernel to the agent's, in the same units.
pub fn from_kernel(console: &Console) -> u64 {
    thousands(console, "kernel's start to now")
}

/// The figure of a row of the agent's report, which is in ms with three decimal places.
fn thousands(console: &Console, row: &str) -> u64 {
    let line = console.report().find_map(|line| line.trim_start().strip_prefix(row));
    let number = line.and_then(|line| line.split_whitespace().next()?.replace('.', "").parse().ok());
    number.unwrap_or_else(|| panic!("the agent's report has no {row}:\n{console}"))
}
