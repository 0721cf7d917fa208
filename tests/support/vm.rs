//! A VM, from its start to its end, which is bounded, and the two streams of text that come out of it.
//!
//! The kernel's console is the first serial port, and the demonstration agent reports on a second one, so no record of
//! the kernel's log can stand between the lines of the report, or within one. `--report` of scripts/vm makes that port.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use guest_init::failure::Code;
use tempfile::TempDir;

use super::image::Built;
use super::listener::{Channel, Listener};
use super::scene::with_port;
use super::{Image, Kernel, Machine, message, root};

/// Seconds after which a VM is ended and its test fails. A boot takes 3 to 8 where nothing else runs.
const LIMIT: &str = "300";
/// The beginning of each kernel command line. Without its tests of ciphers a kernel of Debian's takes half as many
/// instructions to PID 1.
const WORDS: &str = "cryptomgr.notests";
/// Seconds that guest-init has from its start to the hand-off, unless a test names another deadline. On a busy machine
/// a VM's clock runs on while its CPU waits, so guest-init's own 30 s would not do.
const DEADLINE: &str = "120";
/// Seconds beside the deadline, between the kernel's records of the start of PID 1 and of the end of the VM: for
/// guest-init's first mounts, and for the panic.
const SLACK: f64 = 5.0;

/// A VM in the making.
pub struct Vm {
    command: Command,
    bare: bool,
    append: String,
    options: Vec<String>,
    devices: Vec<String>,
    status: i32,
    told: Option<Listener>,
    /// The image, if nobody else keeps it.
    image: Option<Built>,
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
        let (append, options, devices) = Default::default();
        Self { command, bare: false, append, options, devices, status: 0, told: None, image: None }
    }

    /// The kernel under test with this image and the drivers of a virtio-serial port, on which the host hears the end
    /// of the boot.
    pub fn telling(image: Image) -> Self {
        Self::telling_by(Channel::Port, with_port(image))
    }

    /// The same by either channel, with an image that has the drivers.
    pub fn telling_by(channel: Channel, image: Image) -> Self {
        let image = image.build();
        let vm = Self::new(&image).tells(Listener::new(channel));
        Self { image: Some(image), ..vm }
    }

    /// More options of scripts/vm.
    pub fn options<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        self.options.extend(options.into_iter().map(String::from));
        self
    }

    /// More arguments of QEMU.
    pub fn devices<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.devices.extend(arguments.into_iter().map(String::from));
        self
    }

    /// More words for the kernel command line.
    pub fn append(mut self, words: &str) -> Self {
        self.append.push(' ');
        self.append.push_str(words);
        self
    }

    /// Adds the device of a listener's channel.
    pub fn channel(self, listener: &Listener) -> Self {
        self.options(listener.options().iter().map(String::as_str))
    }

    /// Adds the device, and has guest-init notify the listener. [`Console::failed`] and others compare what it was told
    /// with the console.
    pub fn tells(self, listener: Listener) -> Self {
        let vm = self.channel(&listener).append(&listener.word());
        Self { told: Some(listener), ..vm }
    }

    /// Leaves `console=` and `panic=-1` out of the kernel command line.
    pub fn bare(self) -> Self {
        Self { bare: true, ..self }
    }

    /// Expects this exit status of QEMU instead of 0.
    pub fn status(self, status: i32) -> Self {
        Self { status, ..self }
    }

    /// Boots the VM and waits for its end.
    pub fn run(self) -> Console {
        self.watched(|_| {})
    }

    /// The same, and shows each line of the kernel's console to `watch` as soon as the VM has written it.
    pub fn watched(mut self, mut watch: impl FnMut(&str)) -> Console {
        let folder = TempDir::new().expect("a temporary directory");
        let report = folder.path().join("report");
        self.command.arg(if self.bare { "--bare-append" } else { "--append" });
        self.command.arg(self.words()).arg("--report").arg(&report);
        self.command.args(&self.options).arg("--").args(&self.devices);
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut vm = self.command.spawn().expect("scripts/vm starts");
        let mut log = String::new();
        for line in BufReader::new(vm.stdout.take().expect("a pipe")).split(b'\n') {
            let line = text(&line.expect("the console can be read"));
            watch(&line);
            log += &(line + "\n");
        }
        let output = vm.wait_with_output().expect("scripts/vm ends");
        let report = text(&fs::read(report).unwrap_or_default());
        let told = self.told.as_ref().map(Listener::finish);
        let console = Console { log, report, deadline: deadline(&self.words()), told };
        let is_expected = output.status.code() == Some(self.status);
        assert!(is_expected, "scripts/vm: {}\n{}\n{console}", output.status, text(&output.stderr));
        console
    }

    /// The kernel command line, but for what scripts/vm adds.
    fn words(&self) -> String {
        // Where instructions are counted, a word more or less moves the timer's ticks.
        if self.options.iter().any(|option| option == "--icount") {
            return self.append.clone();
        }
        let own = self.append.contains("guest_init.deadline=");
        let deadline = if own { String::new() } else { format!(" guest_init.deadline={DEADLINE}") };
        format!("{WORDS}{deadline}{}", self.append)
    }
}

/// The deadline that a kernel command line sets, in seconds, or else guest-init's own.
fn deadline(words: &str) -> f64 {
    let value = words.split_whitespace().find_map(|word| word.strip_prefix("guest_init.deadline="));
    value.map_or(30.0, |value| value.parse().expect("a number of seconds"))
}

/// A terminal's output without the carriage returns.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}

/// All that a VM wrote before it ended.
pub struct Console {
    log: String,
    report: String,
    deadline: f64,
    told: Option<Vec<String>>,
}

impl std::fmt::Display for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-- the agent's report:\n{}", self.log, self.report)
    }
}

impl Console {
    /// Another console of the kernel's, on which no agent reports.
    pub fn new(bytes: &[u8]) -> Self {
        Self { log: text(bytes), report: String::new(), deadline: deadline(""), told: None }
    }

    /// The lines of the kernel's console, guest-init's among them.
    pub fn log(&self) -> impl Iterator<Item = &str> {
        self.log.lines()
    }

    /// The lines that the agent wrote.
    pub fn report(&self) -> impl Iterator<Item = &str> {
        self.report.lines()
    }

    /// The messages that the listener of [`Vm::tells`] got.
    pub fn told(&self) -> &[String] {
        self.told.as_deref().unwrap_or_default()
    }

    /// Asserts that the agent ran to its end, and that the listener was told of its start.
    pub fn agent_ran(self) -> Self {
        if let Some(told) = &self.told {
            assert!(matches!(&told[..], [one] if one.starts_with("STATUS=agent started\n")), "{told:?}\n{self}");
        }
        self.in_order(&["agent: ready", "agent: done"]).has_not("Kernel panic")
    }

    /// Asserts that guest-init failed with this line, that the kernel panicked with its code, in time, and that no
    /// agent ran.
    pub fn failed(self, code: Code, line: &str) -> Self {
        let panic = format!("Attempted to kill init! exitcode=0x0000{:02x}00", code as u8);
        self.ended_with(code, line, &format!("(exit {code})")).has(&panic).in_time()
    }

    /// Asserts that the deadline's thread ended the VM, with this line, in time, and that no agent ran.
    pub fn timed_out(self, code: Code, line: &str) -> Self {
        self.ended(code, line).in_time()
    }

    /// Asserts that a panic by sysrq ended the VM, that the last word was this line with this code, and that no agent
    /// ran.
    pub fn ended(self, code: Code, line: &str) -> Self {
        self.ended_with(code, line, &format!("(code {code})"))
    }

    /// Asserts that the last word was this line, that it ends like this, that the listener was told the same, and that
    /// no agent ran.
    fn ended_with(self, code: Code, line: &str, end: &str) -> Self {
        let console = self.has(&format!("guest-init: failed: {line}")).has(end);
        if let Some(told) = &console.told {
            let [told] = &told[..] else { panic!("not one message but {told:?}\n{console}") };
            message::is_last_word(told, code, console.last_word(line));
        }
        assert!(console.report.is_empty(), "an agent ran:\n{console}");
        console.has_not("agent: ready")
    }

    /// The last word that begins with this line, whole, as the console has it.
    pub fn last_word(&self, line: &str) -> &str {
        let begin = format!("guest-init: failed: {line}");
        let found = self.log().find_map(|line| line.get(line.find(&begin)?..));
        found.unwrap_or_else(|| panic!("no line has `{begin}`:\n{self}"))
    }

    /// The seconds between the first two records of the kernel's log that begin with these texts, by the guest's own
    /// clock.
    pub fn between(&self, first: &str, second: &str) -> f64 {
        let [first, second] = [first, second]
            .map(|text| self.times(text).next().unwrap_or_else(|| panic!("no record begins with `{text}`:\n{self}")));
        second - first
    }

    /// Asserts that no more than the deadline and some slack passed, by the guest's own clock, between the start of
    /// guest-init and the end of the VM.
    pub fn in_time(self) -> Self {
        let Some(start) = self.times("Run /").last() else {
            // With `quiet` the console has no record of the start, and LIMIT is the only bound.
            return self.has_not("Linux version");
        };
        let end = self.times("Kernel panic").chain(self.times("reboot: Restarting system")).next();
        let end = end.unwrap_or_else(|| panic!("no record of the VM's end:\n{self}"));
        let most = self.deadline + SLACK;
        assert!(end - start <= most, "it took from {start} s to {end} s, more than {most} s:\n{self}");
        self
    }

    /// Asserts that a line contains this text.
    pub fn has(self, text: &str) -> Self {
        assert!(self.lines().any(|line| line.contains(text)), "no line has `{text}`:\n{self}");
        self
    }

    /// Asserts that no line contains this text.
    pub fn has_not(self, text: &str) -> Self {
        assert!(!self.lines().any(|line| line.contains(text)), "a line has `{text}`:\n{self}");
        self
    }

    /// Asserts that lines of one stream with these texts follow one another, perhaps with others between them.
    pub fn in_order(self, texts: &[&str]) -> Self {
        let follow = |stream: &String| {
            let mut lines = stream.lines();
            texts.iter().all(|text| lines.any(|line| line.contains(text)))
        };
        assert!([&self.log, &self.report].into_iter().any(follow), "no lines have {texts:?} in this order:\n{self}");
        self
    }

    /// The lines of both streams.
    fn lines(&self) -> impl Iterator<Item = &str> {
        self.log().chain(self.report())
    }

    /// When records of the kernel's log that begin like this were made, in seconds from the kernel's start.
    fn times(&self, begins: &str) -> impl Iterator<Item = f64> {
        let time = move |line: &str| {
            let (head, _) = line.split_once(&format!("] {begins}"))?;
            head.rsplit_once('[')?.1.trim().parse().ok()
        };
        self.log().filter_map(time)
    }

    /// The loaded modules that the agent's report lists, in the order of loading.
    pub fn modules(&self) -> Vec<&str> {
        let lines = self.report().skip_while(|line| !line.starts_with("Modules: ")).skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        // Lines that continue a module's parameters are further in.
        lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect()
    }
}
