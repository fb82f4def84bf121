//! Tables for people.

use comfy_table::{Cell, CellAlignment, Table, presets};

/// A table without lines, with this header.
pub fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    table
}

/// Adds a row: what it is about, then numbers.
pub fn row(table: &mut Table, what: &str, numbers: impl IntoIterator<Item = String>) {
    let right = |text| Cell::new(text).set_alignment(CellAlignment::Right);
    table.add_row(std::iter::once(Cell::new(what)).chain(numbers.into_iter().map(right)));
}
