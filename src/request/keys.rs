//! The `guest_init.` keys of the kernel command line: one table for the parser, the README and guest-init(8).
//!
//! Leaves to `parser` which words are keys, and how often a key may occur.

use core::str::FromStr;
use core::time::Duration;

use log::LevelFilter;

use crate::failure::{Code, Report};
use crate::request::disks::VerifiedDisk;
use crate::request::location::Location;
use crate::request::notify::Channel;
use crate::request::verity::Verity;
use crate::request::{Jobs, ListFile, MOST_JOBS, Request, RootChoice, read_list};

/// The longest deadline, in seconds: one day.
const LONGEST_DEADLINE: u64 = 86_400;

/// A key as the README and the manual explain it. Text in backticks is to be written as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key's name, without `guest_init.`.
    pub name: &'static str,
    /// The meaning of the value.
    pub value: &'static str,
    /// The value that counts if the key is absent. `None`: an absent key has no effect.
    pub default: Option<&'static str>,
}

/// How often a key may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// Any number of times. Each value counts.
    Any,
    /// Once. A second time is a failure.
    Once,
}

/// A mistake in a value: the code of the failure, and the reason.
pub type Refusal = (Code, &'static str);

/// A function that reads the value of a key into a request. It adds the mistakes of a list's entries to the report.
type Read = for<'a> fn(&mut Request<'a>, &'a [u8], &mut Report<'_>) -> Result<(), Refusal>;

/// A key as the parser needs it.
pub(super) struct KeyReader {
    pub name: &'static str,
    pub times: Times,
    pub read: Read,
}

/// Makes two tables of one. The explanations are in a table of their own, so that the guest's file does not hold them.
macro_rules! keys {
    ($($name:ident $times:ident, $default:expr, $value:literal;)*) => {
        /// Every key, in the order of the README.
        pub const KEYS: &[Key] =
            &[$(Key { name: stringify!($name), value: $value, default: $default }),*];

        /// Every key in the same order, with the function below that reads its value.
        pub(super) static READERS: [KeyReader; KEYS.len()] =
            [$(KeyReader { name: stringify!($name), times: Times::$times, read: $name }),*];
    };
}

keys! {
    modules Any, None, "a module list; may repeat, lists are joined in order";
    modules_file Any, None,
        "a file with a module list: `/path` in the image, `virtiofs:TAG:/path` on a share of the host, or \
        `disk:DISK:/path` on a disk; may repeat";
    module_dir Any, Some("/lib/modules"),
        "the directory that holds `RELEASE/modules.dep`: `/path`, `virtiofs:TAG:/path` or `disk:DISK:/path`; may repeat, \
        the first counts first";
    agent Once, Some("/sbin/agent"),
        "the agent's path; its arguments follow ` -- ` on the command line";
    jobs Once, Some("1"),
        "the number of modules that are loaded at once, 1 to 64, or `auto`: one per CPU";
    strict Once, Some("0"),
        "`1`: a parameter that can't be applied is a failure, not a warning";
    keep_modules Once, Some("0"),
        "`1`: the files of loaded modules stay in an initramfs";
    lock_modules Once, Some("0"),
        "`1`: no module can be loaded after the agent has started (kernel.modules_disabled)";
    root Once, Some("auto"),
        "whether an initramfs gives way to `root=`: `auto`: only if it has no agent; `switch`: always; `stay`: never";
    verity Any, None,
        "`DISK,root_hash=…,salt=…,data_blocks=…,data_block_size=…,hash_block_size=…`: the disk is only read through \
        dm-verity; may repeat";
    notify Once, None,
        "where the host hears why the VM failed, or that its agent started: `vsock:CID:PORT`, `vsock-stream:CID:PORT`, \
        `vsock-seqpacket:CID:PORT` or `virtio-port:NAME`";
    deadline Once, Some("30"),
        "seconds from the start of guest-init to the start of the agent; after that the VM panics; `0`: no deadline";
    log Once, Some("info"),
        "the least important level that is logged: `error`, `warn`, `info`, `debug` (each step of the plan and its time), `trace`";
}

fn modules<'a>(request: &mut Request<'a>, value: &'a [u8], report: &mut Report<'_>) -> Result<(), Refusal> {
    read_list(&mut request.entries, value, "guest_init.modules", report);
    Ok(())
}

fn modules_file<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    let file = ListFile { location: location(value)?, after: request.entries.len() };
    request.files.push(file).map_err(|_| (Code::TooMany, "a VM takes at most 32 files with lists"))
}

fn module_dir<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    let location = location(value)?;
    if request.named_module_dirs.contains(&location) {
        return Err((Code::RepeatedKey, "the directory stands there already"));
    }
    request.named_module_dirs.push(location).map_err(|_| (Code::TooMany, "a VM takes at most 8 directories of modules"))
}

fn agent<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    if value.first() != Some(&b'/') {
        return Err((Code::BadValue, "the agent is a path that begins with `/`"));
    }
    request.agent = value;
    Ok(())
}

fn jobs<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    let jobs = match value {
        b"auto" => Some(Jobs::Auto),
        _ => number(value).filter(|jobs| (1..=MOST_JOBS).contains(jobs)).map(Jobs::Number),
    };
    request.jobs = jobs.ok_or((Code::BadValue, "a number from 1 to 64, or auto"))?;
    Ok(())
}

fn strict<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    switch(value).map(|strict| request.strict = strict)
}

fn keep_modules<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    switch(value).map(|keep| request.keep_modules = keep)
}

fn lock_modules<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    switch(value).map(|lock| request.lock_modules = lock)
}

fn root<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    request.root = match value {
        b"auto" => RootChoice::Auto,
        b"switch" => RootChoice::Switch,
        b"stay" => RootChoice::Stay,
        _ => return Err((Code::BadValue, "one of auto, switch, stay")),
    };
    Ok(())
}

fn verity<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    let mut parts = value.splitn(2, |&b| b == b',');
    let (disk, fields) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if disk.is_empty() || disk.starts_with(b"/") {
        return Err((
            Code::BadValue,
            "it begins with a disk's serial number, or its name below /dev: `vdb,root_hash=...`",
        ));
    }
    let verity = Verity::parse(fields).map_err(|reason| (Code::BadValue, reason))?;
    if request.verity.iter().any(|known| known.disk == disk) {
        return Err((Code::RepeatedKey, "the disk has verity parameters already"));
    }
    let disk = VerifiedDisk { disk, verity };
    request.verity.push(disk).map_err(|_| (Code::TooMany, "a VM takes at most 16 disks with verity parameters"))
}

fn notify<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    request.notify = Some(Channel::parse(value).map_err(|reason| (Code::BadValue, reason))?);
    Ok(())
}

fn deadline<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    let seconds = number(value).filter(|&seconds| seconds <= LONGEST_DEADLINE);
    let seconds = seconds.ok_or((Code::BadValue, "whole seconds, at most 86,400; 0 is for ever"))?;
    request.deadline = Duration::from_secs(seconds);
    Ok(())
}

fn log<'a>(request: &mut Request<'a>, value: &'a [u8], _: &mut Report<'_>) -> Result<(), Refusal> {
    request.log = match value {
        b"error" => LevelFilter::Error,
        b"warn" => LevelFilter::Warn,
        b"info" => LevelFilter::Info,
        b"debug" => LevelFilter::Debug,
        b"trace" => LevelFilter::Trace,
        _ => return Err((Code::BadValue, "one of error, warn, info, debug, trace")),
    };
    Ok(())
}

fn location(value: &[u8]) -> Result<Location<'_>, Refusal> {
    Location::parse(value).map_err(|reason| (Code::BadValue, reason))
}

fn switch(value: &[u8]) -> Result<bool, Refusal> {
    match value {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err((Code::BadValue, "0 or 1")),
    }
}

/// Reads a number of digits alone, without a sign or blanks.
pub(crate) fn number<T: FromStr>(value: &[u8]) -> Option<T> {
    str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}
