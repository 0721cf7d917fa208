//! The words of one pod, for its annotation `io.katacontainers.config.hypervisor.kernel_params`. Kata has no other
//! place for words of a single pod.
//!
//! Its Go runtime cuts the annotation at all white space, also inside quotes (addHypervisorPathOverrides in
//! pkg/oci/utils.go), and drops a word if a later one has the same key. Its Rust runtime cuts quoted words apart
//! (KernelParams in the hypervisor crate's kernel_param.rs), and it puts the annotation in place of the configuration's
//! `kernel_params` (update_config_by_annotation in kata-types' annotations/mod.rs). So the words here hold neither
//! blanks nor quotes, and no key occurs twice. Each parameter becomes a word of its own:
//!
//! ```text
//! a debug=1; b debug=1          guest_init.modules=a;b a.debug=1 b.debug=1
//! ```
//! guest-init reads `a.debug=1` as an options line of modprobe.d (MODPROBE.md 7.3). So it counts for each load of the
//! module, also as a dependency.

use std::collections::BTreeSet;

use guest_init::failure::{Failure, Report};
use guest_init::request::kernel::words::{Word, words};
use guest_init::request::list::{self, Entry, ModuleEntry};
use guest_init::request::{Request, name};
use guest_init::resolve::tree::config::{self, Directive};
use guest_init::text::Shown;

/// The annotation that both runtimes read for words of the kernel command line.
pub const KERNEL_PARAMS: &str = "io.katacontainers.config.hypervisor.kernel_params";
/// The advice if no such words say the same as a list.
const OTHERWISE: &str = "use guest_init.modules_file=, or add guest_init.strict=1, with which a module's name that \
                         became another module's parameter is a failure";

/// The words for a list's entries.
///
/// Error: the reason why no words without blanks and quotes say the same.
pub fn words_for(modules: &[String]) -> Result<String, String> {
    let text = modules.join("\n");
    let mut entries = Vec::new();
    list::read(text.as_bytes(), "", &mut |entry| entries.extend(entry.ok()));
    let names: Vec<_> = entries.iter().map(name_of).collect();
    let mut line = format!("guest_init.modules={}", names.join(";"));
    for entry in entries.iter().filter_map(Entry::module) {
        if let Some(reason) = obstacle(entry) {
            return Err(format!("`{}`: {reason}", shown(&Entry::Module(*entry))));
        }
        for word in words(entry.parameters) {
            line += &format!(" {}.{}", entry.name, String::from_utf8_lossy(&word.argument().concat()));
        }
    }
    if let Some(key) = repeated_key(&line) {
        return Err(format!("`{key}` would occur twice"));
    }
    match entries.iter().find(|entry| entry.module().is_some_and(|entry| !says(&line, entry))) {
        _ if !has_entries(&line, &entries) => Err("the names of its modules do not fit one word".into()),
        Some(entry) => Err(format!("`{}`: guest-init would not read its parameters there", shown(entry))),
        None => Ok(line),
    }
}

/// A warning for a pod that has a list of its own: `parameter` is the word that a command line holds, `modules` the
/// list.
pub fn advice(parameter: &str, modules: &[String]) -> Option<String> {
    let is_cut = parameter.contains(|c: char| c == '"' || c.is_whitespace());
    is_cut.then(|| match words_for(modules) {
        Ok(words) => format!("Kata cuts a pod's annotation {KERNEL_PARAMS} at blanks; there, write {words}"),
        Err(reason) => format!(
            "Kata cuts a pod's annotation {KERNEL_PARAMS} at blanks, and no words without blanks say the same: \
             {reason}; {OTHERWISE}"
        ),
    })
}

/// A warning for a pod that has the annotation, if Kata does not pass the value on as it is.
pub fn change(value: &str) -> Option<String> {
    let cut = words(value.as_bytes()).find(|word| word.raw.iter().any(u8::is_ascii_whitespace));
    let Some(word) = cut else {
        let key = repeated_key(value)?;
        return Some(format!("{KERNEL_PARAMS}: Kata's Go runtime drops every `{key}` but the last"));
    };
    let is_list = name::same(word.name, b"guest_init.modules");
    let list = word.value.filter(|_| is_list).and_then(|value| str::from_utf8(value).ok());
    let instead = list.map(|list| words_for(&entries_of(list)));
    let instead = match instead {
        Some(Ok(words)) => format!("write {words}"),
        Some(Err(reason)) => format!("no words without blanks say the same: {reason}; {OTHERWISE}"),
        None => "its value must hold no blanks".into(),
    };
    Some(format!("{KERNEL_PARAMS}: Kata cuts `{}` at its blanks; {instead}", Shown(word.raw)))
}

/// The entries of a list, each as it is written.
fn entries_of(list: &str) -> Vec<String> {
    let mut entries = Vec::new();
    list::read(list.as_bytes(), "", &mut |entry| entries.extend(entry.ok().map(|entry| shown(&entry))));
    entries
}

/// An entry without its parameters.
fn name_of(entry: &Entry<'_>) -> String {
    format!("{}{entry}", if entry.module().is_some_and(|module| module.optional) { "?" } else { "" })
}

/// An entry as it is written.
fn shown(entry: &Entry<'_>) -> String {
    let parameters = entry.module().map_or(&b""[..], |module| module.parameters);
    format!("{} {}", name_of(entry), String::from_utf8_lossy(parameters)).trim_end().to_string()
}

/// The reason why parameters of an entry can't be words of their own.
fn obstacle(entry: &ModuleEntry<'_>) -> Option<&'static str> {
    let is_module = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let breaks = |word: Word<'_>| word.argument().concat().iter().any(|byte| *byte == b'"' || !byte.is_ascii_graphic());
    match () {
        () if entry.parameters.is_empty() => None,
        () if entry.optional => Some("`?` does not cover parameters outside of the list"),
        () if !entry.name.as_bytes().iter().all(is_module) => Some("an alias, whose parameters count only in the list"),
        () if words(entry.parameters).any(breaks) => Some("a value has blanks or quotes"),
        // Kata drops the `=` of an empty value.
        () if words(entry.parameters).any(|word| word.value == Some(b"")) => Some("a value is empty"),
        () => None,
    }
}

/// A key that occurs twice in a line that Kata's Go runtime has cut.
fn repeated_key(line: &str) -> Option<&str> {
    let mut seen = BTreeSet::new();
    line.split_whitespace().map(|word| word.split('=').next().unwrap_or_default()).find(|key| !seen.insert(*key))
}

/// Whether guest-init reads these entries of a command line, without their parameters.
fn has_entries(line: &str, entries: &[Entry<'_>]) -> bool {
    let mut ignore = |_: &Failure| {};
    let mut report = Report::new(&mut ignore);
    let request = Request::parse(line.as_bytes(), &mut report);
    report.verdict().is_ok()
        && request.entries.iter().filter_map(Entry::module).all(|entry| entry.parameters.is_empty())
        && request.entries.iter().map(name_of).eq(entries.iter().map(name_of))
}

/// Whether a command line sets the parameters of an entry, and no others, for its module.
fn says(line: &str, entry: &ModuleEntry<'_>) -> bool {
    let mut ignore = |_: &Failure| {};
    let request = Request::parse(line.as_bytes(), &mut Report::new(&mut ignore));
    let directives = config::command_line(request.kernel.modules);
    let options: Vec<_> = directives
        .filter_map(|directive| match directive {
            Directive::Options { module, text } if name::same(module, entry.name.as_bytes()) => Some(text),
            _ => None,
        })
        .collect();
    let parts = |word: Word<'_>| word.argument().concat();
    words(&options.join(&b' ')).map(parts).eq(words(entry.parameters).map(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &str) -> Result<String, String> {
        words_for(&entries_of(list))
    }

    #[test]
    fn each_parameter_becomes_a_word() {
        for (list, line) in [
            ("i915", "guest_init.modules=i915"),
            ("a debug=1; b debug=1", "guest_init.modules=a;b a.debug=1 b.debug=1"),
            ("e1000e EEE=1 x; ?i915", "guest_init.modules=e1000e;?i915 e1000e.EEE=1 e1000e.x"),
            ("snd-a id=\"1;2\" n=\"3\"", "guest_init.modules=snd-a snd-a.id=1;2 snd-a.n=3"),
            ("pci:v00008086d*; a", "guest_init.modules=pci:v00008086d*;a"),
            ("@devices; a x=1; @devices=pci,usb", "guest_init.modules=@devices;a;@devices=pci,usb a.x=1"),
        ] {
            assert_eq!(of(list).as_deref(), Ok(line), "{list}");
        }
    }

    #[test]
    fn words_that_say_something_else_are_refused() {
        for (list, reason) in [
            ("a x=\"1 2\"", "a value has blanks or quotes"),
            ("a x=1\"2\"", "a value has blanks or quotes"),
            ("?a x=1", "`?` does not cover"),
            ("pci:v00008086d* x=1", "an alias"),
            ("a x=1 x=2", "`a.x` would occur twice"),
            ("a x=1; b; a y=2", "would not read"),
            ("a-b x=1; a_b", "would not read"),
            ("a x= y=1", "a value is empty"),
            ("modprobe blacklist=x", "would not read"),
            ("a x.y=1", "would not read"),
        ] {
            let error = of(list).unwrap_err();
            assert!(error.contains(reason), "{list}: {error}");
        }
    }

    #[test]
    fn a_pods_own_annotation_is_read_as_kata_cuts_it() {
        let list = "quiet guest_init.modules=\"a debug=1; b debug=1\"";
        let better = "; write guest_init.modules=a;b a.debug=1 b.debug=1";
        assert!(change(list).is_some_and(|text| text.ends_with(better)), "{:?}", change(list));
        assert!(change("x=\"a b\"").is_some_and(|text| text.ends_with("its value must hold no blanks")));
        let twice = change("guest_init.modules=a guest_init.modules=b");
        assert!(twice.is_some_and(|text| text.ends_with("drops every `guest_init.modules` but the last")));
        assert_eq!(change("guest_init.modules=a;b a.debug=1 b.debug=1 quiet"), None);
    }
}
