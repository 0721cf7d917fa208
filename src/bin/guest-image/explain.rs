//! `guest-image explain`: what a failure's code means, and what to look at.

use anyhow::{Context, Result};
use clap::Args;
use guest_init::failure::Code;

use crate::exit::Exit;

/// Says what a code means with which a VM ended.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The code, such as 0x42
    #[arg(value_name = "TEXT")]
    text: String,
}

/// The command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let text = &arguments.text;
    let code = Code::ALL.iter().find(|code| code.to_string() == *text).with_context(|| format!("{text}: no code"))?;
    println!("{code}: {}\nLook at: {}", code.meaning(), code.look());
    Ok(Exit::Done)
}
