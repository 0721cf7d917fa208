//! A VM, from its start to its end, which is bounded; and what its console said.

use std::process::{Command, Stdio};

use guest_init::failure::Code;

use super::image::Built;
use super::{Kernel, root};

/// Seconds after which a VM is ended and its test fails; a boot takes 3 to 8.
const LIMIT: &str = "90";

/// A VM in the making.
pub struct Vm {
    command: Command,
    append: String,
}

impl Vm {
    /// The kernel under test with this image.
    pub fn new(image: &Built) -> Self {
        Self::of(Kernel::under_test(), image)
    }

    /// Another kernel with this image.
    pub fn of(kernel: &Kernel, image: &Built) -> Self {
        let mut command = Command::new(root().join("scripts/vm"));
        command.args(["--timeout", LIMIT]).arg("--kernel").arg(&kernel.directory).arg("--initrd").arg(&image.path);
        Self { command, append: String::new() }
    }

    /// More options of scripts/vm.
    pub fn options<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(options);
        self
    }

    /// More words for the kernel command line.
    pub fn append(mut self, words: &str) -> Self {
        self.append.push(' ');
        self.append.push_str(words);
        self
    }

    /// Boots it and waits for its end.
    pub fn run(mut self) -> Console {
        self.command.args(["--append", &self.append]).stdin(Stdio::null());
        let output = self.command.output().expect("scripts/vm starts");
        let console = Console(String::from_utf8_lossy(&output.stdout).replace('\r', ""));
        assert!(
            output.status.success(),
            "scripts/vm: {}\n{}\n{console}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        console
    }
}

/// All that a VM said before it ended.
pub struct Console(String);

impl std::fmt::Display for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Console {
    /// Asserts that the agent ran to its end.
    pub fn agent_ran(self) -> Self {
        self.has("agent: ready").has("agent: done").has_not("Kernel panic")
    }

    /// Asserts that guest-init failed with this line, that the kernel panicked with its code, and that no agent ran.
    pub fn failed(self, code: Code, line: &str) -> Self {
        let line = format!("guest-init: failed: {line}");
        let panic = format!("Attempted to kill init! exitcode=0x0000{:02x}00", code as u8);
        self.has(&line).has(&format!("(exit {code})")).has(&panic).has_not("agent: ready")
    }

    /// Asserts that a line contains this text.
    pub fn has(self, text: &str) -> Self {
        assert!(self.0.lines().any(|line| line.contains(text)), "no line has `{text}`:\n{self}");
        self
    }

    /// Asserts that no line contains this text.
    pub fn has_not(self, text: &str) -> Self {
        assert!(!self.0.lines().any(|line| line.contains(text)), "a line has `{text}`:\n{self}");
        self
    }

    /// Asserts that lines with these texts follow one another, perhaps with others between them.
    pub fn in_order(self, texts: &[&str]) -> Self {
        let mut lines = self.0.lines();
        for text in texts {
            assert!(lines.any(|line| line.contains(text)), "no line has `{text}` in its turn:\n{self}");
        }
        self
    }

    /// The loaded modules that the agent's report lists, in the order of loading.
    pub fn modules(&self) -> Vec<&str> {
        let lines = self.0.lines().skip_while(|line| !line.starts_with("Modules: ")).skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        // Lines that continue a module's parameters are further in.
        lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect()
    }
}
