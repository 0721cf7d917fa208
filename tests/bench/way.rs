//! The ways from the kernel to the agent, and their images.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use tempfile::TempDir;

use crate::support::cost::{List, SHARE, SHARE_DRIVERS};
use crate::support::image::Built;
use crate::support::scene::busybox;
use crate::support::{Image, Kernel, built, root};

/// A way from the kernel to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// The program of tests/support/floor.c.
    #[value(skip)]
    Floor,
    /// guest-init with one job.
    GuestInit,
    /// guest-init with keep_modules=1: the modules' files stay in memory, as they do with all other ways.
    Keeping,
    /// guest-init with a job for each CPU.
    Parallel,
    /// busybox's sh, and one call of kmod's modprobe for all modules.
    All,
    /// busybox's sh, and a call of its modprobe for each module.
    Busybox,
    /// busybox's sh, and a call of kmod's modprobe for each module, as kata-agent does.
    Each,
    /// The init of Debian's initramfs-tools, in its own image.
    InitramfsTools,
    /// The init of dracut, in its own image.
    Dracut,
}

impl Way {
    /// The name of the way in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::GuestInit => "guest-init",
            Self::Keeping => "keep_modules=1",
            Self::Parallel => "jobs=auto",
            Self::All => "modprobe -a",
            Self::Busybox => "busybox modprobe",
            Self::Each => "modprobe each",
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
        }
    }

    /// Whether the way is guest-init's.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::GuestInit | Self::Keeping | Self::Parallel)
    }

    /// The tool that makes the way's image, unless it is guest-image.
    pub fn peer(self) -> Option<&'static str> {
        matches!(self, Self::InitramfsTools | Self::Dracut).then(|| self.name())
    }

    /// Whether the way can load modules from a share.
    pub fn shares(self) -> bool {
        !matches!(self, Self::Busybox | Self::InitramfsTools | Self::Dracut)
    }

    /// The words of the kernel command line that choose the way, with the modules in the image or on a share.
    pub fn words(self, list: &List, share: bool) -> String {
        let from = if share {
            format!("guest_init.module_dir=virtiofs:{SHARE}:/lib/modules share={SHARE}")
        } else {
            String::new()
        };
        let chosen = match self {
            Self::Floor if share => format!("rdinit=/sbin/floor floor=/bench/{}.share", list.name),
            Self::Floor => format!("rdinit=/sbin/floor floor=/bench/{}.floor", list.name),
            Self::GuestInit => "rdinit=/sbin/guest-init".into(),
            Self::Keeping => "rdinit=/sbin/guest-init guest_init.keep_modules=1".into(),
            Self::Parallel => "rdinit=/sbin/guest-init guest_init.jobs=auto".into(),
            Self::All => "rdinit=/bench/init way=all".into(),
            Self::Busybox => "rdinit=/bench/init way=busybox".into(),
            Self::Each => "rdinit=/bench/init way=each".into(),
            Self::InitramfsTools | Self::Dracut => return "quiet".into(),
        };
        format!("{} {from} {chosen}", list.words())
    }
}

/// An image for all of `lists`, with the programs of all ways but the peers'. rdinit= chooses a way.
pub fn common(kernel: &Kernel, lists: &[List]) -> Image {
    let image = lists.iter().fold(Image::of(kernel), |image, list| list.place(image, kernel));
    programs(image).modules(SHARE_DRIVERS).file("/mnt/nothing-is-mounted", "", 0o644)
}

/// The image with the programs of all ways but the peers'.
pub fn programs(image: Image) -> Image {
    with_kmod(image.add(Path::new(&busybox()), "/bin/busybox").add(&root().join(INIT), "/bench/init"))
}

/// The image that somebody would make for one way and one list.
pub fn own(way: Way, kernel: &Kernel, list: &List) -> Image {
    let shell = || {
        let image = without_guest_init(kernel, &root().join(INIT)).modules(&list.text);
        let image = image.add(Path::new(&busybox()), "/bin/busybox");
        image.file(&format!("/bench/{}", list.name), list.entries(), 0o644)
    };
    match way {
        Way::All | Way::Each => with_kmod(shell()),
        Way::Busybox => shell(),
        _ => Image::of(kernel).modules(&list.text),
    }
}

/// An image with the agent, and with another program in place of guest-init, at /bench/init.
pub fn without_guest_init(kernel: &Kernel, init: &Path) -> Image {
    Image::of(kernel).layout(LAYOUT).add(init, "/bench/init")
}

/// The shell's script as PID 1.
const INIT: &str = "tests/bench/init";

/// The layout of an image without guest-init.
const LAYOUT: &str = r#"
[directories]
"/proc" = 0o555
"/run" = 0o755
"/sys" = 0o555
[devices]
"/dev/console" = { kind = "char", major = 5, minor = 1, mode = 0o600 }
"/dev/null" = { kind = "char", major = 1, minor = 3, mode = 0o666 }
[links]
[programs]
"/bench/init" = { from = "init", mode = 0o755 }
"/sbin/agent" = { from = "agent", mode = 0o755 }
"#;

/// The image that a peer's tool makes for a list.
pub fn peers(tool: &str, kernel: &Kernel, list: &List) -> Built {
    let folder = TempDir::new().expect("a temporary folder");
    let (entries, image) = (folder.path().join("list"), folder.path().join("image"));
    std::fs::write(&entries, list.entries()).expect("the list can be written");
    let mut command = Command::new(root().join("tests/bench/peers"));
    command.arg(tool).arg(&kernel.directory).arg(&entries).arg(built().join("demo-agent")).arg(&image);
    let status = command.status().expect("tests/bench/peers starts");
    assert!(status.success(), "{tool}: {status}");
    Built::of(folder, image)
}

/// The image with kmod's modprobe and its libraries.
fn with_kmod(image: Image) -> Image {
    let output = Command::new("ldd").arg("/bin/kmod").output().expect("ldd starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let libraries: Vec<_> = text.split_whitespace().filter(|word| word.starts_with('/')).collect();
    assert!(libraries.len() > 1, "ldd /bin/kmod: {text}");
    let image = image.add(Path::new("/bin/kmod"), "/usr/bin/modprobe");
    libraries.iter().fold(image, |image, library| image.add(Path::new(library), library))
}
