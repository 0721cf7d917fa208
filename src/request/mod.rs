//! The request that this VM was started with: the `guest_init.` keys of the kernel command line, and the module lists.
//!
//! The input is bytes. The output is a [`Request`], and a [`Report`] of all mistakes. Nothing here makes a system call
//! or allocates. The command line is read once: its other words become values in [`Request::kernel`].

pub mod devices;
pub mod disks;
pub mod extension;
pub mod kernel;
pub mod keys;
pub mod list;
pub mod location;
pub mod modprobe;
pub mod name;
pub mod notify;
mod parser;
pub mod verity;

use core::fmt;
use core::time::Duration;

use log::LevelFilter;

use crate::failure::{Code, Failure, Report};
use crate::request::name::same;
use crate::text::{Shown, Text};
use disks::{MOST_DISKS, VerifiedDisk};
use extension::Extension;
use kernel::KernelWords;
use kernel::words::{Word, Words, words};
use list::Entry;
use location::Location;
use notify::Channel;
use parser::Parser;

/// The number of entries that all lists together may have.
pub const MOST_ENTRIES: usize = 512;
/// The number of files with lists that a command line may name.
pub const MOST_FILES: usize = 32;
/// The number of directories of module trees that a command line may name.
pub const MOST_TREES: usize = 8;
/// The directories of module trees, unless `guest_init.module_dir` names others.
pub const DEFAULT_MODULE_DIRS: &[Location<'static>] = &[Location::in_image(b"/lib/modules")];
/// The agent, unless `guest_init.agent` names another.
pub const DEFAULT_AGENT: &[u8] = b"/sbin/agent";

/// The number of modules that may be loaded at once.
pub const MOST_JOBS: usize = 64;

/// The time within which the agent must be started, unless `guest_init.deadline` names another.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// The request of a kernel command line.
///
/// ```
/// use guest_init::failure::{Failure, Report};
/// use guest_init::request::Request;
///
/// let line = br#"quiet guest_init.modules="e1000e EEE=1; ?i915" guest_init.deadline=5 -- --verbose"#;
/// let mut log = |failure: &Failure| eprintln!("{failure}");
/// let mut report = Report::new(&mut log);
/// let request = Request::parse(line, &mut report);
/// report.verdict()?;
///
/// let modules: Vec<_> = request.entries.iter().filter_map(|entry| entry.module()).collect();
/// let names: Vec<_> = modules.iter().map(|module| (module.name.as_bytes(), module.optional)).collect();
/// assert_eq!(names, [(&b"e1000e"[..], false), (&b"i915"[..], true)]);
/// assert_eq!(modules[0].parameters, b"EEE=1");
/// assert_eq!(request.deadline.as_secs(), 5);
/// assert_eq!(request.arguments.count(), 1);
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug)]
pub struct Request<'a> {
    /// The entries of the lists, in order.
    pub entries: Entries<'a>,
    /// The files with further lists, in order. Their entries are added by [`Self::insert_lists`].
    pub files: heapless::Vec<ListFile<'a>, MOST_FILES>,
    /// The directories that the command line names, each of which holds `RELEASE/modules.dep`. The first counts first.
    pub named_module_dirs: heapless::Vec<Location<'a>, MOST_TREES>,
    /// The agent's path.
    pub agent: &'a [u8],
    /// The agent's arguments: the words after ` -- `.
    pub arguments: Words<'a>,
    /// The least important level that is logged.
    pub log: LevelFilter,
    /// Whether a parameter that can't be applied is a failure.
    pub strict: bool,
    /// The number of modules that are loaded at once.
    pub jobs: Jobs,
    /// Whether the files of loaded modules stay in an initramfs.
    pub keep_modules: bool,
    /// Whether loading modules is disabled before the agent starts.
    pub lock_modules: bool,
    /// Whether an initramfs gives way to `root=`.
    pub root: RootChoice,
    /// The disks that are only read through dm-verity.
    pub verity: heapless::Vec<VerifiedDisk<'a>, MOST_DISKS>,
    /// Kata's extensions.
    pub extensions: heapless::Vec<Extension<'a>, MOST_DISKS>,
    /// The channel on which the host gets notifications. `None`: the host gets none.
    pub notify: Option<Channel<'a>>,
    /// The time within which the agent must be started. Zero: there is no deadline.
    pub deadline: Duration,
    /// The values of the words before ` -- ` that are for the kernel and its modules.
    pub kernel: KernelWords<'a>,
}

/// The number of modules that are loaded at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// A number from 1 to [`MOST_JOBS`]. With 1, the modules are loaded in the order of the plan.
    Number(usize),
    /// The number of CPUs, but at most [`MOST_JOBS`].
    Auto,
}

/// Whether an initramfs gives way to `root=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootChoice {
    /// Only if the initramfs has no agent. Some runtimes write `root=` for VMs without any disk.
    Auto,
    /// Always.
    Switch,
    /// Never.
    Stay,
}

/// A file with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListFile<'a> {
    /// The file's location.
    pub location: Location<'a>,
    /// The number of entries that the command line itself has before the file.
    pub after: usize,
}

impl<'a> Request<'a> {
    /// The request of an empty command line.
    pub const fn new() -> Self {
        Self {
            entries: heapless::Vec::new(),
            files: heapless::Vec::new(),
            named_module_dirs: heapless::Vec::new(),
            agent: DEFAULT_AGENT,
            arguments: words(b""),
            log: LevelFilter::Info,
            strict: false,
            jobs: Jobs::Number(1),
            keep_modules: false,
            lock_modules: false,
            root: RootChoice::Auto,
            verity: heapless::Vec::new(),
            extensions: heapless::Vec::new(),
            notify: None,
            deadline: DEFAULT_DEADLINE,
            kernel: KernelWords::NONE,
        }
    }

    /// Reads a kernel command line, and adds every mistake to `report`.
    ///
    /// A key with a bad value keeps its default, a repeated key has its last value, and all others have theirs. So the
    /// log level and the deadline hold while the mistakes are reported.
    ///
    /// Failures: [`Code::UnknownKey`], [`Code::RepeatedKey`], [`Code::BadValue`], [`Code::UnbalancedQuote`],
    /// [`Code::BadEntry`], [`Code::TooMany`], [`Code::DisksCollide`].
    pub fn parse(line: &'a [u8], report: &mut Report<'_>) -> Self {
        let mut request = Self::new();
        request.read(line, report);
        request
    }

    /// The same in place, because a request has room for all entries and is too large to be moved.
    pub fn read(&mut self, line: &'a [u8], report: &mut Report<'_>) {
        let mut parser = Parser::new(self, report);
        let (kernel, arguments) = KernelWords::read(line, &mut |word| parser.word(word));
        arguments.clone().for_each(|word| parser.check_quotes(&word));
        (self.kernel, self.arguments) = (kernel, arguments);
        disks::check_names(self, report);
    }

    /// The directories of module trees, at least one. The first counts first.
    pub fn module_dirs(&self) -> &[Location<'a>] {
        if self.named_module_dirs.is_empty() { DEFAULT_MODULE_DIRS } else { self.named_module_dirs.as_slice() }
    }

    /// The directories of module trees that a command line names, without those whose words are wrong. Whoever needs
    /// nothing else does not need a whole request.
    pub fn named_module_dirs(line: &'a [u8]) -> impl Iterator<Item = Location<'a>> {
        let is_named = |word: &Word<'_>| parser::key_of(word).is_some_and(|key| same(key, b"module_dir"));
        let named = words(line).take_while(|word| !word.is_end()).filter(is_named);
        named.filter_map(|word| Location::parse(word.value?).ok()).take(MOST_TREES)
    }

    /// The agent's arguments that were most likely meant for the kernel or for guest-init. Some VMMs add words to the
    /// end of the command line, even behind ` -- ` (Firecracker's issue 2709).
    pub fn misplaced(&self) -> impl Iterator<Item = Misplaced<'a>> + use<'a> {
        let is_kernels =
            |word: &Word<'_>| matches!(word.name, b"root" | b"roothash") || same(word.name, b"virtio_mmio.device");
        let is_misplaced = move |word: &Word<'_>| {
            let is_ours = parser::key_of(word).is_some() || Extension::parse(word).is_some();
            is_ours || word.value.is_some() && is_kernels(word)
        };
        self.arguments.clone().filter(is_misplaced).map(Misplaced)
    }

    /// Inserts the entries of the files, each at its place among the entries of the command line. `texts` are the
    /// contents of [`Self::files`], in the same order. Mistakes are added to `report`.
    ///
    /// Failures: [`Code::BadEntry`], [`Code::UnbalancedQuote`], [`Code::TooMany`].
    pub fn insert_lists(&mut self, texts: &[&'a [u8]], report: &mut Report<'_>) {
        let mut inserted = 0;
        for (file, text) in self.files.iter().zip(texts) {
            let end = self.entries.len();
            read_list(&mut self.entries, text, Text::<320>::of(file.location).as_str(), report);
            let new = self.entries.len() - end;
            if let Some(behind) = self.entries.get_mut(file.after + inserted..) {
                behind.rotate_right(new);
            }
            inserted += new;
        }
    }
}

/// An argument of the agent that was most likely meant for the kernel or for guest-init. It displays as a warning.
#[derive(Clone, Copy, Debug)]
pub struct Misplaced<'a>(Word<'a>);

impl fmt::Display for Misplaced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Shown(self.0.raw);
        write!(f, "{word}: only an argument of the agent, because it stands behind ` -- `: put it before ` -- `")
    }
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// The entries of all lists.
type Entries<'a> = heapless::Vec<Entry<'a>, MOST_ENTRIES>;

/// Adds the entries of a list to `entries`, and its mistakes to `report`.
fn read_list<'a>(entries: &mut Entries<'a>, text: &'a [u8], source: &str, report: &mut Report<'_>) {
    list::read(text, source, &mut |entry| match entry {
        Err(failure) => report.add(failure),
        Ok(entry) => {
            if entries.push(entry).is_err() {
                report.add(Failure::new(Code::TooMany, entry, "a VM takes at most 512 entries"));
            }
        }
    });
}
