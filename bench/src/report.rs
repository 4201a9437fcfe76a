//! The rows of the result, as a table and as JSON.

use serde::Serialize;

use crate::statistics::Comparison;

/// What a figure has to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    /// The ratio to the floor is at least this.
    Ratio(f64),
    /// The ratio to the floor is at most this.
    RatioAtMost(f64),
    /// The figure itself is at least this.
    Value(f64),
    /// The figure itself is less than this.
    ValueBelow(f64),
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    value: f64,
    floor: Option<f64>,
    ratio: Option<f64>,
    /// First and third quartile of the rounds' ratios; of the figure where there is no ratio.
    spread: Option<(f64, f64)>,
    bar: Option<String>,
    pass: Option<bool>,
    note: String,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Row {
            name: name.into(),
            unit,
            value,
            floor: None,
            ratio: None,
            spread: None,
            bar: None,
            pass: None,
            note: String::new(),
        }
    }

    /// A figure with its floor, measured in turns.
    pub(crate) fn compared(name: impl Into<String>, unit: &'static str, found: &Comparison) -> Self {
        Row::new(name, found.rate, unit)
            .floor(found.floor_rate, found.ratio)
            .spread(found.quartiles)
    }

    pub(crate) fn bar_if(self, bar: Option<Bar>) -> Self {
        match bar {
            Some(bar) => self.bar(bar),
            None => self,
        }
    }

    pub(crate) fn floor(mut self, floor: f64, ratio: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = Some(ratio);
        self
    }

    pub(crate) fn spread(mut self, spread: (f64, f64)) -> Self {
        self.spread = Some(spread);
        self
    }

    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        let (text, pass) = match bar {
            Bar::Ratio(least) => (format!(">= {least:.2} x"), ratio >= least),
            Bar::RatioAtMost(most) => (format!("<= {most:.2} x"), ratio <= most),
            Bar::Value(least) => (format!(">= {}", number(least)), self.value >= least),
            Bar::ValueBelow(limit) => (format!("< {}", number(limit)), self.value < limit),
        };
        self.bar = Some(text);
        self.pass = Some(pass);
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn cells(&self) -> [String; 9] {
        let optional = |value: Option<f64>| value.map_or(String::new(), number);
        let two = |value: f64| format!("{value:.2}");
        let spread = self
            .spread
            .map_or(String::new(), |(least, most)| match self.ratio {
                Some(_) => format!("{}..{}", two(least), two(most)),
                None => format!("{}..{}", number(least), number(most)),
            });
        let verdict = match self.pass {
            None => "",
            Some(true) => "pass",
            Some(false) => "FAIL",
        };
        [
            self.name.clone(),
            number(self.value),
            self.unit.to_owned(),
            optional(self.floor),
            self.ratio.map_or(String::new(), two),
            spread,
            self.bar.clone().unwrap_or_default(),
            verdict.to_owned(),
            self.note.clone(),
        ]
    }
}

/// All rows so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    printed: usize,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("  {}: {} {}", row.name, number(row.value), row.unit);
        self.rows.push(row);
    }

    /// Prints the rows that were not printed yet.
    pub(crate) fn print_new(&mut self) {
        const HEAD: [&str; 9] = [
            "name",
            "value",
            "unit",
            "floor",
            "ratio",
            "quartiles",
            "bar",
            "",
            "note",
        ];
        let mut lines = vec![HEAD.map(str::to_owned)];
        lines.extend(self.rows[self.printed..].iter().map(Row::cells));
        self.printed = self.rows.len();
        let widths: [usize; 9] = std::array::from_fn(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        });
        for line in lines {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = widths[column];
                // Figures to the right, words to the left.
                match column {
                    1 | 3..=5 => text.push_str(&format!("{cell:>width$}  ")),
                    _ => text.push_str(&format!("{cell:<width$}  ")),
                }
            }
            println!("{}", text.trim_end());
        }
        println!();
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.rows)
    }
}

/// Three digits or more, with separated thousands.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude < 100.0 && value.fract() != 0.0 {
        return if magnitude < 1.0 {
            format!("{value:.3}")
        } else {
            format!("{value:.2}")
        };
    }
    let digits = format!("{magnitude:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}
