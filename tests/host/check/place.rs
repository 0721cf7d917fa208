//! A folder with a guest's root and a small module tree, in which guest-image runs.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use crate::support::folder::Folder;
use crate::support::module::module;
use crate::support::program::init;

/// The vermagic of the small tree's kernel.
pub const MAGIC: &str = "vermagic=1.0 SMP preempt mod_unload ";

/// `net` needs `bus`, and has the soft dependency `soft`, whose file is missing. `old` was built for another kernel,
/// and `kin` for one with the same symbols. `torn` is cut short, and `broken` is no module.
const DEP: &str = "kernel/net.ko: kernel/bus.ko\nkernel/bus.ko:\nkernel/old.ko:\nkernel/kin.ko:\nkernel/torn.ko:\n\
                   kernel/broken.ko:\nkernel/soft.ko:\n";

/// The folder.
pub struct Place(Folder);

impl Deref for Place {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

/// The result of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    /// A folder with a tree in root/lib/modules/1.0, and an agent.
    pub fn new() -> Self {
        let place = Self(Folder::new());
        let net = [
            MAGIC,
            "parmtype=speed:int",
            "parm=speed:how fast",
            "parmtype=names:array of charp",
            "parm=level:how much:really",
            "firmware=net/a.bin",
            "firmware=net/b-*.bin",
        ];
        let of_other = "vermagic=0.9 SMP preempt mod_unload ";
        place.tree("kernel/net.ko", module(&net, b""));
        place.tree("kernel/bus.ko", module(&[MAGIC], b""));
        place.tree("kernel/old.ko", module(&[of_other], b""));
        place.tree("kernel/kin.ko", module(&[of_other], b"crc"));
        place.tree("kernel/torn.ko", &module(&[MAGIC], b"")[..100]);
        place.tree("kernel/broken.ko", "#!/bin/sh\n");
        place.tree("modules.dep", DEP);
        place.tree("modules.alias", "alias pci:v1* net\n");
        place.tree("modules.builtin", "kernel/inside.ko\n");
        place.tree("modules.softdep", "softdep net pre: soft\n");
        place.file("root/sbin/agent", init());
        fs::set_permissions(place.path("root/sbin/agent"), PermissionsExt::from_mode(0o755)).unwrap();
        place
    }

    /// Writes a file of the tree.
    pub fn tree(&self, path: &str, content: impl AsRef<[u8]>) {
        self.file(&format!("root/lib/modules/1.0/{path}"), content);
    }

    /// Writes the header of a bzImage of a release, as vmlinuz.
    pub fn kernel(&self, release: &str) {
        let mut image = vec![0; 0x400];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&u16::to_le_bytes(0x100));
        image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
        image[0x300 + release.len()] = b' ';
        self.file("vmlinuz", image);
    }

    /// `guest-image ARGUMENT…` in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
        command.current_dir(self.path("")).args(arguments).stdin(Stdio::null());
        ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"].into_iter().for_each(|name| {
            command.env_remove(name);
        });
        command
    }

    /// Runs `guest-image ARGUMENT…` in this folder.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(arguments).output().unwrap())
    }

    /// Runs `guest-image check --root root ARGUMENT…`.
    pub fn check(&self, arguments: &[&str]) -> Outcome {
        self.run(&[&["check", "--root", "root"], arguments].concat())
    }

    /// Runs `guest-image check --root root --json ARGUMENT…` and parses its output.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let outcome = self.check(&[&["--json"], arguments].concat());
        assert!(outcome.err.is_empty(), "{outcome:?}");
        serde_json::from_str(&outcome.out).unwrap()
    }
}

impl Outcome {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}
