//! modprobe.d, modules.softdep, and the kernel command line's words about modules.

use guest_init::request::kernel::ModuleWords;
use guest_init::request::name::is_key;
use guest_init::resolve::tree::config::{self, Directive, SoftdepLines};
use guest_init::resolve::tree::module::{FoundBy, Module};

use super::{check_within, first_line, parts};

/// Input: a module's name on the first line, then a file, then a kernel command line.
pub fn config(input: &[u8]) {
    let (module, rest) = first_line(input);
    let [text, line] = parts(rest);
    let mut text = text.to_vec();
    let folds = text.contains(&b'\\');
    let length = config::unfold(&mut text);
    assert!(if folds { length <= text.len() } else { length == text.len() });
    text.truncate(length);

    let lines: Vec<_> = config::directives(&text).chain(config::command_line(ModuleWords::of(line))).collect();
    for directive in &lines {
        check_directive(directive, &[&text, line]);
    }
    let softdeps: Vec<_> = config::softdeps(&lines, module, SoftdepLines::All).collect();
    assert!(softdeps.iter().all(|(_, name)| !name.is_empty() && ![&b"pre:"[..], b"post:"].contains(name)));
    let mut by_command = Module::named(module);
    by_command.found_by = FoundBy::Command(module);
    assert_eq!(config::install(&lines, &by_command), Some(module));
    let has_line =
        |command| lines.iter().any(|line| matches!(line, Directive::Install { command: c, .. } if *c == command));
    assert!(config::install(&lines, &Module::named(module)).is_none_or(has_line));
    let names_it = |directive: &Directive<'_>| matches!(directive, Directive::Blacklist(name) if *name == module);
    assert!(config::is_blacklisted(&lines, module) || !lines.iter().any(names_it));
}

/// Asserts that every name can be looked up, and that every part lies within one of `sources`.
fn check_directive(directive: &Directive<'_>, sources: &[&[u8]]) {
    let (name, parts) = match *directive {
        Directive::Alias { pattern, module } => (pattern, [module, b""]),
        Directive::Blacklist(name) | Directive::Remove(name) => (name, [&b""[..], b""]),
        Directive::Options { module, text } => (module, [text, b""]),
        Directive::QuotedOption { module, parameter, value } => (module, [parameter, value]),
        Directive::Install { pattern, command } => (pattern, [command, b""]),
        Directive::Softdep { pattern, modules } => (pattern, [modules, b""]),
    };
    assert!(is_key(name));
    for part in parts.into_iter().chain([name]).filter(|part| !part.is_empty()) {
        let source = sources.iter().find(|source| source.as_ptr_range().contains(&part.as_ptr()));
        check_within(part, source.expect("a part of the input"));
    }
}
