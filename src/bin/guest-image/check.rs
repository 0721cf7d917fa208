//! `guest-image check`: what PID 1 would do with lists of modules on a module tree, known before any VM starts.

use anyhow::Result;
use clap::Args;

use crate::args::{List, Lists, Place};
use crate::exit::Exit;

/// Says what a VM would do with lists of modules: its plan, or all that would fail.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    lists: Lists,
    #[command(flatten)]
    against: Against,
}

/// What lists are checked against, and how that is told. `kata --check` takes the same.
#[derive(Debug, Args)]
pub struct Against {
    #[command(flatten)]
    place: Place,
}

/// The command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    lists(&arguments.lists.read()?, &arguments.against)
}

/// Checks lists, and prints what is found.
pub fn lists(lists: &[List], against: &Against) -> Result<Exit> {
    anyhow::bail!("{} lists against {}", lists.len(), against.place.module_dir().display())
}
