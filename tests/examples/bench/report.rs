//! How figures are set out. It must not know what they are of.

use std::fmt::Write as _;

/// A table under a title, with the goals below.
pub(crate) struct Section {
    title: String,
    rows: Vec<Vec<String>>,
    notes: Vec<(&'static str, String)>,
}

impl Section {
    /// `headings` are those of the columns after the first.
    pub(crate) fn new(title: impl Into<String>, headings: &[&str]) -> Self {
        let first = [""].iter().chain(headings);
        Self {
            title: title.into(),
            rows: vec![first.map(|heading| (*heading).to_owned()).collect()],
            notes: Vec::new(),
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// What the design asks for, and whether it is so. `misses` says what isn't.
    pub(crate) fn goal(&mut self, goal: &str, misses: &[String]) {
        let text = if misses.is_empty() {
            format!("{goal}: met")
        } else {
            format!("{goal}: missed by {}", misses.join(", "))
        };
        self.notes.push(("goal", text));
    }

    /// How a figure is to be read.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(("note", note.into()));
    }

    pub(crate) fn show(&self) -> String {
        let mut text = format!("\n{}\n", self.title);
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = String::from(" ");
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let written = if column == 0 {
                    write!(line, " {cell:<width$}")
                } else {
                    write!(line, "   {cell:>width$}")
                };
                written.expect("a string takes everything");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for (kind, note) in &self.notes {
            writeln!(text, "  {kind}: {note}").expect("a string takes everything");
        }
        text
    }
}

/// A number with its thousands apart: `10,000`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
