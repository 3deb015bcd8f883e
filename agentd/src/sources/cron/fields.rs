//! When a line of a crontab runs (crontab(5)).

use std::time::Duration;

use agent_core::stamp::Stamp;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::sources::due;

/// When a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum When {
    /// When the machine starts (`@reboot`).
    AtStart,
    /// At these times.
    At(Times),
}

/// Minutes, hours, days and months, one bit a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Times {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is bit 0.
    weekdays: u64,
    /// The days of the month or of the week begin with a star: a day must fit both. Otherwise one is enough.
    both_days: bool,
    /// The minute or the hour begins with a star: the job follows the clock as it shows. Others run at a fixed time of the
    /// day, which cron makes up for when the clock jumps, and does not repeat when it is set back.
    wild: bool,
}

/// Where the clock of a time zone jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jump {
    /// The first minute since 1970 after it.
    minute: i64,
    /// By how many minutes it goes forward; below 0 it is set back.
    by: i64,
}

/// A longer jump, in minutes, is a correction of the clock, after which cron goes on as if nothing had been. (cron(8) of
/// Debian: "clock changes of less than 3 hours"; `cron.c` of vixie-cron and cronie, the kinds of wakeup.)
const CORRECTION: i64 = 180;

/// The next run of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// How long until then.
    pub(super) wait: Duration,
    /// Another run is so near that the machine would hardly be free between the two ([`due::again`]).
    pub(super) often: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Understands five fields, or a word such as `@daily`.
pub(super) fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<When> {
    let first = words.next()?;
    if let Some(name) = first.strip_prefix('@') {
        let fields = match name.to_ascii_lowercase().as_str() {
            "reboot" => return Some(When::AtStart),
            "yearly" | "annually" => "0 0 1 1 *",
            "monthly" => "0 0 1 * *",
            "weekly" => "0 0 * * 0",
            "daily" | "midnight" => "0 0 * * *",
            "hourly" => "0 * * * *",
            _ => return None,
        };
        return parse(&mut fields.split(' '));
    }
    let (hours, days) = (words.next()?, words.next()?);
    let (months, weekdays) = (words.next()?, words.next()?);
    let week = field(weekdays, 0, 7, &WEEKDAYS)?;
    Some(When::At(Times {
        minutes: field(first, 0, 59, &[])?,
        hours: field(hours, 0, 23, &[])?,
        days: field(days, 1, 31, &[])?,
        months: field(months, 1, 12, &MONTHS)?,
        // Sunday is 0 and 7.
        weekdays: week | (week >> 7 & 1),
        both_days: days.starts_with('*') || weekdays.starts_with('*'),
        wild: first.starts_with('*') || hours.starts_with('*'),
    }))
}

/// A list of numbers, names, ranges and steps. `a~b` (a random number between the two) may be any of them.
fn field(text: &str, least: u32, most: u32, names: &[&str]) -> Option<u64> {
    let value = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let by_name = names.iter().position(|name| *name == lower);
        let number = match by_name {
            Some(at) => u32::try_from(at).ok()? + least,
            None => text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))?,
        };
        (least..=most).contains(&number).then_some(number)
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = if range == "*" {
            (least, most)
        } else if let Some((from, to)) = range.split_once(['-', '~']) {
            (value(from)?, value(to)?)
        } else {
            // A step after a single number goes up to the end.
            let from = value(range)?;
            (from, if part.contains('/') { most } else { from })
        };
        if from > to {
            return None;
        }
        bits |= (from..=to).step_by(step).fold(0, |bits, value| bits | 1_u64 << value);
    }
    Some(bits)
}

impl Times {
    fn fits(&self, at: DateTime) -> bool {
        let has = |bits: u64, value: i8| u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1);
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        let fits_day = if self.both_days { day && weekday } else { day || weekday };
        has(self.minutes, at.minute())
            && has(self.hours, at.hour())
            && has(self.months, at.month())
            && fits_day
    }
}

/// The jumps of a zone's clock that matter to jobs between two minutes since 1970.
fn jumps(zone: &TimeZone, from: i64, until: i64) -> Vec<Jump> {
    let second = |minute: i64| Timestamp::from_second(minute.saturating_mul(60)).ok();
    // What was set back shortly before is still being repeated.
    let Some(begin) = second(from.saturating_sub(CORRECTION)) else { return Vec::new() };
    let mut found = Vec::new();
    let mut last = begin;
    for transition in zone.following(begin) {
        let at = transition.timestamp();
        let minute = at.as_second().div_euclid(60) + i64::from(at.as_second().rem_euclid(60) != 0);
        // Of a file that tells no rule for the future, the last change is told again and again.
        if minute > until || at <= last {
            break;
        }
        last = at;
        let Ok(before) = Timestamp::from_second(at.as_second().saturating_sub(1)) else { continue };
        let by = i64::from(transition.offset().seconds() - zone.to_offset(before).seconds()) / 60;
        if (-CORRECTION + 1..=CORRECTION).contains(&by) && by != 0 {
            found.push(Jump { minute, by });
        }
    }
    found
}

/// So far ahead, in minutes, a run is looked for to be shown.
const DAY: i64 = 24 * 60;
/// Jumps of the clock are looked for so many minutes further: more than [`due::again`] adds.
const AGAIN: i64 = 2 * 60;

/// What a clock shows in a time zone around now, minute by minute. It is worked out once for all jobs: a table of a thousand
/// lines then costs no more than a thousand comparisons a minute of it.
#[derive(Debug)]
pub(super) struct Calendar {
    now: Stamp,
    /// The minute since 1970 that it is now.
    this: i64,
    /// The last minute in which a run is looked for.
    until: i64,
    /// Another run within so many minutes is often.
    again: i64,
    /// What the clock shows, from the minute `first` on.
    first: i64,
    shown: Vec<Option<DateTime>>,
    jumps: Vec<Jump>,
}

impl Calendar {
    /// The clock of a zone from now until a day from now, or for `ahead` if that is longer.
    pub(super) fn new(now: Stamp, ahead: Duration, zone: &TimeZone) -> Self {
        let span = i64::try_from(ahead.as_secs() / 60).unwrap_or(i64::MAX).max(1);
        let this = now.wall_ms.div_euclid(60_000);
        let until = this.saturating_add(span.max(DAY));
        let jumps = jumps(zone, this.saturating_sub(span), until.saturating_add(span.saturating_add(AGAIN)));
        let again = i64::try_from(due::again(ahead).as_secs() / 60).unwrap_or(i64::MAX).max(2) - 1;
        let first = this.saturating_sub(again);
        let show = |minute: i64| {
            let moment = Timestamp::from_second(minute.saturating_mul(60)).ok()?;
            Some(zone.to_datetime(moment))
        };
        let shown = (first..=until.saturating_add(again)).map(show).collect();
        Self { now, this, until, again, first, shown, jumps }
    }

    /// The next run within a day from now, or within `ahead` if that is longer; none if there is none, or if the job runs at
    /// no time.
    pub(super) fn next(&self, when: &When) -> Option<Next> {
        let When::At(when) = when else { return None };
        let run = (self.this + 1..=self.until).find(|minute| self.runs(when, *minute))?;
        let around = (run.saturating_sub(self.again)..run).chain(run + 1..=run.saturating_add(self.again));
        let often = { around }.any(|minute| self.runs(when, minute));
        let wait_ms = (run * 60_000).saturating_sub(self.now.wall_ms);
        Some(Next { wait: Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)), often })
    }

    /// Whether a job runs in that minute since 1970. A job of a fixed time that the clock skips runs right after the jump, and
    /// one whose time comes twice runs the first time only.
    fn runs(&self, when: &Times, minute: i64) -> bool {
        let place = usize::try_from(minute - self.first).ok();
        let Some(local) = place.and_then(|place| *self.shown.get(place)?) else { return false };
        if when.wild {
            return when.fits(local);
        }
        let repeated = |jump: &Jump| jump.by < 0 && (0..-jump.by).contains(&(minute - jump.minute));
        if self.jumps.iter().any(repeated) {
            return false;
        }
        let at = self.jumps.iter().filter(|jump| jump.minute == minute);
        let skipped = at.map(|jump| jump.by).max().unwrap_or(0);
        let missed = (1..=skipped)
            .filter_map(|back| local.checked_sub(jiff::Span::new().minutes(back)).ok());
        when.fits(local) || missed.into_iter().any(|local| when.fits(local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: Duration = Duration::from_mins(90);

    fn when(line: &str) -> Option<When> {
        parse(&mut line.split_ascii_whitespace())
    }

    /// Minutes until the next run, and whether it runs often, seen from a moment in UTC.
    fn from(moment: &str, line: &str) -> Option<(u64, bool)> {
        let moment: Timestamp = moment.parse().unwrap();
        let now = Stamp::new(0, 0, moment.as_millisecond());
        let next = Calendar::new(now, AHEAD, &TimeZone::UTC).next(&when(line).unwrap())?;
        (next.wait <= AHEAD).then_some((next.wait.as_secs() / 60, next.often))
    }

    // A Thursday.
    const NOON: &str = "2026-11-26T12:00:00Z";

    #[test]
    fn the_next_run_is_found() {
        for (line, expected) in [
            ("30 12 * * *", Some((30, false))),
            ("0 12 * * *", None),
            ("30 13 * * *", Some((90, false))),
            ("31 13 * * *", None),
            ("0 13 26 11 *", Some((60, false))),
            ("0 13 27 11 *", None),
            ("0 13 * dec *", None),
            ("0 13 * * thu", Some((60, false))),
            ("0 13 * * 5", None),
            ("0 13 1 * 4", Some((60, false))),
            ("0 13 1 * 5", None),
            ("0 13 */2 * 4", None),
            ("0 13 */5 * 4", Some((60, false))),
            ("0 13 * * 1-5", Some((60, false))),
            ("0 13 * * 7,0", None),
            ("@daily", None),
            ("@reboot", None),
            ("@hourly", Some((60, true))),
            ("*/5 * * * *", Some((5, true))),
            ("0 */2 * * *", None),
            ("0 1-23/2 * * *", Some((60, true))),
            ("0 1-22/3 * * *", Some((60, false))),
            ("5/20 12 * * *", Some((5, true))),
            ("10~50 13 * * *", Some((70, true))),
        ] {
            assert_eq!(from(NOON, line), expected, "{line}");
        }
        assert_eq!(from("2026-12-31T23:59:30Z", "@yearly"), Some((0, false)));
        assert_eq!(from("2028-02-28T23:30:00Z", "0 0 29 2 *"), Some((30, false)));
    }

    /// A compiled zone (tzfile(5), version 1) whose clock jumps once.
    fn zone(at: &str, before_minutes: i32, after_minutes: i32) -> TimeZone {
        let at = at.parse::<Timestamp>().unwrap().as_second();
        let mut bytes = b"TZif\0".to_vec();
        bytes.extend([0; 15]);
        // Two kinds of time, one jump, names of eight bytes; no leap seconds.
        for count in [0_u32, 0, 0, 1, 2, 8] {
            bytes.extend(count.to_be_bytes());
        }
        bytes.extend(i32::try_from(at).unwrap().to_be_bytes());
        bytes.push(1);
        for (minutes, daylight, name) in [(before_minutes, 0, 0), (after_minutes, 1, 4)] {
            bytes.extend((minutes * 60).to_be_bytes());
            bytes.extend([daylight, name]);
        }
        bytes.extend(b"AAA\0BBB\0");
        TimeZone::tzif("Test/Jump", &bytes).unwrap()
    }

    /// Minutes from a moment in UTC until the next run.
    fn wait(moment: &str, line: &str, zone: &TimeZone) -> u64 {
        let moment: Timestamp = moment.parse().unwrap();
        let now = Stamp::new(0, 0, moment.as_millisecond());
        Calendar::new(now, AHEAD, zone).next(&when(line).unwrap()).unwrap().wait.as_secs() / 60
    }

    #[test]
    fn a_job_of_the_hour_that_the_clock_skips_runs_right_after_the_jump() {
        // From 02:00 to 03:00 local time.
        let at = "2026-03-29T01:00:00Z";
        for zone in [zone(at, 60, 120), TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()] {
            for (line, minutes) in [
                ("30 2 * * *", 30),
                ("0 2 * * *", 30),
                ("59 2 29 3 *", 30),
                ("0 3 * * *", 30),
                ("5 3 * * *", 35),
                ("30 1 * * *", 24 * 60 - 60),
                // They follow the clock as it shows, which never shows two o'clock.
                ("*/20 2 * * *", 24 * 60 - 30),
                ("30 * * * *", 60),
            ] {
                assert_eq!(wait("2026-03-29T00:30:00Z", line, &zone), minutes, "{line}");
            }
            assert_eq!(wait("2026-03-29T01:00:00Z", "30 2 * * *", &zone), 23 * 60 + 30);
        }
    }

    #[test]
    fn a_jump_of_half_an_hour_is_made_up_for_and_one_of_a_day_is_not() {
        let at = "2026-10-03T15:30:00Z";
        let half = zone(at, 10 * 60 + 30, 11 * 60);
        assert_eq!(wait("2026-10-03T15:00:00Z", "15 2 * * *", &half), 30);
        // The line between two dates: the day is missing, and so are its jobs.
        let day = zone(at, -10 * 60, 14 * 60);
        assert_eq!(wait("2026-10-03T15:00:00Z", "45 5 * * *", &day), 45);
        assert!(wait("2026-10-03T15:00:00Z", "0 20 * * *", &day) > 30);
    }

    #[test]
    fn a_job_of_the_hour_that_comes_twice_runs_once() {
        // From 03:00 back to 02:00 local time.
        let zone = zone("2026-10-25T01:00:00Z", 120, 60);
        assert_eq!(wait("2026-10-25T00:10:00Z", "30 2 * * *", &zone), 20);
        let moment: Timestamp = "2026-10-25T00:31:00Z".parse().unwrap();
        let now = Stamp::new(0, 0, moment.as_millisecond());
        let calendar = Calendar::new(now, AHEAD, &zone);
        assert_eq!(calendar.next(&when("30 2 * * *").unwrap()), None, "not in a day");
        assert_eq!(wait("2026-10-25T00:31:00Z", "30 * * * *", &zone), 59, "this one each time");
        assert_eq!(wait("2026-10-25T01:31:00Z", "0 3 * * *", &zone), 29);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "+5 * * * *",
            "-5 * * * *",
            "x * * * *",
            "1,,2 * * * *",
            "* * * * fun",
            "99999999999999999999 * * * *",
            "@sometimes",
        ] {
            assert_eq!(when(line), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in ".{0,60}") {
            when(&line);
        }

        /// What runs at one minute of the day is found from every other minute, and at the right time.
        #[test]
        fn a_daily_job_is_due_when_it_says(minute in 0_i64..1440, now in 0_i64..1440) {
            let when = when(&format!("{} {} * * *", minute % 60, minute / 60)).unwrap();
            let stamp = Stamp::new(0, 0, (20_000 * 1440 + now) * 60_000);
            let wait = (minute - now).rem_euclid(1440);
            let expected = u64::try_from(if wait == 0 { 1440 } else { wait } * 60).unwrap();
            let found = Calendar::new(stamp, AHEAD, &TimeZone::UTC).next(&when).unwrap();
            proptest::prop_assert_eq!((found.wait.as_secs(), found.often), (expected, false));
        }
    }
}
