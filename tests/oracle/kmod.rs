//! kmod's modprobe, of the versions of scripts/kmod, and guest-init as modprobe: how each is called, and which answer
//! is meant.
//!
//! No call loads a module: each is a dry run, and no process has the capability. The modprobe of kmod and that of
//! guest-init are called by one name.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::differences::{DIFFERENCES, Difference, File};
use crate::libkmod::{Sandbox, isolated};
use crate::support::built;
use crate::support::scripts::script;

/// The name that all are called by.
const NAME: &str = "/sbin/modprobe";

/// A version of kmod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Debian 12's.
    V30,
    /// Debian 13's.
    V34,
}

impl Version {
    /// Both versions.
    pub const ALL: [Self; 2] = [Self::V30, Self::V34];

    /// The directory that scripts/kmod fills.
    pub fn directory(self) -> PathBuf {
        script("kmod", &[self.number()]).into()
    }

    /// The version's number.
    pub const fn number(self) -> &'static str {
        match self {
            Self::V30 => "30",
            Self::V34 => "34",
        }
    }
}

/// A call of modprobe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The arguments.
    pub arguments: Vec<Vec<u8>>,
    /// MODPROBE_OPTIONS.
    pub options: Option<Vec<u8>>,
    /// The working directory. `None`: that of the test.
    pub directory: Option<&'static str>,
    /// PWD, which names the working directory for a relative `-d`.
    pub pwd: Option<&'static str>,
}

/// The result of a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status. `None`: a signal ended the process.
    pub status: Option<i32>,
    /// What the call wrote to stdout.
    pub stdout: Vec<u8>,
    /// What the call wrote to stderr.
    pub stderr: Vec<u8>,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, stdout, stderr } = self;
        write!(f, "{status:?} `{}` `{}`", stdout.escape_ascii(), stderr.escape_ascii())
    }
}

/// The three programs.
pub struct Programs {
    kmod: [Vec<OsString>; 2],
    ours: Vec<OsString>,
}

impl Programs {
    /// The programs, where the scripts put them.
    pub fn new() -> Self {
        Self::at(&Version::ALL.map(Version::directory), &built().join("guest-init"))
    }

    /// The programs, from the directories of kmod 30 and 34, and the file of guest-init.
    pub fn at(directories: &[PathBuf; 2], guest_init: &Path) -> Self {
        let kmod = |directory: &PathBuf| {
            let [linker, libraries, program] = ["lib/ld.so", "lib", "kmod"].map(|path| directory.join(path));
            let [path, argv0] = ["--library-path", "--argv0"].map(OsString::from);
            vec![linker.into(), path, libraries.into(), argv0, NAME.into(), program.into()]
        };
        Self { kmod: directories.each_ref().map(kmod), ours: vec![guest_init.into()] }
    }

    /// kmod's answers to a call: those of 30 and of 34.
    pub fn kmod(&self, call: &Call) -> [Outcome; 2] {
        self.kmod.each_ref().map(|program| run(program, call))
    }

    /// guest-init's answer to a call.
    pub fn ours(&self, call: &Call) -> Outcome {
        run(&self.ours, call)
    }

    /// Compares guest-init's answer with the one that is meant. The files are those of the configuration and of the
    /// indexes. The error says
    /// how the answers differ.
    pub fn compare(&self, call: &Call, files: &[File<'_>]) -> Result<Agreed, String> {
        let kmod = self.kmod(call);
        let ours = self.ours(call);
        let [of_30, of_34] = &kmod;
        let answers = format!("30:   {of_30:?}\n34:   {of_34:?}\nours: {ours:?}");
        let (meant, row) = if of_30 == of_34 {
            (of_34, None)
        } else {
            let row = DIFFERENCES.iter().find(|row| (row.applies)(call, files));
            let row = row.ok_or_else(|| format!("no row of DIFFERENCES is about this:\n{answers}"))?;
            (&kmod[row.meant as usize], Some(row))
        };
        if ours == *meant {
            return Ok(Agreed { outcome: ours, row });
        }
        let why = row.map_or("both versions of kmod agree".into(), |row| {
            format!("{}: as kmod {}: {}", row.kind, row.meant.number(), row.because)
        });
        Err(format!("{why}:\n{answers}"))
    }
}

/// An answer of guest-init's that is as meant.
pub struct Agreed {
    /// The answer.
    pub outcome: Outcome,
    /// The row that decided which answer is meant. `None`: both versions of kmod agree.
    pub row: Option<&'static Difference>,
}

fn run(program: &[OsString], call: &Call) -> Outcome {
    let [path, before @ ..] = program else { unreachable!("a program has a path") };
    let mut command = Command::new(path);
    command.args(before).args(call.arguments.iter().map(|argument| OsStr::from_bytes(argument)));
    if before.is_empty() {
        command.arg0(NAME);
    }
    for name in ["KMOD_LOG", "MODPROBE_OPTIONS", "PWD"] {
        command.env_remove(name);
    }
    command.envs(call.options.as_ref().map(|options| ("MODPROBE_OPTIONS", OsStr::from_bytes(options))));
    command.envs(call.pwd.map(|directory| ("PWD", directory)));
    if let Some(directory) = call.directory {
        command.current_dir(directory);
    }
    let output = command.output().expect("it starts");
    let stderr = without_remarks(&output.stderr);
    Outcome { status: output.status.code(), stdout: output.stdout, stderr }
}

/// Messages without the lines that libkmod logs by itself: about configuration files, dependencies and damaged indexes,
/// and from `-vv` on about each of its steps. guest-init leaves them out, or has words of its own (guest-init(8)).
fn without_remarks(stderr: &[u8]) -> Vec<u8> {
    const REMARKS: [&[u8]; 10] = [
        b"libkmod: ",
        b"modprobe: INFO: ",
        b"modprobe: DEBUG: ",
        // Of kmod 30, with the file that the line is in.
        b"modprobe: ERROR: ../libkmod/",
        // Of kmod 34: libkmod-index.c, libkmod-module.c, libkmod.c.
        b"modprobe: ERROR: magic check fail: ",
        b"modprobe: ERROR: major version check fail: ",
        b"modprobe: ERROR: Could not create module ",
        b"modprobe: ERROR: failed to lookup dependency '",
        b"modprobe: ERROR: ctx=0x",
        // Of guest-init, about a damaged index. libkmod has other words for it.
        b"modprobe: ERROR: plan modules.",
    ];
    let lines = stderr.split_inclusive(|&b| b == b'\n');
    lines.filter(|line| !REMARKS.iter().any(|remark| line.starts_with(remark))).flatten().copied().collect()
}

/// Like `isolated`, and no process that `body` starts can load a module either.
pub fn no_modules<T: Send>(body: impl FnOnce(&Sandbox) -> T + Send) -> T {
    built();
    isolated(|sandbox| {
        remove_capability_from_bounding_set(CapabilitySet::SYS_MODULE).expect("prctl");
        body(sandbox)
    })
}
