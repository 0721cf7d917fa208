//! The report's section on network devices.

use crate::text::{heading, print_line, printable, read_text, table};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const CLASS: &str = "/sys/class/net";

/// Prints the section: the name, MAC address, driver and bus address of each device. lo has no driver and no bus
/// address, and `-` takes their places.
pub fn print() {
    let mut rows: Vec<Vec<String>> = fs::read_dir(CLASS)
        .into_iter()
        .flatten()
        .flatten()
        // The folder also has files, bonding_masters for example.
        .filter(|entry| entry.path().is_dir())
        .map(|entry| row(&entry.path()))
        .collect();
    rows.sort();
    heading(&format!("Network devices: {}", rows.len()));
    if rows.is_empty() {
        print_line("  none");
    }
    table(&rows);
}

fn row(interface: &Path) -> Vec<String> {
    let address = read_text(interface.join("address"));
    let driver = fs::read_link(interface.join("device/driver")).unwrap_or_default();
    let cells = [last(interface), printable(address.trim_end().as_bytes()), last(&driver), bus_address(interface)];
    cells.map(|cell| if cell.is_empty() { "-".to_string() } else { cell }).to_vec()
}

/// The address on the bus, such as `0000:00:03.0`. The name of a virtio device is only a number among all of them, so
/// its parent's name stands before it: `0000:00:03.0/virtio0`.
fn bus_address(interface: &Path) -> String {
    let Ok(device) = fs::canonicalize(interface.join("device")) else {
        return String::new();
    };
    let name = last(&device);
    match device.parent() {
        Some(parent) if name.starts_with("virtio") => format!("{}/{name}", last(parent)),
        _ => name,
    }
}

/// A path's last component.
fn last(path: &Path) -> String {
    path.file_name().map(|name| printable(name.as_bytes())).unwrap_or_default()
}
