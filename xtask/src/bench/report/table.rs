//! Tables of Markdown that are also read as they are.

use std::fmt::Write as _;

/// A table of Markdown.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// With columns of one width, for readers of the plain text.
    pub fn write(&self, out: &mut String) {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let padding = " ".repeat(width - cell.chars().count());
                let _ = write!(out, "| {cell}{padding} ");
            }
            out.push_str("|\n");
            if number == 0 {
                let line: Vec<String> = widths.iter().map(|width| "-".repeat(*width + 2)).collect();
                let _ = writeln!(out, "|{}|", line.join("|"));
            }
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["load", ""]);
        table.row(vec!["a".into(), "0.95 (0.9–1.0)".into()]);
        let mut out = String::new();
        table.write(&mut out);
        assert_eq!(
            out,
            "| load |                |\n|------|----------------|\n| a    | 0.95 (0.9–1.0) |\n\n"
        );
    }
}
