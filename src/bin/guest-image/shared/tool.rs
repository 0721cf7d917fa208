//! Programs of other packages, which make or unpack file systems.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// The folders of programs beside those of PATH: not every user has /usr/sbin in PATH.
const MORE_PATH: &str = "/usr/sbin:/sbin";

/// A program, and the package that it is in.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The program's name.
    pub program: &'static str,
    /// The package's name in Debian, which most distributions share.
    pub package: &'static str,
}

impl Tool {
    /// Runs the program with the arguments that a function gives it.
    ///
    /// Error: the program is not installed, or fails.
    pub fn run(self, give_arguments: impl FnOnce(&mut Command)) -> Result<Output> {
        let Self { program, package } = self;
        let path = [std::env::var_os("PATH").unwrap_or_default(), MORE_PATH.into()].join(&OsString::from(":"));
        let mut command = Command::new(program);
        give_arguments(command.env("PATH", path));
        let output = match command.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("{program} is not installed; install the package {package}")
            }
            output => output.context(program)?,
        };
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("{program}: {}: {}", output.status, text.trim_end());
        }
        Ok(output)
    }
}
