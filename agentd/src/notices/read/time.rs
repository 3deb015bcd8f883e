//! The two ways in which EC2 writes a time.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// EC2 began in 2006, and nothing is announced for the next century: 2006-01-01 to 2100-01-01, milliseconds since 1970.
const PLAUSIBLE: core::ops::Range<i64> = 1_136_073_600_000..4_102_444_800_000;

/// Whether a time in milliseconds since 1970 can be meant.
pub fn is_plausible(wall_ms: i64) -> bool {
    PLAUSIBLE.contains(&wall_ms)
}

/// `2017-09-18T08:22:00Z` (RFC 3339 §5.6 in UTC; a fraction of a second is allowed), as milliseconds since 1970.
pub fn utc(text: &str) -> Option<i64> {
    let fits = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                _ => byte == form,
            })
    };
    let body = text.strip_suffix('Z')?;
    let (moment, fraction) = body.split_once('.').unwrap_or((body, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !fits(moment, "0000-00-00T00:00:00")
        || !(1..=9).contains(&fraction.len())
        || !digits(fraction)
    {
        return None;
    }
    let wall_ms = text.parse::<Timestamp>().ok()?.as_millisecond();
    is_plausible(wall_ms).then_some(wall_ms)
}

/// `21 Jan 2019 09:00:43 GMT`, as scheduled events have it, as milliseconds since 1970.
pub fn gmt(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split(' ');
    let day: i8 = number(words.next()?, 1..=2)?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year: i16 = number(words.next()?, 4..=4)?;
    let mut clock = words.next()?.split(':');
    let mut two = || number::<i8>(clock.next()?, 2..=2);
    let (hour, minute, second) = (two()?, two()?, two()?);
    if clock.next().is_some() || words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    let date = Date::new(year, i8::try_from(month).ok()?, day).ok()?;
    let time = Time::new(hour, minute, second, 0).ok()?;
    let moment = TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok()?;
    let wall_ms = moment.as_millisecond();
    is_plausible(wall_ms).then_some(wall_ms)
}

/// A number of so many digits.
fn number<N: core::str::FromStr>(
    text: &str,
    digits: core::ops::RangeInclusive<usize>,
) -> Option<N> {
    let plain = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms_are_read() {
        assert_eq!(utc("2017-09-18T08:22:00Z"), Some(1_505_722_920_000));
        assert_eq!(utc("2017-09-18T08:22:00.250Z"), Some(1_505_722_920_250));
        assert_eq!(gmt("21 Jan 2019 09:00:43 GMT"), Some(1_548_061_243_000));
        assert_eq!(gmt("1 Feb 2028 00:00:00 GMT"), gmt("01 Feb 2028 00:00:00 GMT"));
        assert!(gmt("29 Feb 2028 23:59:59 GMT").is_some());
    }

    #[test]
    fn every_other_form_is_refused() {
        for bad in [
            "",
            "Z",
            "2017-09-18",
            "2017-09-18T08:22:00",
            "2017-09-18T08:22Z",
            "2017-09-18t08:22:00Z",
            "2017-09-18T08:22:00z",
            "2017-09-18 08:22:00Z",
            "2017-09-18T08:22:00+00:00",
            "2017-09-18T08:22:00+00:00Z",
            "2017-09-18T08:22:00.Z",
            "2017-09-18T08:22:00,5Z",
            "2017-09-18T08:22:00.1234567890Z",
            "+2017-09-18T08:22:00Z",
            "2017-9-18T08:22:00Z",
            "2017-02-30T08:22:00Z",
            "2017-13-01T08:22:00Z",
            "2017-09-18T24:22:00Z",
            "2017-09-18T08:60:00Z",
            "0000-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2100-01-01T00:00:00Z",
            " 2017-09-18T08:22:00Z",
            "2017-09-18T08:22:00Z ",
            "２017-09-18T08:22:00Z",
        ] {
            assert_eq!(utc(bad), None, "{bad:?}");
        }
        for bad in [
            "",
            "GMT",
            "21 Jan 2019",
            "21 Jan 2019 09:00:43",
            "21 Jan 2019 09:00:43 UTC",
            "21 Jan 2019 09:00:43 GMT ",
            "21 jan 2019 09:00:43 GMT",
            "21 January 2019 09:00:43 GMT",
            "21  Jan 2019 09:00:43 GMT",
            "32 Jan 2019 09:00:43 GMT",
            "29 Feb 2027 09:00:43 GMT",
            "0 Jan 2019 09:00:43 GMT",
            "-1 Jan 2019 09:00:43 GMT",
            "+1 Jan 2019 09:00:43 GMT",
            "21 Jan 2019 24:00:43 GMT",
            "21 Jan 2019 09:00:60 GMT",
            "21 Jan 2019 09:00 GMT",
            "21 Jan 2019 09:00:43:00 GMT",
            "21 Jan 19 09:00:43 GMT",
            "21 Jan 2004 09:00:43 GMT",
            "21 Jan 9999 09:00:43 GMT",
            "Mon, 21 Jan 2019 09:00:43 GMT",
            "2019-01-21T09:00:43Z",
        ] {
            assert_eq!(gmt(bad), None, "{bad:?}");
        }
    }
}
