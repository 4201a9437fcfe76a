//! Pauses between the attempts of a task.

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
        }
    }

    /// `initial`, then twice, three times as long, up to `max`.
    pub fn linear(initial: Duration, max: Duration) -> Self {
        BackoffConfig {
            initial,
            growth: Growth::Linear,
            max,
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
        }
    }

    /// The pause after `failed` attempts (1 after the first failure).
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
}

impl RetryPolicy {
    /// `max_attempts` counts all attempts, the first included; 0 counts as 1.
    pub fn new(max_attempts: u32, backoff: BackoffConfig) -> Self {
        RetryPolicy {
            max_attempts: max_attempts.max(1),
            backoff,
        }
    }

    /// All attempts, the first included.
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The pause after `failed` attempts; `None` when no attempt is left.
    pub fn next_delay(&self, failed: u32) -> Option<Duration> {
        (failed < self.max_attempts).then(|| self.backoff.delay(failed))
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
}
