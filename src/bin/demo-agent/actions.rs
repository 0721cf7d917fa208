//! Does what was asked for before the report: each action ends in one line, `agent: WHAT: ok` or
//! the errno's name.
//!
//! They are the calls on which a kernel requests a module (mount, socket), or a program that stands
//! in for an agent.

use crate::arguments::Action;
use crate::text::{errno_name, printable, read_bounded, say};
use rustix::mount::MountFlags;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

/// What `--cat` shows of a file, in bytes.
const CAT_LIMIT: usize = 64 * 1024;
/// What `--exec` shows of a program's output, in bytes; past it, its writes fail with EPIPE.
const OUTPUT_LIMIT: u64 = 1024 * 1024;

/// Does it and says how it went.
pub fn perform(action: &Action) {
    let (what, result) = match action {
        Action::Exec { program, arguments } => (format!("exec {}", show(program)), exec(program, arguments)),
        Action::Finit { path } => (format!("finit {}", show(path)), finit(path).map(ok)),
        Action::Mount { kind, source, target } => {
            (format!("mount {}", show(kind)), mount(kind, source, target).map(ok))
        }
        Action::Socket { family, kind, protocol } => {
            let what = format!("socket {family} {kind} {protocol}");
            (what, socket(*family, *kind, *protocol).map(ok))
        }
        Action::Cat { path } => (format!("cat {}", show(path)), cat(path).map(ok)),
        Action::Malformed { option } => (show(option), Err(io::Error::other("operand missing or out of range"))),
    };
    let outcome = result.unwrap_or_else(|error| errno_name(&error));
    say(&format!("agent: {what}: {outcome}"));
}

fn ok((): ()) -> String {
    "ok".to_string()
}

/// Runs a program to its end, and that of whatever it leaves behind with its output open. Both
/// outputs go through one pipe, which keeps their order.
fn exec(program: &OsStr, arguments: &[OsString]) -> io::Result<String> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command.args(arguments).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds our ends of the pipe: with them open, the reading would never end.
    drop(command);
    let mut output = Vec::new();
    let read = reader.take(OUTPUT_LIMIT).read_to_end(&mut output);
    say_lines(program, &output);
    let status = child.wait()?;
    read.map(|_| ending(status))
}

fn finit(path: &OsStr) -> io::Result<()> {
    /// The kernel decompresses the file itself (linux/module.h, since 5.17).
    const MODULE_INIT_COMPRESSED_FILE: core::ffi::c_int = 4;
    let flags = if path.as_bytes().ends_with(b".ko") { 0 } else { MODULE_INIT_COMPRESSED_FILE };
    let file = std::fs::File::open(path)?;
    Ok(rustix::system::finit_module(file, c"", flags)?)
}

fn mount(kind: &OsStr, source: &OsStr, target: &OsStr) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    Ok(rustix::mount::mount(source, target, kind, MountFlags::empty(), None)?)
}

fn socket(family: u16, kind: u32, protocol: u32) -> io::Result<()> {
    let protocol = std::num::NonZeroU32::new(protocol).map(Protocol::from_raw);
    let (family, kind) = (AddressFamily::from_raw(family), SocketType::from_raw(kind));
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    Ok(())
}

fn cat(path: &OsStr) -> io::Result<()> {
    say_lines(path, &read_bounded(path, CAT_LIMIT)?);
    Ok(())
}

/// `exit N`, or `signal N` if one ended it.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Says each line of `content` with its origin before it.
fn say_lines(origin: &OsStr, content: &[u8]) {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    if content.is_empty() {
        return;
    }
    for line in content.split(|&byte| byte == b'\n') {
        say(&format!("agent: {}: {}", show(origin), printable(line)));
    }
}

fn show(word: &OsStr) -> String {
    printable(word.as_bytes())
}
