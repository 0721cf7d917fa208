//! guest-image: the host's tool for images that guest-init boots.
//!
//! One file a noun: a command has a file ([`build`], [`check`], [`explain`], [`kata`], …) with its arguments and what it
//! does; those that several take are in [`args`], how it ends in [`exit`]. [`layout`], [`selection`], [`tree_files`],
//! [`trie`], [`archive`] and [`output`] each know one thing that an image takes. What a list of modules takes is decided by
//! the guest's own code, so the image holds what the guest will look for.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![allow(clippy::result_large_err, reason = "the library's failures carry their text with them")]

mod acceptance;
mod against;
mod archive;
mod args;
mod base;
mod build;
mod check;
mod completions;
mod contents;
mod exit;
mod explain;
mod findings;
mod firmware;
mod inspection;
mod kata;
mod kernel;
mod layout;
mod man;
mod output;
mod progress;
mod rehearsal;
mod selection;
mod terminal;
mod tree_files;
mod trie;
mod wrong;

use clap::{Parser, Subcommand};

use exit::Exit;

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
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments),
    };
    outcome.unwrap_or_else(|error| {
        wrong::report(&error);
        Exit::Failed
    })
}
