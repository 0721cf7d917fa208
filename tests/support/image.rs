//! Initramfs images for tests, which guest-image makes as it does for a user.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use super::{Kernel, built};

/// An image in the making.
pub struct Image {
    directory: TempDir,
    command: Command,
    compression: &'static str,
}

impl Image {
    /// An image for the kernel under test, with guest-init, the demonstration agent and no modules.
    pub fn new() -> Self {
        Self::of(Kernel::under_test())
    }

    /// The same for another kernel.
    pub fn of(kernel: &Kernel) -> Self {
        Self::started_by(kernel, &built().join("guest-init"))
    }

    /// The same with another init.
    pub fn started_by(kernel: &Kernel, init: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
        // The modules are as the kernel's package has them, so that a kernel with compressed modules is tested with
        // such modules.
        command.args(["build", "--quiet", "--module-files", "unchanged", "--release", &kernel.release]);
        command.arg("--module-dir").arg(kernel.directory.join("lib/modules"));
        command.arg("--init").arg(init);
        command.arg("--agent").arg(built().join("demo-agent"));
        Self { directory: TempDir::new().expect("a temporary directory"), command, compression: "none" }
    }

    /// Takes this compression in place of none.
    pub fn compressed(self, compression: &'static str) -> Self {
        Self { compression, ..self }
    }

    /// Adds the modules that a list needs.
    pub fn modules(self, list: &str) -> Self {
        self.options([list])
    }

    /// Adds options of `guest-image build`.
    pub fn options<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(options);
        self
    }

    /// Adds a file of the host's, in place of the image's own at that path.
    pub fn add(mut self, source: &Path, target: &str) -> Self {
        self.command.arg("--add").arg(format!("{}:{target}", source.display()));
        self
    }

    /// Adds a file with this content and mode.
    pub fn file(self, target: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        let source = self.scratch(content, mode);
        self.add(&source, target)
    }

    /// Takes another layout in place of initramfs/layout.toml.
    pub fn layout(self, text: &str) -> Self {
        let source = self.scratch(text, 0o644);
        self.options(["--layout", source.to_str().expect("a path in UTF-8")])
    }

    /// Makes the image.
    pub fn build(mut self) -> Built {
        let path = self.directory.path().join("initrd");
        self.command.args(["--compress", self.compression, "--output"]).arg(&path);
        let mut output = self.command.output();
        // ETXTBSY: a build of another stage is writing the program.
        for _ in 0..50 {
            if !output.as_ref().is_err_and(|error| error.kind() == ErrorKind::ExecutableFileBusy) {
                break;
            }
            sleep(Duration::from_millis(200));
            output = self.command.output();
        }
        let output = output.expect("guest-image starts");
        assert!(output.status.success(), "guest-image: {}", String::from_utf8_lossy(&output.stderr));
        Built { path, _directory: self.directory }
    }

    fn scratch(&self, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let number = std::fs::read_dir(self.directory.path()).expect("the directory is there").count();
        let path = self.directory.path().join(format!("file-{number}"));
        std::fs::write(&path, content).expect("the file can be written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("its mode can be set");
        path
    }
}

/// An image, whose file is removed with this value.
pub struct Built {
    /// The image's file.
    pub path: PathBuf,
    _directory: TempDir,
}

impl Built {
    /// An image that another tool made in a directory.
    pub fn of(directory: TempDir, path: PathBuf) -> Self {
        Self { path, _directory: directory }
    }
}
