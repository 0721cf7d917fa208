//! The folder that a recipe runs in, with the files that its reader has before the first command.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use guest_init::notification::Notification;

use crate::support::container::{self, Tar};
use crate::support::folder::Folder;
use crate::support::module::module;
use crate::support::{Kernel, built, root, script};

/// A folder for a recipe.
pub struct Place {
    folder: Folder,
    kernel: Kernel,
    /// The value of `$root`.
    root: PathBuf,
    /// The value of `$release`.
    release: String,
}

impl Place {
    pub fn for_recipe(name: &str) -> Self {
        let kernel = Kernel::of("x86_64", "6.1");
        let (root, release) = (kernel.directory.clone(), kernel.release.clone());
        let mut place = Self { folder: Folder::new(), kernel, root, release };
        fs::create_dir(place.work()).unwrap();
        fs::create_dir(place.folder.path("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_guest-image"), place.folder.path("bin/guest-image")).unwrap();
        match name {
            "kata" => {
                place.kata_initrd();
                place.kata_rootfs();
            }
            "extension" => place.kata_initrd(),
            "firecracker" | "cloud-hypervisor" => place.notification(),
            "container" => place.container(),
            "nvidia" => place.nvidia(),
            _ => {}
        }
        place
    }

    /// The folder in which the commands run.
    pub fn work(&self) -> PathBuf {
        self.folder.path("work")
    }

    /// Writes a file beside the folder in which the commands run.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.folder.file(name, content);
        self.folder.path(name)
    }

    /// The values that the page begins with, and those of the stand-ins.
    pub fn environment(&self) -> BTreeMap<&'static str, String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_string();
        let stand_ins = text(root().join("tests/host/recipes/stand-ins"));
        let path = [stand_ins, text(self.folder.path("bin")), std::env::var("PATH").unwrap()].join(":");
        BTreeMap::from([
            ("init", text(built().join("guest-init"))),
            ("agent", text(built().join("demo-agent"))),
            ("root", text(self.root.clone())),
            ("release", self.release.clone()),
            ("kernel", text(self.kernel.directory.join("vmlinuz"))),
            ("accel", "tcg,thread=single".into()),
            ("jails", text(self.folder.path("jails"))),
            ("PATH", format!("{path}:/usr/sbin:/sbin")),
            ("SCRIPTS", text(root().join("scripts"))),
            ("CALLS", text(self.folder.path("calls"))),
            ("STARTED", text(self.folder.path("started"))),
            ("ROOTFS", text(self.folder.path("rootfs.tar"))),
            ("LAYOUT", text(self.folder.path("layout"))),
        ])
    }

    /// The calls of programs that are not run, each with its arguments.
    pub fn calls(&self) -> Vec<Vec<String>> {
        let calls = fs::read_to_string(self.folder.path("calls")).unwrap_or_default();
        calls.split_terminator("\n\n").map(|call| call.lines().map(String::from).collect()).collect()
    }

    /// An initrd whose agent is /sbin/init.
    fn kata_initrd(&self) {
        let agent = fs::read(built().join("demo-agent")).unwrap();
        let mut archive = Vec::new();
        for (path, mode, content) in [("sbin", 0o040_755, &b""[..]), ("sbin/init", 0o100_755, &agent)] {
            let mut entry = cpio::newc::Builder::new(path).mode(mode).write(&mut archive, content.len() as u32);
            std::io::Write::write_all(&mut entry, content).unwrap();
            entry.finish().unwrap();
        }
        self.file("work/kata-initrd.img", cpio::newc::trailer(archive).unwrap());
    }

    /// A root file system whose init is the agent, and osbuilder's script beside it.
    fn kata_rootfs(&self) {
        let rootfs = self.work().join("rootfs");
        fs::create_dir_all(rootfs.join("usr/sbin")).unwrap();
        fs::create_dir_all(rootfs.join("usr/lib")).unwrap();
        symlink("usr/sbin", rootfs.join("sbin")).unwrap();
        symlink("usr/lib", rootfs.join("lib")).unwrap();
        fs::copy(built().join("demo-agent"), rootfs.join("sbin/init")).unwrap();
        let script = root().join("tests/host/recipes/stand-ins/image_builder.sh");
        fs::copy(script, self.work().join("image_builder.sh")).unwrap();
    }

    /// The kernel, and what guest-init sends when it starts the agent.
    fn notification(&self) {
        symlink(self.kernel.directory.join("vmlinux"), self.work().join("vmlinux")).unwrap();
        let [total, loading, since_boot] = [3, 1, 9].map(Duration::from_millis);
        let started = Notification::Started { agent: b"/sbin/agent", modules: 1, total, loading, since_boot };
        self.file("started", format!("{started}\n"));
    }

    /// A container with a shell, as a tar file and as an OCI image layout.
    fn container(&self) {
        let busybox = fs::read(script("busybox", &["--arch", "x86_64"])).unwrap();
        let tar = Tar::new().file("bin/busybox", 0o755, busybox).link("bin/sh", "busybox").link("bin/ls", "busybox");
        let tar = tar.link("bin/poweroff", "busybox").bytes();
        self.file("rootfs.tar", &tar);
        self.file("layout/blobs/.keep", "");
        let layout = self.folder.path("layout");
        container::index(&layout, &[container::image(&layout, "amd64", &[tar], &["/bin/sh"])]);
    }

    /// A root with a module tree whose modules have the names, parameters and firmware of NVIDIA's, and no code.
    fn nvidia(&mut self) {
        self.root = self.folder.path("driver");
        self.release = "6.1.0".into();
        let of_module = |strings: &[&str]| module(&[strings, &["vermagic=6.1.0 SMP"]].concat(), b"");
        let modules = [
            (
                "nvidia",
                &[
                    "firmware=nvidia/1.0/gsp.bin",
                    "parmtype=NVreg_EnableGpuFirmware:int",
                    "parmtype=NVreg_DeviceFileMode:int",
                    "parmtype=NVreg_RegistryDwords:charp",
                ][..],
            ),
            ("nvidia-modeset", &["depends=nvidia", "parmtype=modeset:bool"]),
            ("nvidia-uvm", &["depends=nvidia"]),
        ];
        let mut dep = String::new();
        for (name, strings) in modules {
            self.file(&format!("driver/lib/modules/6.1.0/updates/{name}.ko"), of_module(strings));
            let needs = if name == "nvidia" { "" } else { " updates/nvidia.ko" };
            dep += &format!("updates/{name}.ko:{needs}\n");
        }
        self.file("driver/lib/modules/6.1.0/modules.dep", dep);
        self.file("driver/lib/firmware/nvidia/1.0/gsp.bin", "firmware");
    }
}
