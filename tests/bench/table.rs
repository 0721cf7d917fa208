//! Tables of measurements in Markdown.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// Prints a table. The first column is aligned to the left, and the others to the right.
pub fn print(title: &str, headers: &[&str], rows: &[Vec<String>]) {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(headers).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{title}\n\n{table}");
}

/// Thousands as millions with three decimal places.
pub fn millions(thousands: u64) -> String {
    format!("{}.{:03}", thousands / 1000, thousands % 1000)
}

/// The difference to the floor, in millions, which may be negative.
pub fn above(thousands: u64, floor: u64) -> String {
    let sign = if thousands < floor { "-" } else { "" };
    format!("{sign}{}", millions(thousands.abs_diff(floor)))
}

/// The median.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
