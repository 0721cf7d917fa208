//! The report's section on modules: the loaded ones in their order, and the current values of their parameters.

use crate::text::{heading, print_line, printable, read_bounded, read_text, wrapped};
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// The most bytes of a value: a file of sysfs has at most a page.
const VALUE_LIMIT: usize = 4096;

/// Prints the section: a line for each module, the oldest first, with `NAME=VALUE` for each parameter that can be read.
pub fn print() {
    let list = read_text("/proc/modules");
    // The kernel puts a new module at the head of its list.
    let names: Vec<String> = list.lines().rev().filter_map(name).collect();
    let parameters: Vec<Vec<String>> = names.iter().map(|name| parameters(name)).collect();
    let with = parameters.iter().filter(|parameters| !parameters.is_empty()).count();
    heading(&format!("Modules: {} loaded, {with} with parameters to read; in load order", names.len()));
    let indent = names.iter().map(String::len).max().unwrap_or(0).min(24);
    for (name, parameters) in names.iter().zip(&parameters) {
        wrapped(name, indent, parameters);
    }
    if names.is_empty() {
        print_line("  none");
    }
}

/// The first word of a line of /proc/modules.
fn name(line: &str) -> Option<String> {
    Some(printable(line.split(' ').next()?.as_bytes()))
}

/// `NAME=VALUE` of each parameter, sorted by name. A parameter with mode 0 has no file, and one that is write-only
/// cannot be read, so neither is in the report.
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
