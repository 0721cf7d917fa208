//! guest-image: the host's tool for images that guest-init boots.
//!
//! One file a noun: a command's file ([`build`]) says in one sentence what the command does; [`layout`], [`selection`],
//! [`tree_files`], [`trie`], [`archive`] and [`output`] each know one thing that it takes. What a list of modules
//! takes is decided by the guest's own resolver, so the image holds what the guest will look for.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![allow(clippy::result_large_err, reason = "the library's failures carry their text with them")]

mod archive;
mod build;
mod layout;
mod output;
mod progress;
mod selection;
mod tree_files;
mod trie;
mod wrong;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Images that guest-init boots: made, and looked into, on the host.
///
/// Exit status: 0; 1 if it could not be done, with the reasons on standard error, a line each; 2 for wrong arguments.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Arguments),
}

fn main() -> ExitCode {
    let outcome = match &Arguments::parse().command {
        Command::Build(arguments) => build::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            wrong::report(&error);
            ExitCode::FAILURE
        }
    }
}
