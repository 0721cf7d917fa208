//! The kernel command line, module lists, and modprobe's arguments.

use guest_init::failure::{Failure, Report};
use guest_init::request::devices::Devices;
use guest_init::request::kernel::KernelWords;
use guest_init::request::kernel::words::{is_space, words};
use guest_init::request::list::{self, Entry, ModuleEntry};
use guest_init::request::location::Location;
use guest_init::request::modprobe::call::{Asked, Call, environment_words, quoted};
use guest_init::request::{MOST_ENTRIES, MOST_FILES, Request};

use super::{check_failure, check_printable, check_within, first_line, parts};

/// Input: a command line, and the text of every list file that it names.
pub fn command_line(input: &[u8]) {
    let [line, text] = parts(input);
    let mut log = |failure: &Failure| check_failure(failure);
    let mut report = Report::new(&mut log);
    let mut request = Request::parse(line, &mut report);
    check_request(&request, line);

    let own: Vec<_> = request.entries.iter().copied().collect();
    let texts = vec![text; request.files.len()];
    request.insert_lists(&texts, &mut report);
    assert!(request.entries.len() >= own.len().min(MOST_ENTRIES));
    request.entries.iter().for_each(|entry| check_entry(entry, input));
    report.verdict().inspect_err(check_failure).unwrap_or_default();

    check_words(line);
    check_root(line);
}

fn check_request(request: &Request<'_>, line: &[u8]) {
    assert!(request.entries.len() <= MOST_ENTRIES && request.files.len() <= MOST_FILES);
    assert!(request.files.iter().all(|file| file.after <= request.entries.len()));
    request.files.iter().for_each(|file| check_location(&file.location));
    request.module_dirs().iter().for_each(check_location);
    assert!(request.agent.starts_with(b"/"));
    assert!(request.deadline.as_secs() <= 86_400);
    // The words behind ` -- ` are the agent's, and all before it are the kernel's or ours.
    let kernel = request.kernel.modules.words();
    assert!(kernel.clone().all(|word| !word.is_end()));
    assert_eq!(kernel.count() + request.arguments.clone().count() + ends(line), words(line).count());
}

/// Whether a line has the word `--`.
fn ends(line: &[u8]) -> usize {
    usize::from(words(line).any(|word| word.is_end()))
}

/// Asserts that a location, written, is read as the same location.
pub fn check_location(location: &Location<'_>) {
    assert!(location.path.starts_with(b"/") && !location.below().starts_with(b"/"));
    let text = location.to_string();
    check_printable(&text);
    if !text.contains('\\') {
        assert_eq!(Location::parse(text.as_bytes()), Ok(*location));
    }
}

/// Asserts that the words come from the line in order, with nothing but blanks between them.
fn check_words(line: &[u8]) {
    let mut end = 0;
    for word in words(line) {
        let start = word.raw.as_ptr().addr() - line.as_ptr().addr();
        assert!(start >= end && line[end..start].iter().copied().all(is_space));
        assert!(!word.raw.is_empty() && !word.raw.first().copied().is_some_and(is_space));
        word.argument().into_iter().for_each(|part| assert!(part.len() <= word.raw.len()));
        assert!(word.closed == (word.raw.iter().filter(|&&b| b == b'"').count() % 2 == 0));
        end = start + word.raw.len();
    }
    assert!(line[end..].iter().copied().all(is_space));
}

fn check_root(line: &[u8]) {
    if let Some(root) = KernelWords::read(line, &mut |_| {}).0.root {
        let verity = root.verity;
        assert!(!(root.source.is_empty() && verity.root_hash.is_empty()) && root.fs_types != Some(b""));
        let parts = [root.source, root.flags, verity.root_hash, verity.data, verity.hash, verity.options];
        parts.into_iter().for_each(|part| check_within(part, line));
        check_printable(&root.to_string());
    }
}

/// Input: a list, as a file or a word has it.
pub fn list(input: &[u8]) {
    let mut count = 0;
    list::read(input, "list", &mut |entry| {
        count += 1;
        match entry {
            Err(failure) => check_failure(&failure),
            Ok(entry) => {
                check_entry(&entry, input);
                check_written_again(&entry);
            }
        }
    });
    assert!(count <= input.len() / 2 + 2, "{count} entries");
}

/// Asserts that an entry can be printed, and that it is within the input.
fn check_entry(entry: &Entry<'_>, input: &[u8]) {
    check_printable(&entry.to_string());
    match entry {
        Entry::Module(module) => check_module(module, input),
        Entry::Devices(devices) => assert_eq!(devices.ask_for(b"Pci:x"), *devices == Devices::ALL),
    }
}

/// Asserts that a name can be neither an option nor a path, and that parameters stay on one line.
fn check_module(entry: &ModuleEntry<'_>, input: &[u8]) {
    check_within(entry.name.as_bytes(), input);
    check_within(entry.parameters, input);
    let name = entry.name.as_bytes();
    assert!(name.first().is_some_and(|&b| b.is_ascii_alphanumeric() || b == b'_'));
    assert!(!name.contains(&b'/') && name.iter().all(u8::is_ascii_graphic));
    assert_eq!(entry.parameters, entry.parameters.trim_ascii());
    assert!(str::from_utf8(entry.parameters).is_ok());
    assert!(!entry.parameters.iter().any(|&b| b.is_ascii_control() && b != b'\t'));
}

/// Asserts that an entry, written as a list of one, is read as the same entry.
fn check_written_again(entry: &Entry<'_>) {
    let (mark, parameters) = match entry.module() {
        Some(module) => (if module.optional { "?" } else { "" }, module.parameters),
        None => ("", &b""[..]),
    };
    let text = [mark.as_bytes(), entry.to_string().as_bytes(), b" ", parameters].concat();
    let mut count = 0;
    list::read(&text, "list", &mut |again| {
        count += 1;
        assert_eq!(again.as_ref(), Ok(entry));
    });
    assert_eq!(count, 1);
}

/// Input: MODPROBE_OPTIONS on the first line, then an argument a line.
pub fn modprobe(input: &[u8]) {
    let (environment, arguments) = first_line(input);
    let (mut text, mut words) = (environment.to_vec(), Vec::new());
    let mut length = 0;
    environment_words(&mut text, &mut |word| {
        length += word.len();
        words.push(word);
    });
    assert!(length <= environment.len() && words.len() <= environment.len());
    words.extend(arguments.split(|&b| b == b'\n'));
    match Call::parse(&words) {
        Err(wrong) => {
            let mut length = 0;
            wrong.each_piece(&mut |piece| length += piece.len());
            assert!(length > 0);
        }
        Ok(Asked::Modules(call)) => check_call(&call, words.len()),
        Ok(_) => {}
    }
}

fn check_call(call: &Call<'_>, most: usize) {
    assert!((1..=most).contains(&call.operands().count()));
    assert!(call.config().count() <= most);
    for parameter in call.operands().skip(1) {
        let text = quoted(parameter).concat();
        assert!(text == parameter || text.len() == parameter.len() + 2);
    }
}
