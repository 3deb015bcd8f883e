//! Spans of time for people, the same in the journal, on the screen and in events.

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A span in a sentence: `45 s`, `2 min 30 s`, `18 min`, `3 h 05 min`, `2 d 4 h`. Seconds are left out from ten minutes
/// on. What is negative or not a number is `0 s`.
pub fn long(seconds: f64) -> String {
    let whole = whole(seconds);
    let (minutes, hours, days) = (whole / MINUTE, whole / HOUR, whole / DAY);
    if whole < MINUTE {
        format!("{whole} s")
    } else if minutes < 10 && !whole.is_multiple_of(MINUTE) {
        format!("{minutes} min {} s", whole % MINUTE)
    } else if hours < 1 {
        format!("{minutes} min")
    } else if days < 1 {
        format!("{hours} h {:02} min", minutes % 60)
    } else {
        format!("{days} d {} h", hours % 24)
    }
}

/// A span in a column: `45s`, `18m`, `3h05m`, `2d4h`.
pub fn short(seconds: f64) -> String {
    let whole = whole(seconds);
    let (minutes, hours, days) = (whole / MINUTE, whole / HOUR, whole / DAY);
    if whole < MINUTE {
        format!("{whole}s")
    } else if hours < 1 {
        format!("{minutes}m")
    } else if days < 1 {
        format!("{hours}h{:02}m", minutes % 60)
    } else {
        format!("{days}d{}h", hours % 24)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and not-a-number becomes 0"
)]
fn whole(seconds: f64) -> u64 {
    seconds.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_the_precision_that_matters() {
        for (seconds, expected) in [
            (0.0, "0 s"),
            (0.4, "0 s"),
            (59.6, "1 min"),
            (45.0, "45 s"),
            (60.0, "1 min"),
            (150.0, "2 min 30 s"),
            (599.0, "9 min 59 s"),
            (601.0, "10 min"),
            (720.0, "12 min"),
            (3_600.0, "1 h 00 min"),
            (11_100.0, "3 h 05 min"),
            (187_200.0, "2 d 4 h"),
        ] {
            assert_eq!(long(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn columns_are_narrow() {
        for (seconds, expected) in
            [(9.0, "9s"), (1_320.0, "22m"), (11_100.0, "3h05m"), (187_200.0, "2d4h")]
        {
            assert_eq!(short(seconds), expected, "{seconds}");
        }
        assert!(short(f64::from(u32::MAX)).len() <= 9);
    }

    #[test]
    fn nonsense_is_zero() {
        for seconds in [-5.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(long(seconds), "0 s");
        }
    }
}
