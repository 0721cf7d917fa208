//! Bounded reads of text, and the printing of lines, tables and sections.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The most bytes that are read of a file.
pub const FILE_LIMIT: usize = 1024 * 1024;
/// The width of the report in characters. A wider word or cell is not cut.
const WIDTH: usize = 80;

/// Prints a line. Errors are ignored, because a console that fails (EIO after a hang-up) must not end PID 1.
pub fn print_line(line: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes());
    let _ = out.write_all(b"\n");
    let _ = out.flush();
}

/// Waits until the device has sent all that was printed, because a power-off loses the driver's buffer.
pub fn drain() {
    let _ = rustix::termios::tcdrain(io::stdout());
}

/// The first `limit` bytes of a file, as far as they can be read without blocking. A read of /dev/kmsg returns one
/// record, EAGAIN at the end, and EPIPE if records were overwritten before they were read.
pub fn read_bounded(path: impl AsRef<Path>, limit: usize) -> io::Result<Vec<u8>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let mut content = Vec::new();
    let mut chunk = [0; 8192];
    // Each read that succeeds adds a byte or more, so `limit` reads are enough.
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

/// A file as text, which is empty if the file cannot be read.
pub fn read_text(path: impl AsRef<Path>) -> String {
    String::from_utf8_lossy(&read_bounded(path, FILE_LIMIT).unwrap_or_default()).into_owned()
}

/// The text with escaped control characters, so that it cannot control a terminal or start a line.
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

/// The name of an errno, such as `ENOENT`, or the message of another error.
pub fn errno_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(raw) => format!("{:?}", nix::errno::Errno::from_raw(raw)),
        None => error.to_string(),
    }
}

/// Prints a section's heading, after an empty line.
pub fn heading(title: &str) {
    print_line(&format!("\n{title}"));
}

/// Prints rows with aligned columns, indented by two.
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
        print_line(format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end());
    }
}

/// Prints words behind a name, which takes `indent` characters. Lines that continue a full one begin below the first
/// word.
pub fn wrapped(name: &str, indent: usize, words: &[String]) {
    let mut line = format!("  {name:indent$}");
    let empty = indent + 2;
    for word in words {
        if line.chars().count() > empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            print_line(line.trim_end());
            line = " ".repeat(empty);
        }
        line.push(' ');
        line.push_str(word);
    }
    print_line(line.trim_end());
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
