//! Shows a report as a table with aligned columns.

use std::fmt::Write;

use crate::report::Report;

/// Longer reports are cut off on the screen; the file has all of it.
const MAX_LINES: usize = 40;
const MAX_WIDTH: usize = 24;

/// The table, with a line break at the end of each line.
pub(crate) fn table(report: &Report) -> String {
    let shown = &report.lines[..report.lines.len().min(MAX_LINES)];
    let rows: Vec<Vec<String>> = std::iter::once(&report.header)
        .chain(shown)
        .map(|row| row.iter().map(|cell| cut(cell)).collect())
        .collect();
    let widths: Vec<usize> = (0..report.header.len())
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            let _ = if column < 2 {
                write!(text, "{cell:<width$}  ")
            } else {
                write!(text, "{cell:>width$}  ")
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        if index == 0 {
            let _ = writeln!(
                text,
                "{}",
                "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1))
            );
        }
    }
    if let Some(more) = report.lines.len().checked_sub(MAX_LINES + 1) {
        let _ = writeln!(text, "and {} more lines in the file", more + 1);
    }
    text
}

/// A cell without control characters, and not too wide.
fn cut(cell: &str) -> String {
    let clean: String = cell
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if clean.chars().count() <= MAX_WIDTH {
        return clean;
    }
    clean.chars().take(MAX_WIDTH - 2).chain("..".chars()).collect()
}
