//! The modules that were loaded, in the order they were, and the parameters they have now.

use crate::text::{heading, printable, read_bounded, read_text, say, wrapped};
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// A parameter's value is at most a page in sysfs.
const VALUE_LIMIT: usize = 4096;

/// Prints the section: one module a line, oldest first, with `NAME=VALUE` of each parameter that
/// the kernel shows.
pub fn print() {
    let list = read_text("/proc/modules");
    // Oldest first, in the order of loading: the kernel puts a new one at the head of its list.
    let names: Vec<String> = list.lines().rev().filter_map(name).collect();
    let parameters: Vec<Vec<String>> = names.iter().map(|name| parameters(name)).collect();
    let with = parameters.iter().filter(|parameters| !parameters.is_empty()).count();
    heading(&format!("Modules: {} loaded, {with} with parameters to read; in load order", names.len()));
    let indent = names.iter().map(String::len).max().unwrap_or(0).min(24);
    for (name, parameters) in names.iter().zip(&parameters) {
        wrapped(name, indent, parameters);
    }
    if names.is_empty() {
        say("  none");
    }
}

/// The first word of a line of /proc/modules.
fn name(line: &str) -> Option<String> {
    Some(printable(line.split(' ').next()?.as_bytes()))
}

/// `NAME=VALUE`, by name. One declared with mode 0 has no file, one that is write-only fails to be
/// read: neither is shown.
fn parameters(module: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/sys/module/{module}/parameters")) else {
        return Vec::new();
    };
    let mut shown: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let value = read_bounded(entry.path(), VALUE_LIMIT).ok()?;
            let value = value.strip_suffix(b"\n").unwrap_or(&value);
            Some(format!("{}={}", printable(entry.file_name().as_bytes()), printable(value)))
        })
        .collect();
    shown.sort();
    shown
}
