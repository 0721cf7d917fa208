//! What is fuzzed, and what must hold whatever the input: shared by libFuzzer's programs, `fuzz_targets/`, and by
//! tests/fuzz_regressions.rs, which replays seeds and past findings without libFuzzer.
//!
//! Every input is a file that can be read and written by hand: parts of text, with a line `====` between them.

#[path = "../../../src/bin/guest-image/build/index_writer.rs"]
#[allow(dead_code, reason = "the writer of indexes serves guest-image, too")]
mod writer;

pub mod config;
pub mod elf;
pub mod index;
pub mod plan;
pub mod request;
pub mod unpack;

use guest_init::failure::Failure;

/// A target: its name, as cargo fuzz and the folders of seeds have it, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: [Target; 9] = [
    ("command_line", request::command_line),
    ("config", config::config),
    ("elf", elf::elf),
    ("list", request::list),
    ("modprobe", request::modprobe),
    ("plan", plan::plan),
    ("text_index", index::text_index),
    ("trie", index::trie),
    ("unpack", unpack::unpack),
];

/// The parts of an input, the last with all that is left; one that is not there is empty.
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

/// The first line of an input, and what is behind it.
fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|&b| b == b'\n');
    end.map_or((input, b""), |end| (&input[..end], &input[end + 1..]))
}

/// A failure is one line of printable ASCII that a record of the kernel log has room for.
fn check_failure(failure: &Failure) {
    let line = failure.to_string();
    assert!(line.len() <= 900, "{} bytes: {line}", line.len());
    check_printable(&line);
}

/// Nothing from outside can forge a line or steer a terminal.
fn check_printable(text: &str) {
    assert!(text.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{text:?}");
}

/// What is borrowed from an input lies in it, and nowhere else.
fn check_within(part: &[u8], whole: &[u8]) {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    assert!(part.is_empty() || (whole.start <= part.start && part.end <= whole.end));
}
