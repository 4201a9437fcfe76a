//! Medians, spreads, percentiles, and what the process has used.

use std::time::Duration;

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

/// The least and the greatest value.
pub(crate) fn spread(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(*value), most.max(*value)))
}

/// The CPU time of all threads of this process so far.
pub(crate) fn cpu_time() -> Duration {
    // Fields 14 and 15, user and system time in ticks of 10 ms, counted behind the name, which may hold anything.
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// A run of the engine or of the floor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
}

impl Timing {
    pub(crate) fn rate(&self, count: usize) -> f64 {
        count as f64 / self.elapsed.as_secs_f64()
    }
}

/// Engine and floor in turns.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    engine: Vec<Timing>,
    floor: Vec<Timing>,
}

impl Turns {
    pub(crate) fn add(&mut self, engine: Timing, floor: Timing) {
        self.engine.push(engine);
        self.floor.push(floor);
    }

    /// The median rates of the engine and of the floor for this much work, the median of the rounds' ratios, and their
    /// spread.
    pub(crate) fn rates(&self, count: usize) -> (f64, f64, f64, (f64, f64)) {
        let rates = |timings: &[Timing]| timings.iter().map(|timing| timing.rate(count)).collect::<Vec<_>>();
        let (engine, floor) = (rates(&self.engine), rates(&self.floor));
        let ratios: Vec<f64> = engine.iter().zip(&floor).map(|(engine, floor)| engine / floor).collect();
        (median(&engine), median(&floor), median(&ratios), spread(&ratios))
    }

    /// Median CPU microseconds per unit of work, of the engine and of the floor.
    pub(crate) fn cpu_us(&self, count: usize) -> (f64, f64) {
        let each = |timings: &[Timing]| {
            let values: Vec<f64> = timings.iter().map(|timing| timing.cpu.as_secs_f64() * 1e6 / count as f64).collect();
            median(&values)
        };
        (each(&self.engine), each(&self.floor))
    }
}

/// Runs something and takes its time.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (T, Timing) {
    let (start, cpu) = (std::time::Instant::now(), cpu_time());
    let result = work();
    let elapsed = start.elapsed();
    (result, Timing { elapsed, cpu: cpu_time() - cpu })
}
