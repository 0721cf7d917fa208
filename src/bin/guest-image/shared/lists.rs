//! Module lists, as arguments and as files.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use guest_init::failure::Failure;
use guest_init::guest::handoff::lists;
use guest_init::guest::system::files::{open_directory, open_regular};
use rustix::io::Errno;

/// Lists of modules.
#[derive(Debug, Args)]
pub struct Lists {
    /// A list of modules as in guest_init.modules=, such as `e1000e EEE=1; ?i915`
    #[arg(value_name = "LIST")]
    lists: Vec<String>,
    /// A file with such a list, as guest_init.modules_file= names one; `-` is standard input
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The text of a list, and what it is called in messages.
#[derive(Debug)]
pub struct List {
    /// `LIST`, or the path of the file.
    pub name: String,
    /// Its bytes, or the failure that PID 1 would end with.
    pub text: Result<Vec<u8>, Failure>,
}

impl Lists {
    /// The texts of all lists: those of the command line, then those in files, which are read as the guest reads them.
    pub fn read(&self) -> Result<Vec<List>> {
        let given = self.lists.iter().map(|text| Ok(List { name: "LIST".into(), text: Ok(text.clone().into()) }));
        given.chain(self.files.iter().map(|file| read_list(file))).collect()
    }
}

/// Reads the file of a list; `-` is standard input.
fn read_list(file: &Path) -> Result<List> {
    let name = file.display().to_string();
    if file == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).context("standard input")?;
        return Ok(List { name: "standard input".into(), text: Ok(text) });
    }
    // Not being there is the caller's mistake; all else would be wrong in the guest as well.
    let file = open_directory(".").and_then(|here| open_regular(&here, file));
    if let Err(error @ (Errno::NOENT | Errno::NOTDIR)) = file {
        return Err(std::io::Error::from(error)).with_context(|| format!("--file {name}"));
    }
    let text = lists::text(&name, file).map(<[u8]>::to_vec);
    Ok(List { name, text })
}
