//! The kernels that tests use, as scripts/kernel unpacks them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::machine::Machine;
use super::scripts::script;

/// A kernel that scripts/kernel has unpacked.
pub struct Kernel {
    /// Holds `vmlinuz` and `lib/modules/RELEASE`.
    pub directory: PathBuf,
    /// The kernel's `uname -r`.
    pub release: String,
}

impl Kernel {
    /// The kernel that boot tests run on: `KERNEL_VERSION`, or the one that is booted unless another is named.
    pub fn under_test() -> &'static Self {
        static KERNEL: OnceLock<Kernel> = OnceLock::new();
        KERNEL.get_or_init(|| Self::version(&std::env::var("KERNEL_VERSION").unwrap_or_default()))
    }

    /// One of the versions that scripts/kernel knows for the architecture under test; if empty, its own choice.
    pub fn version(version: &str) -> Self {
        Self::of(Machine::under_test().arch.name, version)
    }

    /// One of the versions that scripts/kernel knows for an architecture; if empty, its own choice.
    pub fn of(arch: &str, version: &str) -> Self {
        let directory = PathBuf::from(script("kernel", &["--arch", arch, version]));
        let release = std::fs::read_to_string(directory.join("release")).expect("the kernel has a release file");
        Self { directory, release: release.trim().into() }
    }

    /// A kernel of another version than the one under test.
    pub fn another() -> Self {
        let [first, second] = Machine::under_test().arch.kernels;
        let is_first = Self::under_test().release.starts_with(&format!("{first}."));
        Self::version(if is_first { second } else { first })
    }

    /// The module tree.
    pub fn modules(&self) -> PathBuf {
        self.directory.join("lib/modules").join(&self.release)
    }

    /// The bytes of a module's file, decompressed.
    pub fn plain(&self, name: &str) -> Vec<u8> {
        let (file, _) = self.module(name);
        let program = if file.extension().is_some_and(|extension| extension == "xz") { "xzcat" } else { "cat" };
        Command::new(program).arg(&file).output().expect("the module can be read").stdout
    }

    /// The file of a module, by its name with `_`, and its path below the tree.
    pub fn module(&self, name: &str) -> (PathBuf, String) {
        let dep = std::fs::read_to_string(self.modules().join("modules.dep")).expect("the tree has a modules.dep");
        let is_file_of = |path: &&str| {
            let file = path.rsplit('/').next().unwrap_or_default();
            file.split('.').next().unwrap_or_default().replace('-', "_") == name
        };
        let mut paths = dep.lines().filter_map(|line| line.split(':').next());
        let path = paths.find(is_file_of).unwrap_or_else(|| panic!("{} has no module {name}", self.release));
        (self.modules().join(path), path.into())
    }
}
