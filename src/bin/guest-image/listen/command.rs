//! The command that runs the VM.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::process::{self, Child, ExitStatus};

use anyhow::{Context, Error, Result};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::cli::exit::Exit;

/// A command that was started.
pub struct Command {
    /// The program, for a message.
    name: String,
    child: Child,
}

impl Command {
    /// Starts the command, if there is one.
    pub fn start(words: &[OsString]) -> Result<Option<Self>, (Exit, Error)> {
        let [program, arguments @ ..] = words else { return Ok(None) };
        let name = program.display().to_string();
        match process::Command::new(program).args(arguments).spawn() {
            Ok(child) => Ok(Some(Self { name, child })),
            Err(error) => {
                let exit = if error.kind() == ErrorKind::NotFound { Exit::NotFound } else { Exit::NotExecutable };
                Err((exit, Error::new(error).context(name)))
            }
        }
    }

    /// The command's end, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| self.name.clone())
    }

    /// Sends a signal, unless the command has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        // The process id is this child's until `ended` has taken its status.
        let pid = Pid::from_raw(self.child.id().cast_signed());
        signal::kill(pid, signal).map_err(io::Error::from).with_context(|| format!("{}: {signal}", self.name))
    }

    /// The program, for a message.
    pub fn name(&self) -> &str {
        &self.name
    }
}
