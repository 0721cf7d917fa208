//! The fuzz targets, and the properties that must hold for every input. libFuzzer's programs in `fuzz_targets` call
//! them, and `regressions.rs`, which replays seeds and past findings without libFuzzer.
//!
//! Every input is a file that a person can read and write: parts of text with a line `====` between them.

#[path = "../../../src/bin/guest-image/build/index_writer.rs"]
#[allow(dead_code, reason = "the writer of indexes serves guest-image, too")]
mod writer;

#[path = "../../../src/bin/guest-image/listen/framing.rs"]
mod framing;

pub mod config;
pub mod disk;
pub mod elf;
pub mod index;
pub mod notification;
pub mod plan;
pub mod request;
pub mod timeline;
pub mod unpack;

use guest_init::failure::Failure;

/// A target: its name, which is that of its program and of its folders of seeds, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: [Target; 13] = [
    ("command_line", request::command_line),
    ("config", config::config),
    ("disk", disk::disk),
    ("elf", elf::elf),
    ("list", request::list),
    ("modprobe", request::modprobe),
    ("notification", notification::notification),
    ("plan", plan::plan),
    ("text_index", index::text_index),
    ("timeline", timeline::timeline),
    ("trie", index::trie),
    ("unpack", unpack::unpack),
    ("verity", disk::verity),
];

/// The parts of an input. The last part is the rest of the input, and missing parts are empty.
fn parts<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    const BETWEEN: &[u8] = b"====\n";
    let mut rest = input;
    let mut number = 0;
    [(); N].map(|()| {
        number += 1;
        let end = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN).filter(|_| number < N);
        let (part, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind.get(BETWEEN.len()..).unwrap_or_default();
        part
    })
}

/// The first line of an input, and the rest.
fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|&b| b == b'\n');
    end.map_or((input, b""), |end| (&input[..end], &input[end + 1..]))
}

/// Asserts that a failure is one line of printable ASCII that fits into a record of the kernel's log.
fn check_failure(failure: &Failure) {
    let line = failure.to_string();
    assert!(line.len() <= 900, "{} bytes: {line}", line.len());
    check_printable(&line);
}

/// Asserts that the text can neither forge a line nor control a terminal.
fn check_printable(text: &str) {
    assert!(text.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{text:?}");
}

/// Asserts that a borrowed part lies within its input.
fn check_within(part: &[u8], whole: &[u8]) {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    assert!(part.is_empty() || (whole.start <= part.start && part.end <= whole.end));
}
