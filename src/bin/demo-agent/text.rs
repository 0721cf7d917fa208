//! Text in and out: bounded reads, what the console can show, and how the report is laid out. It
//! knows no subject.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The most that is read of any file, in bytes.
pub const FILE_LIMIT: usize = 1024 * 1024;
/// The console's width, in characters; a cell or word that is wider by itself is not cut.
const WIDTH: usize = 80;

/// Prints a line. A console that fails (EIO after a hang-up) must not end PID 1, so errors are
/// ignored.
pub fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes());
    let _ = out.write_all(b"\n");
    let _ = out.flush();
}

/// Waits until the console has sent what was printed: a power-off drops what its driver still
/// holds.
pub fn drain() {
    let _ = rustix::termios::tcdrain(io::stdout());
}

/// The first `limit` bytes of a file, or those that are there now: a read that would block ends it,
/// as at the end of /dev/kmsg, which also gives one record a read and EPIPE for records that were
/// overwritten meanwhile.
pub fn read_bounded(path: impl AsRef<Path>, limit: usize) -> io::Result<Vec<u8>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let mut content = Vec::new();
    let mut chunk = [0; 8192];
    // Every turn but the passed-over ones adds a byte or more, so `limit` turns are enough.
    for _ in 0..limit {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => content.extend(chunk.iter().take(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::BrokenPipe) => {
                continue;
            }
            Err(error) => return Err(error),
        }
        if content.len() >= limit {
            break;
        }
    }
    content.truncate(limit);
    Ok(content)
}

/// A file of the kernel's as text, for the report, where one that cannot be read is as good as an
/// empty one.
pub fn read_text(path: impl AsRef<Path>) -> String {
    String::from_utf8_lossy(&read_bounded(path, FILE_LIMIT).unwrap_or_default()).into_owned()
}

/// Text that cannot move the cursor or pass for another line: control characters are escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '\t' => shown.push(' '),
            _ if character.is_control() => shown.extend(character.escape_default()),
            _ => shown.push(character),
        }
    }
    shown
}

/// `ENOENT` and so on; what is no system error in its own words.
pub fn errno_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(raw) => format!("{:?}", nix::errno::Errno::from_raw(raw)),
        None => error.to_string(),
    }
}

/// Prints a section's heading, after an empty line.
pub fn heading(title: &str) {
    say(&format!("\n{title}"));
}

/// Prints rows with their columns aligned, indented by two.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        say(format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end());
    }
}

/// Prints words after a name that fills `indent` characters, going on below the first word where a
/// line is full.
pub fn wrapped(name: &str, indent: usize, words: &[String]) {
    let mut line = format!("  {name:indent$}");
    let empty = indent + 2;
    for word in words {
        if line.chars().count() > empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            say(line.trim_end());
            line = " ".repeat(empty);
        }
        line.push(' ');
        line.push_str(word);
    }
    say(line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_value_cannot_start_a_line() {
        assert_eq!(printable(b"a\tb\nagent: done\x1b[2J\xff"), "a b\\nagent: done\\u{1b}[2J\u{fffd}");
    }

    #[test]
    fn a_read_stops_at_its_bound() {
        assert_eq!(read_bounded("/dev/zero", 10_000).expect("reads").len(), 10_000);
    }
}
