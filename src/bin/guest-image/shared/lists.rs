//! Module lists that a command line gives as text or as files.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use guest_init::failure::Failure;
use guest_init::guest::handoff::lists;
use guest_init::guest::system::files::{open_directory, open_regular};
use rustix::io::Errno;

/// The arguments for module lists.
#[derive(Debug, Args)]
pub struct Lists {
    /// A module list, written as for guest_init.modules=, for example `e1000e EEE=1; ?i915`
    #[arg(value_name = "LIST")]
    lists: Vec<String>,
    /// A file with a module list, as for guest_init.modules_file=; `-` is standard input
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The text of a module list, and its name in messages.
#[derive(Debug)]
pub struct List {
    /// `LIST`, or the path of its file.
    pub name: String,
    /// The bytes, or the failure that PID 1 would end with.
    pub text: Result<Vec<u8>, Failure>,
}

impl Lists {
    /// Reads all lists: first those given as text, then the files, as the guest reads them.
    ///
    /// Error: a file does not exist.
    pub fn read(&self) -> Result<Vec<List>> {
        read(&self.lists, &self.files)
    }
}

/// Reads lists that are given as text, and then lists in files.
///
/// Error: a file does not exist.
pub fn read(lists: &[String], files: &[PathBuf]) -> Result<Vec<List>> {
    let given = lists.iter().map(|text| Ok(List { name: "LIST".into(), text: Ok(text.clone().into()) }));
    given.chain(files.iter().map(|file| read_list(file))).collect()
}

/// Reads a list from a file. `-` is standard input.
fn read_list(file: &Path) -> Result<List> {
    let name = file.display().to_string();
    if file == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).context("standard input")?;
        return Ok(List { name: "standard input".into(), text: Ok(text) });
    }
    // A file that does not exist is a mistake in the arguments. Any other failure would happen in the guest as well.
    let file = open_directory(".").and_then(|here| open_regular(&here, file));
    if let Err(error @ (Errno::NOENT | Errno::NOTDIR)) = file {
        return Err(std::io::Error::from(error)).with_context(|| format!("--file {name}"));
    }
    let text = lists::text(&name, file).map(<[u8]>::to_vec);
    Ok(List { name, text })
}
