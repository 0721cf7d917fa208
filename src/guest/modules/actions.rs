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
use crate::resolve::command::Command;
use crate::resolve::plan::Step;
use crate::text::Shown;

/// Loads the file of a step. Returns whether a module was loaded. `false`: a module of that name is loaded already
/// (MODPROBE.md 10.2).
///
/// Failures: those of stage load.
pub fn insert(
    step: &Step<'_>,
    file: &mut ModuleFile,
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

/// The failure of a step whose module does not exist, though modprobe.d means it.
pub fn missing_module(step: &Step<'_>) -> Failure {
    let reason = match step.is_called() {
        true => "an install command of modprobe.d loads it, and it does not exist",
        false => "an alias of modprobe.d means it, and it does not exist",
    };
    Failure::new(Code::UnknownModule, step.module, reason)
}

/// The remark on a program that [`run_install_command`] returns.
pub const PASSED_OVER: &str = "its install command has more than modprobe, which is passed over";

/// Does an install command, as far as it is understood without a shell (MODPROBE.md 12.7). If it calls modprobe, the
/// plan has the steps of these calls. Returns the first program in it that is passed over.
///
/// Failure: [`Code::InstallCommand`].
pub fn run_install_command<'a>(step: &Step<'_>, command: &'a [u8]) -> Result<Option<Shown<'a>>, Failure> {
    let text = Shown(command.trim_ascii());
    match Command::read(command) {
        Command::LeavesOut => Ok(None),
        Command::Calls(calls) => Ok(calls.passed_over.map(Shown)),
        Command::Refuses => {
            let reason = format_args!("modprobe.d has `install {text}` for it");
            Err(Failure::from_errno(Code::InstallCommand, step.module, Errno::EPERM, reason))
        }
        Command::Unclear => {
            let reason = format_args!("modprobe.d has `install {text}` for it, and there is no shell to run that");
            Err(Failure::new(Code::InstallCommand, step.module, reason))
        }
    }
}
