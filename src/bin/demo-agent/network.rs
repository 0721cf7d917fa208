//! The network devices: what they are called, who drives them, and where on which bus they sit.

use crate::text::{heading, printable, read_text, say, table};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const CLASS: &str = "/sys/class/net";

/// Prints the section: name, MAC address, driver and bus address of each device; `-` where it has
/// none, as for lo.
pub fn print() {
    let mut rows: Vec<Vec<String>> = fs::read_dir(CLASS)
        .into_iter()
        .flatten()
        .flatten()
        // The class has plain files too, bonding_masters for one.
        .filter(|entry| entry.path().is_dir())
        .map(|entry| row(&entry.path()))
        .collect();
    rows.sort();
    heading(&format!("Network devices: {}", rows.len()));
    if rows.is_empty() {
        say("  none");
    }
    table(&rows);
}

fn row(interface: &Path) -> Vec<String> {
    let address = read_text(interface.join("address"));
    let driver = fs::read_link(interface.join("device/driver")).unwrap_or_default();
    let cells = [last(interface), printable(address.trim_end().as_bytes()), last(&driver), bus_address(interface)];
    cells.map(|cell| if cell.is_empty() { "-".to_string() } else { cell }).to_vec()
}

/// Such as `0000:00:03.0`. A virtio device's own name says only which it is of all, so its parent's
/// stands before it: `0000:00:03.0/virtio0`.
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
