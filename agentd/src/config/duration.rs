//! Durations as people write them: `"30s"`, `"10m"`, `"1h30m"`. A unit is required, so that `10` can never mean
//! ten of something else. The unit names are those of systemd.time(7).

use core::fmt::Write as _;
use core::time::Duration;

use super::nearest;

/// The units with their length in milliseconds; the first name of each length is the one that is printed.
const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("msec", 1),
    ("s", SECOND),
    ("sec", SECOND),
    ("second", SECOND),
    ("seconds", SECOND),
    ("m", MINUTE),
    ("min", MINUTE),
    ("minute", MINUTE),
    ("minutes", MINUTE),
    ("h", HOUR),
    ("hr", HOUR),
    ("hour", HOUR),
    ("hours", HOUR),
    ("d", DAY),
    ("day", DAY),
    ("days", DAY),
];

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Up to this long, hours are printed rather than days: "72h" is what people write.
const HOURS_UP_TO: u64 = 3 * DAY;

/// Why a text is not a duration. The texts fit after the text itself and a colon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing but blanks.
    #[error("is empty")]
    Empty,
    /// It begins with a minus sign.
    #[error("is negative")]
    Negative,
    /// A number stands alone.
    #[error("has no unit; write \"{0}s\" or \"{0}m\"")]
    NoUnit(String),
    /// The word after the number is not a unit.
    #[error("has the unknown unit \"{unit}\"{}", suggestion(.nearest.as_deref()))]
    UnknownUnit {
        /// The word.
        unit: String,
        /// The unit that it resembles.
        nearest: Option<String>,
    },
    /// A unit or another word without a number.
    #[error("does not begin with a number")]
    NoNumber,
    /// The same unit twice, or a longer one after a shorter one.
    #[error("names its units in the wrong order; write the longest first, each once")]
    Order,
    /// A part of a millisecond.
    #[error("is finer than a millisecond")]
    TooFine,
    /// More than 64 bits of milliseconds.
    #[error("is too long to count")]
    TooLong,
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|unit| format!("; did you mean \"{unit}\"?")).unwrap_or_default()
}

/// Reads a duration such as `"90s"`, `"1h30m"` or `"1.5h"`, exact to the millisecond.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    if rest.starts_with('-') {
        return Err(DurationError::Negative);
    }
    let mut total: u64 = 0;
    let mut shortest = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
        if number.is_empty() {
            return Err(DurationError::NoNumber);
        }
        let (unit, after) =
            split_while(after.trim_start(), |c| !c.is_ascii_digit() && !c.is_whitespace());
        let unit_ms = unit_millis(number, unit)?;
        if unit_ms >= shortest {
            return Err(DurationError::Order);
        }
        shortest = unit_ms;
        total = total.checked_add(scaled(number, unit_ms)?).ok_or(DurationError::TooLong)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn unit_millis(number: &str, unit: &str) -> Result<u64, DurationError> {
    if unit.is_empty() {
        return Err(DurationError::NoUnit(clipped(number)));
    }
    if let Some((_, ms)) = UNITS.iter().find(|(name, _)| *name == unit) {
        return Ok(*ms);
    }
    let nearest = nearest::of(unit, UNITS.iter().map(|(name, _)| *name));
    Err(DurationError::UnknownUnit { unit: clipped(unit), nearest: nearest.map(str::to_owned) })
}

/// Keeps a message short whatever was written.
fn clipped(text: &str) -> String {
    text.chars().take(20).collect()
}

/// `number` (digits with at most one point) times `unit_ms`, exactly.
fn scaled(number: &str, unit_ms: u64) -> Result<u64, DurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (fraction.is_empty() && number.contains('.')) {
        return Err(DurationError::NoNumber);
    }
    let digits = |text: &str| text.parse::<u64>().map_err(|_| DurationError::TooLong);
    let mut total = digits(whole)?.checked_mul(unit_ms).ok_or(DurationError::TooLong)?;
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        let places = u32::try_from(fraction.len()).map_err(|_| DurationError::TooFine)?;
        let divisor = 10_u64.checked_pow(places).ok_or(DurationError::TooFine)?;
        let scaled = digits(fraction)?.checked_mul(unit_ms).ok_or(DurationError::TooFine)?;
        if scaled % divisor != 0 {
            return Err(DurationError::TooFine);
        }
        total = total.checked_add(scaled / divisor).ok_or(DurationError::TooLong)?;
    }
    Ok(total)
}

/// The shortest usual writing of a duration in whole milliseconds: `1h30m`, `500ms`, `0s`.
pub fn format(span: Duration) -> String {
    let mut rest = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let longest = if rest > HOURS_UP_TO { DAY } else { HOUR };
    let mut text = String::new();
    for (name, ms) in [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)] {
        if ms > longest || rest < ms {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{name}", rest / ms);
        rest %= ms;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(text: &str) -> u128 {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).as_millis()
    }

    #[test]
    fn durations_are_read_as_systemd_reads_them() {
        for (text, expected) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("0s", 0),
            ("10m", 600_000),
            ("10 min", 600_000),
            ("10 minutes", 600_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("0.25s", 250),
            ("1.50m", 90_000),
            ("72h", 259_200_000),
            ("3d", 259_200_000),
            ("  2h  ", 7_200_000),
        ] {
            assert_eq!(ms(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_its_reason() {
        for (text, expected) in [
            ("", "is empty"),
            ("   ", "is empty"),
            ("-5m", "is negative"),
            ("10", "has no unit; write \"10s\" or \"10m\""),
            ("10 minuts", "has the unknown unit \"minuts\"; did you mean \"minute\"?"),
            ("10M", "has the unknown unit \"M\""),
            ("5 fortnights", "has the unknown unit \"fortnights\""),
            ("m", "does not begin with a number"),
            ("soon", "does not begin with a number"),
            (".5m", "does not begin with a number"),
            ("5.m", "does not begin with a number"),
            ("1.2.3m", "does not begin with a number"),
            ("1m1h", "names its units in the wrong order"),
            ("1m1m", "names its units in the wrong order"),
            ("0.5ms", "is finer than a millisecond"),
            ("0.0001s", "is finer than a millisecond"),
            ("99999999999999999999s", "is too long to count"),
            ("9999999999999999999d", "is too long to count"),
            ("1h30", "has no unit"),
            ("1e3s", "has the unknown unit \"e\""),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn durations_are_printed_shortly() {
        for (millis, expected) in [
            (0, "0s"),
            (500, "500ms"),
            (1_500, "1s500ms"),
            (90_000, "1m30s"),
            (5_400_000, "1h30m"),
            (259_200_000, "72h"),
            (345_600_000, "4d"),
        ] {
            assert_eq!(format(Duration::from_millis(millis)), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(millis in any::<u64>()) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(parse(&format(span)), Ok(span));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_text_of_the_right_letters_panics(text in "[-0-9. smhd]{0,24}") {
            let _ = parse(&text);
        }
    }
}
