//! Pauses between the attempts of a task.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How long to wait before the next attempt.
///
/// ```
/// use std::time::Duration;
/// use workflow_runtime::BackoffConfig;
///
/// let backoff = BackoffConfig::exponential(Duration::from_millis(100), 2.0, Duration::from_secs(1));
/// let pauses: Vec<_> = (1..=5).map(|failed| backoff.delay(failed).as_millis()).collect();
/// assert_eq!(pauses, [100, 200, 400, 800, 1000]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffConfig {
    initial: Duration,
    growth: Growth,
    max: Duration,
    jitter: Jitter,
}

/// How much of a pause is left to chance, so that many tasks that failed together do not come back together.
///
/// The names are those of the AWS Architecture Blog's "Exponential Backoff and Jitter".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Jitter {
    /// Nothing: each pause is exact.
    #[default]
    None,
    /// Half of the pause is fixed, half is left to chance.
    Equal,
    /// The whole pause is left to chance: from nothing to the full pause.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Growth {
    Fixed,
    Linear,
    Exponential(f64),
}

impl BackoffConfig {
    /// The same pause each time.
    pub fn fixed(pause: Duration) -> Self {
        BackoffConfig {
            initial: pause,
            growth: Growth::Fixed,
            max: pause,
            jitter: Jitter::None,
        }
    }

    /// `initial`, then twice, three times as long, up to `max`.
    pub fn linear(initial: Duration, max: Duration) -> Self {
        BackoffConfig {
            initial,
            growth: Growth::Linear,
            max,
            jitter: Jitter::None,
        }
    }

    /// `initial`, then each time `factor` times as long, up to `max`. A factor that is not a number of at least 1
    /// counts as 1.
    pub fn exponential(initial: Duration, factor: f64, max: Duration) -> Self {
        let factor = if factor.is_finite() && factor >= 1.0 {
            factor
        } else {
            1.0
        };
        BackoffConfig {
            initial,
            growth: Growth::Exponential(factor),
            max,
            jitter: Jitter::None,
        }
    }

    /// Leaves a part of each pause to chance.
    ///
    /// ```
    /// use std::time::Duration;
    /// use workflow_runtime::{BackoffConfig, Jitter};
    ///
    /// let second = Duration::from_secs(1);
    /// let backoff = BackoffConfig::fixed(second * 10).with_jitter(Jitter::Equal);
    /// assert_eq!(backoff.delay(1), second * 10);
    /// assert_eq!(backoff.delay_at(1, 0.0), second * 5);
    /// assert_eq!(backoff.delay_at(1, 0.5), Duration::from_millis(7_500));
    /// ```
    #[must_use]
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The pause after `failed` attempts when chance says `fraction`, from 0 (shortest) to 1 (longest).
    pub fn delay_at(&self, failed: u32, fraction: f64) -> Duration {
        let longest = self.delay(failed);
        let fraction = if fraction.is_finite() {
            fraction.clamp(0.0, 1.0)
        } else {
            1.0
        };
        let part = |part: f64| Duration::try_from_secs_f64(longest.as_secs_f64() * part).unwrap_or(longest);
        match self.jitter {
            Jitter::None => longest,
            Jitter::Equal => part(0.5 + fraction / 2.0),
            Jitter::Full => part(fraction),
        }
    }

    /// The pause after `failed` attempts (1 after the first failure), without jitter: the longest one.
    pub fn delay(&self, failed: u32) -> Duration {
        let failed = failed.max(1);
        let delay = match self.growth {
            Growth::Fixed => self.initial,
            Growth::Linear => self.initial.saturating_mul(failed),
            Growth::Exponential(factor) => {
                let times = factor.powi(i32::try_from(failed - 1).unwrap_or(i32::MAX));
                Duration::try_from_secs_f64(self.initial.as_secs_f64() * times).unwrap_or(Duration::MAX)
            }
        };
        delay.min(self.max)
    }
}

impl Default for BackoffConfig {
    /// Exponential from 100 ms, doubling, up to 30 s.
    fn default() -> Self {
        BackoffConfig::exponential(Duration::from_millis(100), 2.0, Duration::from_secs(30))
    }
}

/// How often a task is attempted.
///
/// ```
/// use workflow_runtime::RetryPolicy;
/// assert_eq!(RetryPolicy::default().max_attempts(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    max_attempts: u32,
    backoff: BackoffConfig,
    max_elapsed: Option<Duration>,
}

impl RetryPolicy {
    /// `max_attempts` counts all attempts, the first included; 0 counts as 1.
    pub fn new(max_attempts: u32, backoff: BackoffConfig) -> Self {
        RetryPolicy {
            max_attempts: max_attempts.max(1),
            backoff,
            max_elapsed: None,
        }
    }

    /// Lets no attempt begin later than this after the first one was due. A running attempt is not cut short: that is
    /// [`TaskOptions::with_schedule_to_close`](crate::TaskOptions::with_schedule_to_close).
    #[must_use]
    pub fn with_max_elapsed(mut self, max_elapsed: Duration) -> Self {
        self.max_elapsed = Some(max_elapsed);
        self
    }

    /// How long after the first one an attempt may begin.
    pub fn max_elapsed(&self) -> Option<Duration> {
        self.max_elapsed
    }

    /// All attempts, the first included.
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The longest pause after `failed` attempts; `None` when no attempt is left.
    pub fn next_delay(&self, failed: u32) -> Option<Duration> {
        (failed < self.max_attempts).then(|| self.backoff.delay(failed))
    }

    /// The pause after `failed` attempts, with its part of chance.
    pub(crate) fn jittered_delay(&self, failed: u32) -> Option<Duration> {
        // Each `RandomState` has keys of its own, taken from the operating system's randomness once per thread.
        let random = || RandomState::new().hash_one(failed) >> 11;
        let fraction = || random() as f64 / (1u64 << 53) as f64;
        (failed < self.max_attempts).then(|| match self.backoff.jitter {
            Jitter::None => self.backoff.delay(failed),
            _ => self.backoff.delay_at(failed, fraction()),
        })
    }
}

impl Default for RetryPolicy {
    /// One attempt: an error goes to the workflow at once, as it does in plain Rust.
    fn default() -> Self {
        RetryPolicy::new(1, BackoffConfig::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_stay_below_their_limit() {
        let second = Duration::from_secs(1);
        let linear = BackoffConfig::linear(second, second * 3);
        assert_eq!([1, 2, 3, 4].map(|n| linear.delay(n).as_secs()), [1, 2, 3, 3]);
        assert_eq!(BackoffConfig::fixed(second).delay(u32::MAX), second);
        let exponential = BackoffConfig::exponential(second, 10.0, Duration::MAX);
        assert_eq!(exponential.delay(u32::MAX), Duration::MAX);
        assert_eq!(
            BackoffConfig::exponential(second, f64::NAN, second * 9).delay(7),
            second
        );
        assert_eq!(RetryPolicy::new(0, linear).next_delay(1), None);
        assert_eq!(RetryPolicy::new(2, linear).next_delay(1), Some(second));
    }

    #[test]
    fn jitter_stays_within_the_pause_and_uses_all_of_it() {
        let pause = Duration::from_secs(8);
        for (jitter, least) in [(Jitter::None, 8.0), (Jitter::Equal, 4.0), (Jitter::Full, 0.0)] {
            let policy = RetryPolicy::new(u32::MAX, BackoffConfig::fixed(pause).with_jitter(jitter));
            let drawn: Vec<f64> = (1..=1000)
                .filter_map(|failed| policy.jittered_delay(failed))
                .map(|delay| delay.as_secs_f64())
                .collect();
            let (low, high) = drawn.iter().fold((f64::MAX, 0.0f64), |(low, high), delay| {
                (low.min(*delay), high.max(*delay))
            });
            assert!(low >= least && high <= 8.0, "{jitter:?}: {low} to {high}");
            // A thousand draws leave a tenth of the range at either end untouched once in 10^45 runs.
            let range = 8.0 - least;
            assert!(
                low <= least + range / 10.0 && high >= 8.0 - range / 10.0,
                "{jitter:?}: {low} to {high}"
            );
        }
        let backoff = BackoffConfig::fixed(Duration::MAX).with_jitter(Jitter::Full);
        assert_eq!(backoff.delay_at(1, f64::NAN), Duration::MAX);
        assert_eq!(backoff.delay_at(1, -1.0), Duration::ZERO);
    }
}
