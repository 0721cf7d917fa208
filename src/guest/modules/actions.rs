//! The actions of a plan's steps that PID 1 and modprobe have in common: a load, an install command, and a module that
//! does not exist.

extern crate alloc;

use alloc::ffi::CString;

use rustix::io;
use syscalls::Errno;

use crate::failure::{Code, Failure};
use crate::guest::modules::file::ModuleFile;
use crate::guest::modules::refusal::to_failure;
use crate::guest::modules::unpack::Format;
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::request::kernel::ModuleWords;
use crate::resolve::plan::Step;
use crate::text::Shown;

/// Loads the file of a step. Returns whether a module was loaded. `false`: a module of that name is loaded already
/// (MODPROBE.md 10.2).
///
/// Failures: those of stage load.
pub fn insert(
    step: &Step<'_>,
    file: &ModuleFile,
    parameters: &[u8],
    format: Option<Format>,
    words: &ModuleWords<'_>,
    messages: &mut KernelMessages,
) -> Result<bool, Failure> {
    let text = CString::new(parameters)
        .map_err(|_| Failure::new(Code::BadParameter, step.module, "its parameters hold a NUL byte"))?;
    messages.skip_to_end();
    match file.load(&step.module, &text, format, messages)? {
        Ok(()) => Ok(true),
        Err(io::Errno::EXIST) => Ok(false),
        Err(error) => Err(to_failure(error, step, file, &text, words, messages)),
    }
}

/// The failure of a step whose module does not exist, though an alias of modprobe.d means it.
pub fn missing_module(step: &Step<'_>) -> Failure {
    Failure::new(Code::UnknownModule, step.module, "an alias of modprobe.d means it, and it does not exist")
}

/// Does an install command. Only `true`, which leaves the module out, and `false`, which refuses it, are understood,
/// because there is no shell (MODPROBE.md 12.7).
///
/// Failure: [`Code::InstallCommand`].
pub fn run_install_command(step: &Step<'_>, command: &[u8]) -> Result<(), Failure> {
    let program = Shown(command.trim_ascii());
    match program.0.rsplit(|&b| b == b'/').next().unwrap_or_default() {
        b"true" | b":" => Ok(()),
        b"false" => {
            let reason = format_args!("modprobe.d has `install {program}` for it");
            Err(Failure::from_errno(Code::InstallCommand, step.module, Errno::EPERM, reason))
        }
        _ => {
            let reason = format_args!("modprobe.d has `install {program}` for it, and there is no shell to run that");
            Err(Failure::new(Code::InstallCommand, step.module, reason))
        }
    }
}
