//! A VM, from its start to its end, which is bounded; and what its console said.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use guest_init::failure::Code;

use super::image::Built;
use super::{Kernel, Machine, root};

/// Seconds after which a VM is ended and its test fails; a boot takes 3 to 8.
const LIMIT: &str = "90";
/// Seconds between PID 1's start and the VM's panic, where the command line does not say.
const DEADLINE: f64 = 30.0;
/// Seconds for what is before and after the deadline: on a busy machine, the mounts and the panic itself.
const SLACK: f64 = 5.0;

/// A VM in the making.
pub struct Vm {
    command: Command,
    append: String,
    options: Vec<String>,
}

impl Vm {
    /// The kernel under test with this image.
    pub fn new(image: &Built) -> Self {
        Self::of(Kernel::under_test(), image)
    }

    /// Another kernel with this image.
    pub fn of(kernel: &Kernel, image: &Built) -> Self {
        let mut command = Command::new(root().join("scripts/vm"));
        let machine = Machine::under_test();
        command.args(["--arch", machine.arch.name, "--machine", machine.name]);
        command.args(["--timeout", LIMIT]).arg("--kernel").arg(&kernel.directory).arg("--initrd").arg(&image.path);
        Self { command, append: String::new(), options: Vec::new() }
    }

    /// More options of scripts/vm.
    pub fn options<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        self.options.extend(options.into_iter().map(String::from));
        self
    }

    /// More words for the kernel command line.
    pub fn append(mut self, words: &str) -> Self {
        self.append.push(' ');
        self.append.push_str(words);
        self
    }

    /// Boots it and waits for its end.
    pub fn run(self) -> Console {
        self.watched(|_| {})
    }

    /// The same, and shows each line of the console to `watch` when it comes.
    pub fn watched(mut self, mut watch: impl FnMut(&str)) -> Console {
        if !self.append.is_empty() {
            self.command.args(["--append", &self.append]);
        }
        self.command.args(&self.options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut vm = self.command.spawn().expect("scripts/vm starts");
        let mut console = Console { text: String::new(), deadline: self.deadline() };
        for line in BufReader::new(vm.stdout.take().expect("a pipe")).split(b'\n') {
            let line = String::from_utf8_lossy(&line.expect("the console can be read")).replace('\r', "");
            watch(&line);
            console.text += &(line + "\n");
        }
        let output = vm.wait_with_output().expect("scripts/vm ends");
        assert!(
            output.status.success(),
            "scripts/vm: {}\n{}\n{console}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        console
    }

    /// What the kernel command line has as the deadline.
    fn deadline(&self) -> f64 {
        let mut words = self.options.iter().chain([&self.append]).flat_map(|text| text.split_whitespace());
        let value = words.find_map(|word| word.strip_prefix("guest_init.deadline="));
        value.map_or(DEADLINE, |value| value.parse().expect("a number of seconds"))
    }
}

/// All that a VM said before it ended.
pub struct Console {
    text: String,
    deadline: f64,
}

impl std::fmt::Display for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Console {
    /// What was written to a console, as text.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { text: String::from_utf8_lossy(&bytes).replace('\r', ""), deadline: DEADLINE }
    }

    /// Asserts that the agent ran to its end.
    pub fn agent_ran(self) -> Self {
        self.has("agent: ready").has("agent: done").has_not("Kernel panic")
    }

    /// Asserts that guest-init failed with this line, that the kernel panicked with its code, in time, and that no agent
    /// ran.
    pub fn failed(self, code: Code, line: &str) -> Self {
        let line = format!("guest-init: failed: {line}");
        let panic = format!("Attempted to kill init! exitcode=0x0000{:02x}00", code as u8);
        self.has(&line).has(&format!("(exit {code})")).has(&panic).has_not("agent: ready").in_time()
    }

    /// Asserts that the deadline's thread ended the VM, with this line, in time, and that no agent ran.
    pub fn timed_out(self, code: Code, line: &str) -> Self {
        self.ended(code, line).in_time()
    }

    /// Asserts that the last word was this line with this code, and that no agent ran.
    pub fn ended(self, code: Code, line: &str) -> Self {
        self.has(&format!("guest-init: failed: {line}")).has(&format!("(exit {code})")).has_not("agent: ready")
    }

    /// Asserts that no more than the deadline and some slack passed, by the guest's own clock, between the start of
    /// guest-init and the end of the VM.
    pub fn in_time(self) -> Self {
        let Some(start) = self.times("Run /").last() else {
            // With `quiet` the console does not say when: what bounds the whole VM has to do.
            return self.has_not("Linux version");
        };
        let end = self.times("Kernel panic").chain(self.times("reboot: Restarting system")).next();
        let end = end.unwrap_or_else(|| panic!("no line says when the VM ended:\n{self}"));
        let most = self.deadline + SLACK;
        assert!(end - start <= most, "it took from {start} s to {end} s, more than {most} s:\n{self}");
        self
    }

    /// Asserts that a line contains this text.
    pub fn has(self, text: &str) -> Self {
        assert!(self.text.lines().any(|line| line.contains(text)), "no line has `{text}`:\n{self}");
        self
    }

    /// Asserts that no line contains this text.
    pub fn has_not(self, text: &str) -> Self {
        assert!(!self.text.lines().any(|line| line.contains(text)), "a line has `{text}`:\n{self}");
        self
    }

    /// Asserts that lines with these texts follow one another, perhaps with others between them.
    pub fn in_order(self, texts: &[&str]) -> Self {
        let mut lines = self.text.lines();
        for text in texts {
            assert!(lines.any(|line| line.contains(text)), "no line has `{text}` in its turn:\n{self}");
        }
        self
    }

    /// When lines that begin like this were logged, in seconds from the kernel's start.
    fn times(&self, begins: &str) -> impl Iterator<Item = f64> {
        let time = move |line: &str| {
            let (head, _) = line.split_once(&format!("] {begins}"))?;
            head.rsplit_once('[')?.1.trim().parse().ok()
        };
        self.lines().filter_map(time)
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// The loaded modules that the agent's report lists, in the order of loading.
    pub fn modules(&self) -> Vec<&str> {
        let lines = self.text.lines().skip_while(|line| !line.starts_with("Modules: ")).skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        // Lines that continue a module's parameters are further in.
        lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect()
    }
}
