//! Moments for people: always in UTC, and in the reader's own time where that differs.

use agent_proto::Timestamp;
use jiff::tz::TimeZone;

use super::Look;

/// `18:42:07 UTC`, with `, 14:42:07 your time` where that differs, and with dates where the day is not today.
pub(crate) fn moment(look: &Look, at: Timestamp, now: Timestamp) -> String {
    let utc = spelled(at, now, &TimeZone::UTC);
    let own = spelled(at, now, &look.zone);
    if own == utc { format!("{utc} UTC") } else { format!("{utc} UTC, {own} your time") }
}

/// `2026-01-02 18:42:07` in the reader's own time, for lists.
pub(crate) fn stamp(look: &Look, at: Timestamp) -> String {
    at.to_zoned(look.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn spelled(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let format = if at.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::style::Style;
    use jiff::tz::offset;

    fn look(hours: i8) -> Look {
        Look { style: Style::Plain, zone: TimeZone::fixed(offset(hours)) }
    }

    #[test]
    fn both_clocks_are_told_where_they_differ() {
        let now: Timestamp = "2026-01-02T18:30:00Z".parse().unwrap();
        let at: Timestamp = "2026-01-02T18:42:07.9Z".parse().unwrap();
        assert_eq!(moment(&look(0), at, now), "18:42:07 UTC");
        assert_eq!(moment(&look(-4), at, now), "18:42:07 UTC, 14:42:07 your time");
        assert_eq!(stamp(&look(-4), at), "2026-01-02 14:42:07");
    }

    #[test]
    fn another_day_has_a_date() {
        let now: Timestamp = "2026-01-02T23:30:00Z".parse().unwrap();
        let at: Timestamp = "2026-01-03T00:10:00Z".parse().unwrap();
        assert_eq!(moment(&look(0), at, now), "2026-01-03 00:10:00 UTC");
        assert_eq!(moment(&look(-4), at, now), "2026-01-03 00:10:00 UTC, 20:10:00 your time");
    }

    #[test]
    fn the_ends_of_the_calendar_can_be_shown() {
        moment(&look(14), Timestamp::MAX, Timestamp::MIN);
        moment(&look(-12), Timestamp::MIN, Timestamp::MAX);
    }
}
