//! `guest-image man`: writes the manual pages.
//!
//! The pages of guest-image are made from its help texts. [`guest_init`] makes guest-init(8), from the tables of the
//! code, and [`recipes`] makes guest-init-recipes(7).

mod guest_init;
mod markup;
mod recipes;

use std::path::PathBuf;
use std::{fs, io};

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::cli::exit::{self, Exit};

/// Writes the manual pages guest-init(8), guest-init-recipes(7), guest-image(1) and one for each of its commands.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder for the pages. It is made if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Runs the command. `tool` describes all of guest-image.
pub fn run(arguments: &Arguments, tool: Command) -> Result<Exit> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let mut tool = tool.disable_help_subcommand(true);
    tool.build();
    let mut pages = vec![
        ("guest-init.8".to_string(), guest_init::page().into_bytes()),
        ("guest-init-recipes.7".to_string(), recipes::page().into_bytes()),
    ];
    for command in [&tool].into_iter().chain(tool.get_subcommands()) {
        let man = Man::new(command.clone()).source(concat!("guest-image ", env!("CARGO_PKG_VERSION")));
        pages.push((man.get_filename(), page(&man, command)?));
    }
    for (name, text) in pages {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(Exit::Done)
}

/// The page of guest-image, or of one of its commands.
fn page(man: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut ending = Roff::new();
    for (heading, lines) in after_help(command) {
        ending.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
        ending.text([roman(lines)]).control("fi", []);
    }
    ending.control("SH", ["SEE ALSO"]).text([
        bold("guest-image"),
        roman("(1), "),
        bold("guest-init"),
        roman("(8), "),
        bold("guest-init-recipes"),
        roman("(7)"),
    ]);
    ending.to_writer(&mut page)?;
    Ok(page)
}

/// The end of a help text: the examples and the exit status. Each is a line `Heading:` with lines below it.
fn after_help(command: &Command) -> Vec<(String, String)> {
    let text = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string).unwrap_or_default();
    let status = if text.contains("Exit status:\n") { "" } else { exit::STATUS };
    let blocks = text.split("\n\n").chain([status]).filter_map(|block| block.split_once(":\n"));
    blocks.map(|(heading, lines)| (heading.to_string(), lines.trim_end().to_string())).collect()
}
