//! guest-image: the host's tool for images that guest-init boots.
//!
//! Each command is a folder, or a file in [`docs`], with its arguments and its function `run`. Imports lead downwards only:
//!
//! 1. [`cli`]: what every command shares with the shell: exit status, standard output, standard error, a progress bar.
//! 2. [`shared`]: what several commands need: module lists, the module tree, firmware, decompression.
//! 3. [`build`], [`check`] and [`docs`]: the commands.
//! 4. [`kata`]: the command that runs another one, [`check`].
//!
//! The guest's own code decides which modules a list takes, so `check` predicts what a VM does, and an image that `build`
//! makes holds what the VM looks for.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![allow(clippy::result_large_err, reason = "the library's failures carry their text with them")]

mod build;
mod check;
mod cli;
mod docs;
mod kata;
mod shared;

use clap::{CommandFactory, Parser, Subcommand};

use cli::exit::{self, Exit};
use docs::{completions, explain, man};

/// Images that guest-init boots: made, checked and explained, on the host.
#[derive(Debug, Parser)]
#[command(name = "guest-image", version, arg_required_else_help = true, after_help = exit::STATUS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Arguments),
    Build(build::Arguments),
    Explain(explain::Arguments),
    Kata(kata::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

fn main() -> Exit {
    let outcome = match &Arguments::parse().command {
        Command::Check(arguments) => check::run(arguments),
        Command::Build(arguments) => build::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Kata(arguments) => kata::run(arguments),
        Command::Completions(arguments) => completions::run(arguments, &mut Arguments::command()),
        Command::Man(arguments) => man::run(arguments, Arguments::command()),
    };
    outcome.unwrap_or_else(|error| {
        cli::stderr::report(&error);
        Exit::Failed
    })
}
