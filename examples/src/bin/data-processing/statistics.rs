//! Statistics that can be computed chunk by chunk and added up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::problem::{BadRow, Problem};
use crate::tasks::Plan;

/// More groups than this are a column that names rows rather than groups.
const MAX_GROUPS: usize = 1_000;
/// So many malformed rows are kept to be shown.
const MAX_SHOWN: usize = 5;

/// What is known of the rows so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) skipped: u64,
    /// The first malformed rows.
    pub(crate) shown: Vec<BadRow>,
    /// For each group, one summary per number column.
    pub(crate) groups: BTreeMap<String, Vec<Summary>>,
}

impl Totals {
    /// Adds one row: the values of the number columns, `None` where one is missing.
    pub(crate) fn row(&mut self, group: &str, values: impl ExactSizeIterator<Item = Option<f64>>) {
        self.rows += 1;
        let summaries = match self.groups.get_mut(group) {
            Some(summaries) => summaries,
            None => self
                .groups
                .entry(group.to_owned())
                .or_insert(vec![Summary::default(); values.len()]),
        };
        for (summary, value) in summaries.iter_mut().zip(values) {
            summary.value(value);
        }
    }

    /// Adds a row that is left out.
    pub(crate) fn bad_row(&mut self, row: BadRow) {
        self.skipped += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(row);
        }
    }

    /// Adds the totals of a later part of the file.
    pub(crate) fn add(&mut self, part: Totals, plan: &Plan) -> Result<(), Problem> {
        self.rows += part.rows;
        self.skipped += part.skipped;
        self.shown.extend(part.shown);
        self.shown.truncate(MAX_SHOWN);
        for (group, summaries) in part.groups {
            match self.groups.get_mut(&group) {
                Some(known) => known
                    .iter_mut()
                    .zip(&summaries)
                    .for_each(|(known, other)| known.add(other)),
                None => {
                    self.groups.insert(group, summaries);
                }
            }
        }
        if self.groups.len() > MAX_GROUPS {
            let what = format!(
                "has more than {MAX_GROUPS} different values in the column `{}`; choose another column with `--group`",
                plan.group_name()
            );
            return Err(Problem::unusable(&plan.input, what));
        }
        Ok(())
    }
}

/// One number column of one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) missing: u64,
    pub(crate) mean: f64,
    /// The sum of the squared distances from the mean.
    squares: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    sketch: Sketch,
}

impl Summary {
    /// Welford's update, which stays exact where a sum of squares cancels out.
    fn value(&mut self, value: Option<f64>) {
        let Some(value) = value else {
            self.missing += 1;
            return;
        };
        (self.min, self.max) = match self.count {
            0 => (value, value),
            _ => (self.min.min(value), self.max.max(value)),
        };
        self.count += 1;
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
        self.sketch.value(value);
    }

    /// Chan, Golub and LeVeque's formula for two parts.
    fn add(&mut self, other: &Summary) {
        self.missing += other.missing;
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            let missing = self.missing;
            *self = Summary {
                missing,
                ..other.clone()
            };
            return;
        }
        let (left, right) = (self.count as f64, other.count as f64);
        let distance = other.mean - self.mean;
        self.count += other.count;
        self.mean += distance * right / (left + right);
        self.squares += other.squares + distance * distance * left * right / (left + right);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sketch.add(&other.sketch);
    }

    /// The sample's standard deviation; `None` for fewer than two values.
    pub(crate) fn deviation(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt())
    }

    /// The value below which a part of the values lies, within 1 % of it.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let rank = (part * self.count.checked_sub(1)? as f64) as u64;
        Some(self.sketch.at(rank).clamp(self.min, self.max))
    }
}

/// A histogram whose buckets grow with the values, so that each is known within 1 % (Masson, Rim and Lee, DDSketch).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Sketch {
    negative: BTreeMap<i32, u64>,
    zero: u64,
    positive: BTreeMap<i32, u64>,
}

/// Each bucket ends at so many times its beginning.
const GROWTH: f64 = 1.01 / 0.99;

impl Sketch {
    fn value(&mut self, value: f64) {
        let bucket = (value.abs().ln() / GROWTH.ln()).ceil() as i32;
        match value {
            0.0 => self.zero += 1,
            _ if value < 0.0 => *self.negative.entry(bucket).or_default() += 1,
            _ => *self.positive.entry(bucket).or_default() += 1,
        }
    }

    fn add(&mut self, other: &Sketch) {
        self.zero += other.zero;
        for (own, others) in [
            (&mut self.negative, &other.negative),
            (&mut self.positive, &other.positive),
        ] {
            for (bucket, count) in others {
                *own.entry(*bucket).or_default() += count;
            }
        }
    }

    /// The value with so many others before it.
    fn at(&self, rank: u64) -> f64 {
        let middle = |bucket: i32| 2.0 * GROWTH.powi(bucket) / (GROWTH + 1.0);
        let negative = self
            .negative
            .iter()
            .rev()
            .map(|(bucket, count)| (-middle(*bucket), *count));
        let positive = self
            .positive
            .iter()
            .map(|(bucket, count)| (middle(*bucket), *count));
        let mut before = 0;
        let mut last = 0.0;
        for (value, count) in negative.chain([(0.0, self.zero)]).chain(positive) {
            before += count;
            last = value;
            if before > rank {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(values: &[f64]) -> Summary {
        let mut summary = Summary::default();
        values.iter().for_each(|value| summary.value(Some(*value)));
        summary
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let values: Vec<f64> = (0..1000).map(|n| f64::from(n * 7919 % 1009) - 300.0).collect();
        let whole = summary(&values);
        for cut in [0, 1, 500, 999, 1000] {
            let mut parts = summary(&values[..cut]);
            parts.add(&summary(&values[cut..]));
            assert_eq!(
                (parts.count, parts.min, parts.max),
                (whole.count, whole.min, whole.max)
            );
            assert_eq!(parts.sketch, whole.sketch);
            assert!((parts.mean - whole.mean).abs() < 1e-9);
            let (left, right) = (parts.deviation().unwrap(), whole.deviation().unwrap());
            assert!((left - right).abs() < 1e-9, "{left} {right}");
        }
    }

    #[test]
    fn known_values() {
        let known = summary(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!((known.mean, known.min, known.max), (5.0, 2.0, 9.0));
        assert!((known.deviation().unwrap() - 2.138_089_935).abs() < 1e-9);
        assert_eq!(Summary::default().quantile(0.5), None);
        assert_eq!(summary(&[1.0]).deviation(), None);
    }

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut values: Vec<f64> = (0..2001).map(|n| (f64::from(n) - 700.0) * 3.5).collect();
        let summary = summary(&values);
        values.sort_by(f64::total_cmp);
        for part in [0.0, 0.05, 0.35, 0.5, 0.95, 1.0] {
            let exact = values[(part * 2000.0) as usize];
            let found = summary.quantile(part).unwrap();
            assert!(
                (found - exact).abs() <= exact.abs() * 0.0101,
                "{part}: {found} {exact}"
            );
        }
    }
}
