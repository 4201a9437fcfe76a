//! Medians, spreads, percentiles, and what the process has used.

use std::time::{Duration, Instant};

use crate::options::Rounds;

/// The middle value; the mean of the two middle ones of an even number.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The first and the third quartile: half of the values lie between them.
pub(crate) fn quartiles(values: &[f64]) -> (f64, f64) {
    (percentile(values, 25.0), percentile(values, 75.0))
}

/// The value that this share of the values does not exceed.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The CPU time of all threads that this process has now, and of the children that it has waited for.
pub(crate) fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    // Fields 16 and 17, in ticks of 10 ms, counted behind the name, which may hold anything.
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .skip(13)
        .take(2);
    let ticks = fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    Duration::from_nanos(nanoseconds.sum()) + Duration::from_millis(10 * ticks)
}

/// The CPU time that everybody has used on this machine so far, as all cores together count it.
fn machine_time() -> Duration {
    // `cpu user nice system idle iowait irq softirq steal`, in ticks of 10 ms.
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8)
        .enumerate();
    let busy = fields.filter(|(index, _)| !matches!(index, 3 | 4));
    Duration::from_millis(
        busy.filter_map(|(_, field)| field.parse::<u64>().ok())
            .sum::<u64>()
            * 10,
    )
}

/// Others must not have used more than this share of one core in a round that counts.
const QUIET: f64 = 0.15;
/// With fewer quiet rounds than this all rounds count.
const QUIET_ROUNDS: usize = 4;

/// A run of the engine or of the floor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
    /// The CPU time that other processes used meanwhile.
    others: Duration,
}

impl Timing {
    fn rate(&self, count: usize) -> f64 {
        count as f64 / self.elapsed.as_secs_f64()
    }
}

/// Whether other processes left both cores alone in this round.
fn is_quiet((engine, floor): &(Timing, Timing)) -> bool {
    (engine.others + floor.others).as_secs_f64() < QUIET * (engine.elapsed + floor.elapsed).as_secs_f64()
}

/// Engine and floor in turns.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    rounds: Vec<(Timing, Timing)>,
}

/// What [`Turns`] amount to.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    /// Median rates.
    pub(crate) rate: f64,
    pub(crate) floor_rate: f64,
    /// The median of the rounds' ratios, and their quartiles.
    pub(crate) ratio: f64,
    pub(crate) quartiles: (f64, f64),
    /// Median CPU time per unit of work, in microseconds.
    pub(crate) cpu_us: f64,
    pub(crate) floor_cpu_us: f64,
    /// How many of all rounds were quiet, for a note.
    pub(crate) quiet: String,
}

impl Comparison {
    /// The same for a smaller unit, of which there are so many in each.
    pub(crate) fn per(&self, units: usize) -> Self {
        let units = units as f64;
        Comparison {
            rate: self.rate * units,
            floor_rate: self.floor_rate * units,
            cpu_us: self.cpu_us / units,
            floor_cpu_us: self.floor_cpu_us / units,
            ..self.clone()
        }
    }
}

impl Turns {
    /// Adds a round and says whether it was quiet.
    pub(crate) fn add(&mut self, engine: Timing, floor: Timing) -> bool {
        self.rounds.push((engine, floor));
        is_quiet(&(engine, floor))
    }

    /// Whether another round is wanted.
    pub(crate) fn go_on(&self, rounds: &Rounds) -> bool {
        rounds.go_on(self.rounds.len(), self.quiet())
    }

    fn quiet(&self) -> usize {
        self.rounds.iter().filter(|round| is_quiet(round)).count()
    }

    /// Whether only the quiet rounds count.
    pub(crate) fn has_enough_quiet(&self) -> bool {
        self.quiet() >= QUIET_ROUNDS
    }

    /// Compares the rounds in which other processes left both cores alone; `count` units of work were done in each.
    pub(crate) fn compare(&self, count: usize) -> Comparison {
        let quiet: Vec<_> = self
            .rounds
            .iter()
            .filter(|round| is_quiet(round))
            .copied()
            .collect();
        let note = format!("{} of {} rounds quiet", quiet.len(), self.rounds.len());
        let rounds = if self.has_enough_quiet() {
            &quiet
        } else {
            &self.rounds
        };
        let each = |figure: fn(&Timing, usize) -> f64| -> (Vec<f64>, Vec<f64>) {
            rounds
                .iter()
                .map(|(engine, floor)| (figure(engine, count), figure(floor, count)))
                .unzip()
        };
        let (rates, floor_rates) = each(Timing::rate);
        let (cpu, floor_cpu) = each(|timing, count| timing.cpu.as_secs_f64() * 1e6 / count as f64);
        let ratios: Vec<f64> = rates
            .iter()
            .zip(&floor_rates)
            .map(|(rate, floor)| rate / floor)
            .collect();
        Comparison {
            rate: median(&rates),
            floor_rate: median(&floor_rates),
            ratio: median(&ratios),
            quartiles: quartiles(&ratios),
            cpu_us: median(&cpu),
            floor_cpu_us: median(&floor_cpu),
            quiet: note,
        }
    }
}

/// Runs something and takes its time.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (T, Timing) {
    let (start, cpu, machine) = (Instant::now(), cpu_time(), machine_time());
    let result = work();
    let (elapsed, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
    let others = machine_time().saturating_sub(machine).saturating_sub(cpu);
    (result, Timing { elapsed, cpu, others })
}
