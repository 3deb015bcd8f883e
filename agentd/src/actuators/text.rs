//! Text that came from elsewhere, made fit for a terminal, a tag and the journal.

use core::fmt::Write;

/// RFC 3339 in UTC, whole seconds, from milliseconds since 1970. A time that has no date is shown as its number.
pub(crate) fn rfc3339(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).map_or_else(
        |_| format!("{wall_ms} ms"),
        |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// The time of day in UTC, `14:05:00 UTC`.
pub(crate) fn time_of_day(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).map_or_else(
        |_| format!("{wall_ms} ms"),
        |moment| moment.strftime("%H:%M:%S UTC").to_string(),
    )
}

/// A duration as people say it: `10 minutes`, `1 minute 30 seconds`, `2 hours`.
pub(crate) fn spoken(ms: u64) -> String {
    let seconds = ms.div_ceil(1_000);
    let parts =
        [(seconds / 3_600, "hour"), (seconds / 60 % 60, "minute"), (seconds % 60, "second")];
    let said = |(count, unit): (u64, &str)| match count {
        0 => None,
        1 => Some(format!("1 {unit}")),
        count => Some(format!("{count} {unit}s")),
    };
    let said: Vec<String> = parts.into_iter().filter_map(said).collect();
    if said.is_empty() { "0 seconds".to_owned() } else { said.join(" ") }
}

/// Whether a character can steer a terminal or the direction of the text.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text on one line with every steering character written out (`\u{1b}`), at most `limit` characters.
pub(crate) fn escaped(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for c in text.trim().chars() {
        if steers(c) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shortened(&shown, limit)
}

/// The text without steering characters, at most `limit` characters.
pub(crate) fn stripped(text: &str, limit: usize) -> String {
    let plain: String = text.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    shortened(plain.trim(), limit)
}

fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(rfc3339(1_795_262_400_999), "2026-11-21T12:00:00Z");
        assert_eq!(time_of_day(1_795_262_400_000), "12:00:00 UTC");
        assert_eq!(rfc3339(i64::MAX), format!("{} ms", i64::MAX));
    }

    #[test]
    fn spans_are_said_as_people_say_them() {
        assert_eq!(spoken(600_000), "10 minutes");
        assert_eq!(spoken(90_000), "1 minute 30 seconds");
        assert_eq!(spoken(7_200_000), "2 hours");
        assert_eq!(spoken(1), "1 second");
        assert_eq!(spoken(0), "0 seconds");
    }

    #[test]
    fn steering_characters_are_written_out() {
        assert_eq!(escaped("a\x1b[2Jb\r\nc", 100), "a\\u{1b}[2Jb\\r\\nc");
        assert_eq!(escaped("\u{9b}31m\u{202e}", 100), "\\u{9b}31m\\u{202e}");
        assert_eq!(escaped("größer ✓", 100), "größer ✓");
    }

    #[test]
    fn steering_characters_are_left_out() {
        assert_eq!(stripped("a\tb\n\x1bc\u{2067}", 100), "a b  c");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(escaped("ééééé", 3), "éé…");
        assert_eq!(stripped(&"x".repeat(300), 256).chars().count(), 256);
    }
}
