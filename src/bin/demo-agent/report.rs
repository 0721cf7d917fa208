//! The report: this process as guest-init has started it, and the state of the VM.
//!
//! The descriptors are those at the start of this program. All else is read from /proc and /sys after the actions, and
//! is left out, or reported as unknown, if it cannot be read.

use crate::clock::{self, Start};
use crate::text::{heading, print_line, printable, read_text, table, wrapped};
use crate::{modules, network};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// Prints the report. `descriptors`: those that were open at the start of this program; `started`: the time of its
/// start;
/// `marked`: whether it has a record in the kernel's log.
pub fn print(arguments: &[OsString], descriptors: &[Vec<String>], started: Duration, marked: bool) {
    print_line("================ demo-agent: what guest-init handed over ================");
    process(arguments);
    environment();
    mounts();
    heading(&format!("Open descriptors: {}", descriptors.len()));
    table(descriptors);
    modules::print();
    network::print();
    memory();
    time(started, marked);
    print_line("\n============================ end of report =============================");
}

/// Prints the PID and argv. Each argument is quoted and escaped as a Rust string, so that its bounds can be seen.
fn process(arguments: &[OsString]) {
    heading("Process");
    wrapped("pid ", 4, &[std::process::id().to_string()]);
    let quoted: Vec<String> = arguments.iter().map(|argument| format!("{argument:?}")).collect();
    wrapped("argv", 4, &quoted);
}

fn environment() {
    let variables: Vec<String> =
        std::env::vars_os().map(|(name, value)| format!("  {}={value:?}", printable(name.as_bytes()))).collect();
    heading(&format!("Environment: {}", variables.len()));
    for variable in &variables {
        print_line(variable);
    }
}

fn mounts() {
    let rows: Vec<Vec<String>> = read_text("/proc/self/mountinfo").lines().filter_map(mount).collect();
    heading(&format!("Mounts: {}", rows.len()));
    table(&rows);
}

/// The mount point, type, source and per-mount options of a line of mountinfo, proc_pid_mountinfo(5). Blanks stay octal
/// escapes, as they are there.
fn mount(line: &str) -> Option<Vec<String>> {
    // A lone hyphen ends the optional fields.
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(4);
    let (point, options) = (mount.next()?, mount.next()?);
    let mut filesystem = filesystem.split(' ');
    let (kind, source) = (filesystem.next()?, filesystem.next()?);
    Some([point, kind, source, options].map(|field| printable(field.as_bytes())).to_vec())
}

/// The open descriptors: number and file. The links are read when the folder is closed again, so its own descriptor is
/// not among them.
pub fn open_descriptors() -> Vec<Vec<String>> {
    let mut numbers: Vec<u32> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let row = |number: &u32| {
        let target = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
        Some(vec![number.to_string(), printable(target.as_os_str().as_bytes())])
    };
    numbers.iter().filter_map(row).collect()
}

fn memory() {
    heading("Memory");
    let meminfo = read_text("/proc/meminfo");
    let lines = meminfo.lines().filter_map(|line| line.split_once(':'));
    let rows = lines.filter(|(name, _)| matches!(*name, "MemTotal" | "MemFree"));
    table(&rows.map(|(name, value)| vec![name.to_string(), printable(value.trim().as_bytes())]).collect::<Vec<_>>());
}

/// Prints the times of `clock`, whose documentation has the precision of each.
fn time(started: Duration, marked: bool) {
    heading("Time until this program ran");
    let mut rows = vec![row("kernel's start to now", started, "CLOCK_BOOTTIME")];
    match clock::start(marked) {
        Start::Logged { record, ago } => {
            let record = format!("log: \"{}\"", printable(record.as_bytes()));
            let at = started.saturating_sub(ago);
            rows.push(row("kernel's start to PID 1's", at, &record));
            rows.push(row("PID 1's start to now", ago, "log: from there to our record"));
        }
        Start::Created { at } => {
            let ago = started.saturating_sub(at);
            rows.push(row("PID 1's creation to now", ago, "to 10 ms, initramfs unpacking included"));
        }
        Start::Unknown => rows.push(vec!["PID 1's start".to_string(), "unknown".to_string()]),
    }
    table(&rows);
}

fn row(what: &str, time: Duration, how: &str) -> Vec<String> {
    vec![what.to_string(), format!("{:>12.3} ms", time.as_secs_f64() * 1000.0), how.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_has_any_number_of_optional_fields() {
        let line = "36 35 98:0 /x /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw,quota";
        assert_eq!(mount(line).expect("well formed"), ["/mnt\\0402", "ext3", "/dev/root", "rw,noatime"]);
        assert!(mount("36 35 98:0 / /mnt").is_none());
    }
}
