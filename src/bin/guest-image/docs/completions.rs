//! `guest-image completions`: completion scripts for shells.

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::cli::exit::Exit;
use crate::cli::stdout::print;

/// Prints a completion script for a shell.
///
/// To try it in this bash only, run `source <(guest-image completions bash)`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command. `tool` describes all of guest-image.
pub fn run(arguments: &Arguments, tool: &mut Command) -> Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, tool, "guest-image", &mut text);
    // clap_complete spells the dash of a program's name in two ways and then does not find the function (clap's issue
    // 6421).
    print(&String::from_utf8(text)?.replace("guest__subcmd__image", "guest__image"))?;
    Ok(Exit::Done)
}
