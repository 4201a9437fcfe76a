//! Durations as people write them: `500ms`, `10s`, `1h 30m`, `2d`.
//!
//! One or more parts, each an integer and a unit (`ns`, `us` or `µs`, `ms`, `s`, `m` or `min`, `h`, `d`, `w`), with
//! optional white space around each. The parts are added. A day is 24 hours.

use std::time::Duration;

/// The units from the largest, with their length in nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "{text:?} is not a duration, {problem}: write a number and a unit (ns, us, ms, s, m, h, d, w), for example \"500ms\", \
     \"10s\" or \"1h 30m\""
)]
pub struct InvalidDuration {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a duration.
///
/// ```
/// use std::time::Duration;
/// use workflow_model::duration;
///
/// assert_eq!(duration::parse("1h 30m")?, Duration::from_secs(5_400));
/// assert_eq!(duration::format(Duration::from_secs(5_400)), "1h 30m");
/// # Ok::<(), duration::InvalidDuration>(())
/// ```
///
/// # Errors
///
/// If the text does not follow the grammar, or the sum is longer than [`Duration::MAX`].
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    parse_parts(text).map_err(|problem| InvalidDuration {
        text: text.to_owned(),
        problem,
    })
}

/// Writes a duration so that [`parse`] gives it back: whole units, the largest first, without zero parts.
///
/// Weeks are not used; nothing at all is `0s`.
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut parts = Vec::new();
    for (unit, nanos) in UNITS.iter().skip(1) {
        let count = rest / u128::from(*nanos);
        rest %= u128::from(*nanos);
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

fn parse_parts(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        if digits.is_empty() {
            return Err(format!("{rest:?} does not start with a number"));
        }
        let number: u64 = digits
            .parse()
            .map_err(|_| format!("the number {digits} is too large"))?;
        let after = after.trim_start();
        let end = after
            .find(|character: char| !character.is_ascii_alphabetic() && character != 'µ')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let part = part(number, unit)?;
        total = total
            .checked_add(part)
            .ok_or_else(|| "the sum is too long".to_owned())?;
        rest = after.trim_start();
    }
    Ok(total)
}

fn part(number: u64, unit: &str) -> Result<Duration, String> {
    let name = match unit {
        "" => return Err(format!("the unit after {number} is missing")),
        "µs" => "us",
        "min" => "m",
        other => other,
    };
    let nanos = UNITS
        .iter()
        .find_map(|(known, nanos)| (*known == name).then_some(u128::from(*nanos)))
        .ok_or_else(|| format!("the unit {unit:?} is unknown"))?;
    let nanos = u128::from(number) * nanos;
    let too_long = |_| format!("{number}{unit} is too long");
    let seconds = u64::try_from(nanos / 1_000_000_000).map_err(too_long)?;
    let nanos = u32::try_from(nanos % 1_000_000_000).map_err(too_long)?;
    Ok(Duration::new(seconds, nanos))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read() {
        let cases = [
            ("500ms", Duration::from_millis(500)),
            ("10s", Duration::from_secs(10)),
            ("1h 30m", Duration::from_secs(5_400)),
            ("1h30min", Duration::from_secs(5_400)),
            ("  2 d  ", Duration::from_secs(172_800)),
            ("1w", Duration::from_secs(604_800)),
            ("1m 1m", Duration::from_secs(120)),
            ("7us 3ns", Duration::from_nanos(7_003)),
            ("7µs", Duration::from_micros(7)),
            ("0s", Duration::ZERO),
            ("18446744073709551615s", Duration::from_secs(u64::MAX)),
            ("18446744073709551615ns", Duration::from_nanos(u64::MAX)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("", "it is empty"),
            ("  ", "it is empty"),
            ("10", "the unit after 10 is missing"),
            ("10 20s", "the unit after 10 is missing"),
            ("s", "\"s\" does not start with a number"),
            ("-1s", "\"-1s\" does not start with a number"),
            ("1.5s", "the unit after 1 is missing"),
            ("10 parsecs", "the unit \"parsecs\" is unknown"),
            ("10S", "the unit \"S\" is unknown"),
            ("1h, 30m", "\", 30m\" does not start with a number"),
            (
                "18446744073709551616s",
                "the number 18446744073709551616 is too large",
            ),
            ("18446744073709551615w", "18446744073709551615w is too long"),
            ("18446744073709551615s 1s", "the sum is too long"),
        ];
        for (text, problem) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!(error.problem, problem, "{text:?}");
            assert_eq!(
                error.to_string(),
                format!(
                    "{text:?} is not a duration, {problem}: write a number and a unit (ns, us, ms, s, m, h, d, w), for \
                     example \"500ms\", \"10s\" or \"1h 30m\""
                )
            );
        }
    }

    #[test]
    fn durations_are_written_and_read_back() {
        let cases = [
            (Duration::ZERO, "0s"),
            (Duration::from_millis(1_500), "1s 500ms"),
            (Duration::from_secs(604_800), "7d"),
            (Duration::from_secs(90_061), "1d 1h 1m 1s"),
            (Duration::from_nanos(1_000_001), "1ms 1ns"),
            (Duration::MAX, "213503982334601d 7h 15s 999ms 999us 999ns"),
        ];
        for (duration, text) in cases {
            assert_eq!(format(duration), text);
            assert_eq!(parse(text), Ok(duration), "{text:?}");
        }
    }
}
