//! guest-image, the host's tool: it builds images that guest-init boots, checks module lists, listens to VMs, explains
//! failures, and shows where the time of a boot went.
//!
//! Each command is a folder, or a file in [`docs`], that holds its arguments and its function `run`. A file imports
//! from its own room and from rooms with a lower number, never from a higher one:
//!
//! 1. [`cli`]: how every command talks to the shell.
//! 2. [`shared`]: arguments and files that several commands read.
//! 3. [`build`], [`check`], [`docs`], [`listen`], [`timeline`]: the commands.
//! 4. [`extension`], [`kata`]: the commands that stand on another one, `build` or `check`.
//!
//! The guest's own code reads the lists and plans the modules. So `check` predicts what a VM does, and an image that
//! `build` makes contains the files that the VM looks for.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![allow(clippy::result_large_err, reason = "the library's failures carry their text with them")]

mod build;
mod check;
mod cli;
mod docs;
mod extension;
mod kata;
mod listen;
mod shared;
mod timeline;

use std::sync::LazyLock;

use clap::{CommandFactory, Parser, Subcommand};
use guest_init::version::Version;

use cli::exit::{self, Exit};
use docs::{completions, explain, man};

/// The version and, if scripts/install or scripts/package made this program, the commit.
static VERSION: LazyLock<String> =
    LazyLock::new(|| Version::of_guest_image(option_env!("GUEST_INIT_COMMIT")).to_string());

/// Builds images that guest-init boots, checks module lists for them, listens to VMs, and explains their failures.
#[derive(Debug, Parser)]
#[command(name = "guest-image", version = VERSION.as_str(), arg_required_else_help = true, after_help = exit::STATUS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Arguments),
    Build(build::Arguments),
    Extension(extension::Arguments),
    Explain(explain::Arguments),
    Kata(kata::Arguments),
    Listen(listen::Arguments),
    Timeline(timeline::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

fn main() -> Exit {
    let outcome = match &Arguments::parse().command {
        Command::Check(arguments) => check::run(arguments),
        Command::Build(arguments) => build::run(arguments),
        Command::Extension(arguments) => extension::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Kata(arguments) => kata::run(arguments),
        Command::Listen(arguments) => listen::run(arguments),
        Command::Timeline(arguments) => timeline::run(arguments),
        Command::Completions(arguments) => completions::run(arguments, &mut Arguments::command()),
        Command::Man(arguments) => man::run(arguments, Arguments::command()),
    };
    outcome.unwrap_or_else(|error| {
        cli::stderr::report(&error);
        Exit::Failed
    })
}
