//! The actions before the report. Each one prints a last line `agent: ACTION: ok`, or the name of an errno.
//!
//! They are calls for which the kernel requests a module (mount, socket), the loading of a module, programs, and a
//! question to the host by vsock.

use crate::arguments::Action;
use crate::reaper;
use crate::text::{errno_name, print_line, printable, read_bounded};
use crate::vsock;
use rustix::mount::MountFlags;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

/// The most bytes of a file that `--cat` prints.
const CAT_LIMIT: usize = 64 * 1024;
/// The most bytes of a program's output that `--exec` prints. The program's later writes fail with EPIPE.
const OUTPUT_LIMIT: u64 = 1024 * 1024;

/// Performs the action and prints its result.
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
        Action::Vsock { cid, port, line } => (format!("vsock {cid} {port}"), ask(*cid, *port, line).map(ok)),
        Action::Reap => ("reap".into(), reaper::start().map(ok)),
        Action::Malformed { option } => (show(option), Err(io::Error::other("operand missing or out of range"))),
    };
    let outcome = result.unwrap_or_else(|error| errno_name(&error));
    print_line(&format!("agent: {what}: {outcome}"));
}

fn ok((): ()) -> String {
    "ok".to_string()
}

/// Runs a program until it has ended and no process has its output open. Standard output and standard error share one
/// pipe, which keeps their order.
fn exec(program: &OsStr, arguments: &[OsString]) -> io::Result<String> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command.args(arguments).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds the pipe's writing ends, and while they are open the pipe has no end.
    drop(command);
    let mut output = Vec::new();
    let read = reader.take(OUTPUT_LIMIT).read_to_end(&mut output);
    print_lines(program, &output);
    reaper::be_late();
    let status = child.wait()?;
    read.map(|_| ending(status))
}

fn finit(path: &OsStr) -> io::Result<()> {
    /// The kernel decompresses the file (include/uapi/linux/module.h, since Linux 5.17).
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
    print_lines(path, &read_bounded(path, CAT_LIMIT)?);
    Ok(())
}

fn ask(cid: u32, port: u32, line: &OsStr) -> io::Result<()> {
    let answer = vsock::ask(cid, port, line.as_bytes())?;
    print_lines(OsStr::new(&format!("vsock {cid} {port}")), &answer);
    Ok(())
}

/// `exit N`, or `signal N` if a signal ended the program.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Prints each line of `content` behind its origin.
fn print_lines(origin: &OsStr, content: &[u8]) {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    if content.is_empty() {
        return;
    }
    for line in content.split(|&byte| byte == b'\n') {
        print_line(&format!("agent: {}: {}", show(origin), printable(line)));
    }
}

fn show(word: &OsStr) -> String {
    printable(word.as_bytes())
}
