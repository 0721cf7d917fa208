//! The quoting of the kernel command line, the grammar of lists and the bounds of both.

use guest_init::failure::{Code, Failure, Report};
use guest_init::request::kernel::words::{is_space, words};
use guest_init::request::list::{self, Entry};
use guest_init::request::{MOST_ENTRIES, MOST_FILES, MOST_TREES, Request};
use proptest::collection::vec;
use proptest::prelude::*;

/// The kernel's `next_arg` (lib/cmdline.c), line for line. It writes NULs into the text and steps over them.
fn next_arg(args: &mut [u8]) -> (String, Option<String>, usize) {
    let at = |args: &[u8], i: usize| args.get(i).copied().unwrap_or(0);
    let string = |args: &[u8], from: usize| {
        let text = args[from.min(args.len())..].split(|&b| b == 0).next().unwrap();
        text.iter().map(|&b| char::from(b)).collect::<String>()
    };
    let (mut start, mut in_quote, mut quoted, mut equals) = (0, false, false, 0);
    if at(args, 0) == b'"' {
        (start, in_quote, quoted) = (1, true, true);
    }
    let mut i = 0;
    while at(args, start + i) != 0 {
        let byte = at(args, start + i);
        if is_space(byte) && !in_quote {
            break;
        }
        if equals == 0 && byte == b'=' {
            equals = i;
        }
        if byte == b'"' {
            in_quote = !in_quote;
        }
        i += 1;
    }
    let mut value = None;
    let end = start + i;
    if equals != 0 {
        args[start + equals] = 0;
        let mut from = start + equals + 1;
        if at(args, from) == b'"' {
            from += 1;
            if at(args, end - 1) == b'"' {
                args[end - 1] = 0;
            }
        }
        value = Some(from);
    }
    if quoted && i > 0 && at(args, end - 1) == b'"' {
        args[end - 1] = 0;
    }
    let mut next = end;
    if at(args, end) != 0 {
        args[end] = 0;
        next = end + 1;
    }
    while is_space(at(args, next)) {
        next += 1;
    }
    (string(args, start), value.map(|from| string(args, from)), next)
}

fn as_the_kernel_cuts(line: &[u8]) -> Vec<(String, Option<String>)> {
    let mut line = line.to_vec();
    let mut at = line.iter().position(|&b| !is_space(b)).unwrap_or(line.len());
    let mut cut = Vec::new();
    while at < line.len() {
        let (name, value, next) = next_arg(&mut line[at..]);
        cut.push((name, value));
        at += next;
    }
    cut
}

/// Lines of the characters that matter to the quoting, and others.
fn line() -> impl Strategy<Value = Vec<u8>> {
    vec(
        prop_oneof![Just(b' '), Just(b'"'), Just(b'='), Just(b'a'), Just(b';'), Just(b'\t'), Just(b'-'), 1..=255u8],
        0..40,
    )
}

/// A parameter as people write it, with blanks and `;` only between quotes.
fn parameter() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,6}=[0-9,x]{0,5}", "[a-z]{1,6}", "[a-z]{1,6}=\"[a-z ;#?\\[\t]{0,8}\""]
}

fn written() -> impl Strategy<Value = (String, String, bool)> {
    let parameters = vec(parameter(), 0..4).prop_map(|words| words.join(" "));
    let module = ("[a-zA-Z0-9_][a-zA-Z0-9_:*-]{0,12}", parameters, any::<bool>());
    let devices = "@devices(=[a-z0-9_-]{1,5}(,[a-z0-9_-]{1,5}){0,2})?";
    prop_oneof![4 => module, 1 => devices.prop_map(|name| (name, String::new(), false))]
}

/// The texts that may stand between entries.
fn separator() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(";"), Just("\n"), Just(" ;; "), Just("\n# a; comment \"\n"), Just("\r\n\t"), Just("; \n #\n;\n")]
}

fn read(text: &[u8]) -> Vec<Result<Entry<'_>, Failure>> {
    let mut entries = Vec::new();
    list::read(text, "list", &mut |entry| entries.push(entry));
    entries
}

/// The parameters of an entry. One for devices has none.
fn parameters<'a>(entry: &Entry<'a>) -> &'a [u8] {
    entry.module().map_or(b"", |module| module.parameters)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_are_cut_as_the_kernel_cuts_them(line in line()) {
        let text = |bytes: &[u8]| bytes.iter().map(|&b| char::from(b)).collect::<String>();
        let ours: Vec<_> = words(&line).map(|word| (text(word.name), word.value.map(text))).collect();
        prop_assert_eq!(ours, as_the_kernel_cuts(&line));
    }

    #[test]
    fn a_written_list_reads_as_it_was_meant(entries in vec((written(), separator()), 0..12)) {
        let text: String = entries.iter()
            .map(|((name, parameters, optional), end)| format!(" {}{name}\t{parameters} {end}", if *optional { "?" } else { "" }))
            .collect();
        let ours: Vec<_> = read(text.as_bytes()).into_iter()
            .map(|entry| entry.map(|entry| (
                entry.to_string(),
                String::from_utf8(parameters(&entry).to_vec()).unwrap(),
                entry.module().is_some_and(|module| module.optional),
            )))
            .collect::<Result<_, _>>().unwrap();
        let meant: Vec<_> = entries.into_iter().map(|(entry, _)| entry).collect();
        prop_assert_eq!(ours, meant);
    }

    #[test]
    fn an_array_reads_as_the_list_of_its_strings(names in vec("[a-z][a-z0-9_-]{0,8}( [a-z]=[0-9])?", 0..6), comma: bool) {
        let strings: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let array = format!("[ {}{} ]", strings.join(" ,\n"), if comma && !names.is_empty() { "," } else { "" });
        let plain = names.join(";");
        prop_assert_eq!(read(array.as_bytes()), read(plain.as_bytes()));
    }

    #[test]
    fn an_entry_is_a_name_and_words_or_a_printable_failure(text in vec(any::<u8>(), 0..80)) {
        for entry in read(&text) {
            match entry {
                Ok(entry) => {
                    let (name, parameters) = (entry.to_string(), parameters(&entry));
                    prop_assert!(!name.contains('/') && !name.starts_with('-'));
                    prop_assert!(parameters.iter().filter(|&&b| b == b'"').count() % 2 == 0);
                    prop_assert!(!parameters.contains(&b'\n') && !parameters.contains(&0));
                }
                Err(failure) => {
                    prop_assert!(matches!(failure.code, Code::BadEntry | Code::UnbalancedQuote));
                    prop_assert!(failure.to_string().bytes().all(|b| b.is_ascii_graphic() || b == b' '));
                }
            }
        }
    }

    #[test]
    fn every_command_line_is_read_or_a_failure_of_bounded_length(line in vec(any::<u8>(), 0..200), ours in "guest_init\\.[a-z]{0,8}(=.{0,20})?") {
        let line = [ours.as_bytes(), b" ", &line].concat();
        let mut logged = Vec::new();
        let mut log = |failure: &Failure| logged.push(failure.to_string());
        let mut report = Report::new(&mut log);
        let _ = Request::parse(&line, &mut report);
        if let Err(verdict) = report.verdict() {
            prop_assert!(verdict.to_string().len() <= 900);
        }
    }
}

/// The names of the entries of a list, or the first failure.
fn names(text: &str) -> Result<String, String> {
    let entries: Result<Vec<_>, _> = read(text.as_bytes()).into_iter().collect();
    let entries = entries.map_err(|failure| failure.to_string())?;
    Ok(entries.iter().map(|entry| format!("{entry} {};", parameters(entry).escape_ascii())).collect())
}

#[test]
fn lists_of_other_tools_are_understood_if_they_have_one_meaning() {
    for (text, expected) in [
        ("\u{feff}a\r\nb x=1\r\n", "a ;b x=1;"),
        ("\u{feff}[\"a\"]", "a ;"),
        ("[\n  \"a x=1\", # the card\n  # no more\n  'b',\n]\n", "a x=1;b ;"),
        ("# for the pod\n[ # a list\r\n\"a\"\r\n# end\r\n] # of it", "a ;"),
        ("[] # none", ""),
        (";a", "a ;"),
        ("; ;\na", "a ;"),
        ("@devices;a", "@devices ;a ;"),
        ("[\"@devices=pci,usb\", \"a\"]", "@devices=pci,usb ;a ;"),
    ] {
        assert_eq!(names(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn lists_with_two_meanings_are_failures_with_a_hint() {
    for (text, expected) in [
        (
            "; for the pod\na\n",
            "read list `; for the pod`: EINVAL: a comment begins with `#`, and an entry does not begin",
        ),
        ("a\n  ;b", "read list `;b`: EINVAL: a comment begins with `#`"),
        ("'a; b'", "read list `'a`: EINVAL: `'` is no quote here; the only quote is `\"`"),
        ("a x='y;z'", "read list `z'`: EINVAL: `'` is no quote here"),
        ("@device", "read list `@device`: EINVAL: the only entry that begins with `@` is @devices"),
        ("@devices EEE=1", "read list `@devices EEE=1`: EINVAL: @devices takes no parameters: options lines"),
        ("@devices=pci x", "read list `@devices=pci x`: EINVAL: @devices takes no parameters: options lines"),
        ("?@devices", "read list `@devices`: EINVAL: a driver of @devices that fails is passed over without `?`"),
        ("@devices=", "read list `@devices=`: EINVAL: a bus is what stands before the first `:` of a modalias"),
        ("@devices=pci,", "read list `@devices=pci,`: EINVAL: a bus is what stands before the first `:`"),
        ("@devices=PCI", "read list `@devices=PCI`: EINVAL: a bus is what stands before the first `:`"),
        ("[\"a\"] b", "read list `] b`: EINVAL: an array is"),
        ("[\"a\" # b", "read list ``: EINVAL: an array is"),
    ] {
        let failure = names(text).expect_err(text);
        assert!(failure.starts_with(expected), "{text}: {failure}");
    }
}

/// The verdict on a kernel command line.
pub fn verdict(line: &str) -> Result<(), String> {
    let mut log = |_: &Failure| {};
    let mut report = Report::new(&mut log);
    let _ = Request::parse(line.as_bytes(), &mut report);
    report.verdict().map_err(|failure| failure.to_string())
}

#[test]
fn a_list_whose_quotes_were_forgotten_is_a_failure() {
    for (line, subject) in [
        ("guest_init.modules=a; b", "guest_init.modules=a; b"),
        ("x guest-init.modules=a;b; quiet -- c", "guest-init.modules=a;b; quiet"),
        ("guest_init.modules=a ; b", "guest_init.modules=a ;"),
        ("guest_init.modules=a ;b", "guest_init.modules=a ;b"),
        ("guest_init.modules=a x=1; b", "guest_init.modules=a x=1;"),
        ("guest_init.modules=a; guest_init.modules=b", "guest_init.modules=a; guest_init.modules=b"),
    ] {
        let expected = format!("read {subject}: EINVAL: the list ends at the blank, because it has no quotes: ");
        let failure = verdict(line).expect_err(line);
        assert!(failure.starts_with(&expected), "{line}: {failure}");
    }
    for line in [
        "guest_init.modules=a;",
        "guest_init.modules=a;b; -- c;",
        "guest_init.modules=a;b x=1",
        "guest_init.modules=\"a; b;\" x",
        "\"guest_init.modules=a; b;\" x",
        "guest_init.modules=a x=1 y;",
        "y; guest_init.modules=a guest_init.modules=b;",
    ] {
        assert_eq!(verdict(line), Ok(()), "{line}");
    }
}

#[test]
fn arguments_that_were_meant_for_the_kernel_are_found() {
    let line = b"root=/dev/vda -- root=/dev/vdb --root=x root guest-init.log=debug virtio-mmio.device=4K@0:5 a.b=1 \
                 guest_init.x kata.extension.gpu.verity_params kata.extension.gpu.x roothash=0";
    let mut log = |_: &Failure| {};
    let request = Request::parse(line, &mut Report::new(&mut log));
    let found: Vec<_> = request.misplaced().map(|word| word.to_string()).collect();
    let kernels = ["root=/dev/vdb", "guest-init.log=debug", "virtio-mmio.device=4K@0:5", "guest_init.x"];
    let expected = [&kernels[..], &["kata.extension.gpu.verity_params", "roothash=0"]].concat();
    let text = ": only an argument of the agent, because it stands behind ` -- `: put it before ` -- `";
    let expected: Vec<_> = expected.iter().map(|word| format!("{word}{text}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn more_entries_than_the_bound_are_a_failure() {
    let mut log = |_: &Failure| {};
    let mut outcome = |count: usize| {
        let line = format!("guest_init.modules={}", vec!["a"; count].join(";"));
        let mut report = Report::new(&mut log);
        let count = Request::parse(line.as_bytes(), &mut report).entries.len();
        (count, report.verdict().map_err(|failure| failure.code))
    };
    assert_eq!(outcome(MOST_ENTRIES), (MOST_ENTRIES, Ok(())));
    assert_eq!(outcome(MOST_ENTRIES + 1).1, Err(Code::TooMany));
}

#[test]
fn the_entries_of_a_file_take_its_place_in_the_list() {
    let line = b"guest_init.modules_file=/a guest_init.modules=\"b;c\" guest_init.modules_file=virtiofs:t:/d \
                 guest_init.modules_file=/none guest_init.modules=e guest_init.modules_file=/f";
    let mut logged = Vec::new();
    let mut log = |failure: &Failure| logged.push(failure.to_string());
    let mut report = Report::new(&mut log);
    let mut request = Request::parse(line, &mut report);
    request.insert_lists(&[b"a", b"d x=1\n-d\n", b"", b"f"], &mut report);
    let names: Vec<_> = request.entries.iter().map(Entry::to_string).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f"]);
    let line = "read virtiofs:t:/d `-d`: EINVAL: a name begins with a letter, a digit or `_`";
    assert_eq!(report.verdict().map_err(|failure| failure.to_string()), Err(line.to_string()));
}

#[test]
fn module_directories_keep_their_order_and_none_may_stand_twice() {
    let mut log = |_: &Failure| {};
    let mut outcome = |directories: &[&str]| {
        let line: String = directories.iter().map(|directory| format!("guest_init.module_dir={directory} ")).collect();
        let mut report = Report::new(&mut log);
        let request = Request::parse(line.as_bytes(), &mut report);
        let found: Vec<_> = request.module_dirs().iter().map(ToString::to_string).collect();
        assert!(directories.is_empty() || Request::named_module_dirs(line.as_bytes()).count() == directories.len());
        report.verdict().map(|()| found).map_err(|failure| failure.code)
    };
    assert_eq!(outcome(&[]), Ok(vec!["/lib/modules".into()]));
    let several = ["virtiofs:t:/b", "/lib/modules", "disk:d:/a"];
    assert_eq!(outcome(&several), Ok(several.map(String::from).to_vec()));
    assert_eq!(outcome(&["/a", "/b", "/a"]), Err(Code::RepeatedKey));
    let most = ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8"];
    assert_eq!(outcome(&most).map(|found| found.len()), Ok(MOST_TREES));
}

#[test]
fn more_files_or_entries_of_files_than_the_bound_are_a_failure() {
    let mut log = |_: &Failure| {};
    let mut outcome = |files: usize, text: &[u8]| {
        let line = "guest_init.modules=a guest_init.modules_file=/x ".repeat(files);
        let mut report = Report::new(&mut log);
        let mut request = Request::parse(line.as_bytes(), &mut report);
        request.insert_lists(&vec![text; files], &mut report);
        (request.entries.len(), report.verdict().map_err(|failure| failure.code))
    };
    assert_eq!(outcome(MOST_FILES, b""), (MOST_FILES, Ok(())));
    assert_eq!(outcome(MOST_FILES + 1, b"").1, Err(Code::TooMany));
    assert_eq!(outcome(1, "a;".repeat(MOST_ENTRIES - 1).as_bytes()), (MOST_ENTRIES, Ok(())));
    assert_eq!(outcome(2, "a;".repeat(MOST_ENTRIES / 2).as_bytes()).1, Err(Code::TooMany));
}
