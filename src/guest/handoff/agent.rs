//! The agent: PID 1 executes it, or finds the reason for which it can't be executed.

extern crate alloc;

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::convert::Infallible;

use rustix::fs::{Access, AtFlags, CWD, accessat, stat};
use syscalls::Errno;

use crate::elf::Elf;
use crate::failure::{Code, Failure};
use crate::guest::modules::refusal::other_machine;
use crate::guest::system::errno::strerror;
use crate::guest::system::files::{map, open_directory, open_regular};
use crate::guest::system::invocation::Strings;
use crate::guest::system::syscalls::execve;
use crate::request::Request;
use crate::text::Shown;

/// Executes the agent. It starts in the state in which the kernel started guest-init: guest-init changes no signal
/// mask, no limit and no environment variable, and execve(2) resets the signal handlers. All descriptors above 2 are
/// close-on-exec.
///
/// Failures: [`Code::AgentMissing`], [`Code::AgentNotExecutable`], [`Code::InterpreterMissing`],
/// [`Code::AgentRefused`].
pub fn become_agent(request: &Request<'_>, environment: Strings) -> Result<Infallible, Failure> {
    let string = |bytes: Vec<u8>| {
        CString::new(bytes).map_err(|_| Failure::new(Code::BadValue, "guest_init.agent", "it holds a NUL byte"))
    };
    let path = string(request.agent.to_vec())?;
    let arguments = request.arguments.clone().map(|word| string(word.argument().concat()));
    let arguments = core::iter::once(Ok(path.clone())).chain(arguments).collect::<Result<Vec<_>, _>>()?;
    log::debug!("executing {}", Shown(request.agent));
    let errno = execve(&path, arguments.iter().map(CString::as_c_str), environment);
    Err(why_not_executed(request.agent, errno))
}

/// Whether execve(2) can execute the agent, as far as its file shows. The kernel may refuse it all the same.
pub fn can_be_executed(path: &[u8]) -> bool {
    let is_program = |file: &'static [u8]| {
        let interpreter = interpreter_of(file);
        let has_form = file.starts_with(b"#!") && interpreter.is_some() || Elf::new(file).is_some();
        has_form && other_machine(file).is_none() && interpreter.is_none_or(|name| stat(name).is_ok())
    };
    let may_be = accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()).is_ok();
    may_be && contents(path).is_some_and(is_program)
}

/// The failure of execve(2). ENOENT and EACCES have several causes each, so the file is looked at to find the one.
fn why_not_executed(path: &[u8], errno: Errno) -> Failure {
    let subject = Shown(path);
    let failure = |code, reason: &str| Failure::from_errno(code, subject, errno, reason);
    match errno {
        Errno::ENOENT if stat(path).is_err() => failure(Code::AgentMissing, "there is no such file"),
        Errno::ENOTDIR | Errno::ELOOP => failure(Code::AgentMissing, strerror(errno)),
        Errno::ENOENT => match contents(path).and_then(interpreter_of) {
            Some(name) => missing_interpreter(path, &name),
            None => failure(Code::InterpreterMissing, "its interpreter is not there"),
        },
        Errno::EACCES if stat(path).is_ok_and(|file| file.st_mode & 0o170_000 != 0o100_000) => {
            failure(Code::AgentNotExecutable, "it is no regular file")
        }
        Errno::EACCES if accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()).is_err() => {
            failure(Code::AgentNotExecutable, "no execute bit in its mode, or in that of a directory of its path")
        }
        Errno::EACCES => {
            failure(Code::AgentNotExecutable, "its file system is mounted noexec, or its interpreter's is")
        }
        Errno::ENOEXEC => match contents(path).and_then(other_machine) {
            Some(reason) => Failure::from_errno(Code::AgentRefused, subject, errno, reason),
            None => failure(
                Code::AgentRefused,
                "no program for this machine: neither an ELF file for it nor a script with #!",
            ),
        },
        other => failure(Code::AgentRefused, strerror(other)),
    }
}

/// The failure of a program whose interpreter does not exist.
pub fn missing_interpreter(program: &[u8], name: &[u8]) -> Failure {
    // The kernel takes the carriage return for a part of the name.
    let (name, end) = match name.strip_suffix(b"\r") {
        Some(name) => (name, "\\r is not there: the script's lines end in CR LF"),
        None => (name, " is not there"),
    };
    Failure::new(Code::InterpreterMissing, Shown(program), format_args!("its interpreter {}{end}", Shown(name)))
}

/// The bytes of a file of the image. `None`: it can't be read.
fn contents(path: &[u8]) -> Option<&'static [u8]> {
    map(&open_regular(&open_directory("/").ok()?, path).ok()?).ok()
}

/// The interpreter that a file names: after `#!`, up to a blank (load_script in fs/binfmt_script.c), or in an ELF
/// program header.
pub fn interpreter_of(file: &[u8]) -> Option<Vec<u8>> {
    match file.strip_prefix(b"#!") {
        Some(script) => {
            let line = script.split(|&b| b == b'\n').next()?;
            line.split(|&b| b == b' ' || b == b'\t').find(|word| !word.is_empty()).map(Vec::from)
        }
        None => Elf::new(file)?.interpreter().map(Vec::from),
    }
}
