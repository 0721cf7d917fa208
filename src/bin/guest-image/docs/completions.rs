//! `guest-image completions`: what a shell needs to complete this tool's arguments.

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::cli::exit::Exit;
use crate::cli::stdout::print;

/// Prints completions of guest-image's arguments for a shell.
///
/// For bash, in this shell alone: `source <(guest-image completions bash)`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The command; `tool` is the whole of guest-image, as clap knows it.
pub fn run(arguments: &Arguments, tool: &mut Command) -> Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, tool, "guest-image", &mut text);
    // clap_complete spells a program's name with a dash in two ways, and finds the one by the other in vain (clap's issue 6421).
    print(&String::from_utf8(text)?.replace("guest__subcmd__image", "guest__image"))?;
    Ok(Exit::Done)
}
