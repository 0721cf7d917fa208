//! A file with a console's or a kernel's log, or standard input.

use std::fs::File;
use std::io::{self, IsTerminal, Read};

use crate::cli::stderr;

/// The bound on a log's size, in bytes.
const LONGEST: u64 = 64 << 20;

/// Reads a log. `-` is standard input. Bytes that are not UTF-8 become U+FFFD.
pub fn read(file: &str) -> io::Result<String> {
    let source: Box<dyn Read> = match file {
        "-" => {
            if io::stdin().is_terminal() {
                stderr::warn("reading standard input; paste the console log and press Ctrl-D");
            }
            Box::new(io::stdin())
        }
        file => Box::new(File::open(file)?),
    };
    let mut bytes = Vec::new();
    match source.take(LONGEST + 1).read_to_end(&mut bytes)? as u64 {
        length if length > LONGEST => Err(io::Error::other("more than 64 MiB; `tail` has the end of the log")),
        _ => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// The name of a log for messages.
pub fn name(file: &str) -> &str {
    if file == "-" { "standard input" } else { file }
}
