//! Values with their units.

use agent_proto::span::short;
use agent_proto::status::{Source, Verdict};

/// A value in a unit: `0.012 core`, `3.1 kB/s`, `12 %`.
pub(crate) fn amount(value: f64, unit: &str) -> String {
    let (factor, prefix) = scale(value, unit);
    format!("{} {prefix}{unit}", number(value / factor)).trim_end().to_owned()
}

/// A value beside its limit, both in the unit of the limit: `0.03 of 0.12 core`, `3.1 of 16 kB/s`.
pub(crate) fn of_limit(value: f64, limit: f64, unit: &str) -> String {
    let (factor, prefix) = scale(limit, unit);
    let (value, limit) = (number(value / factor), number(limit / factor));
    format!("{value} of {limit} {prefix}{unit}").trim_end().to_owned()
}

/// By how much a value is divided, and the prefix of its unit then.
fn scale(value: f64, unit: &str) -> (f64, &'static str) {
    let bytes = matches!(unit, "B" | "B/s");
    match value.abs() {
        size if bytes && size >= 1e9 => (1e9, "G"),
        size if bytes && size >= 1e6 => (1e6, "M"),
        size if bytes && size >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    }
}

/// Three significant digits at most, none behind a point for large numbers, and never `-0`.
fn number(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// What a source shows now. A source that cannot be read shows `UNKNOWN`, never a number.
pub(crate) fn now(source: &Source) -> String {
    match source.verdict {
        Verdict::Blind => "UNKNOWN".to_owned(),
        Verdict::Absent => "not there".to_owned(),
        Verdict::Disabled => "off".to_owned(),
        Verdict::Blocks | Verdict::Stretches => "present".to_owned(),
        Verdict::Busy | Verdict::Idle | Verdict::Ignored | Verdict::Other => {
            match (source.value, source.last_activity_seconds) {
                (Some(value), _) => {
                    let sum = match (source.weighed, source.together) {
                        (true, _) => " by weight",
                        (false, true) => " together",
                        (false, false) => "",
                    };
                    format!("{}{sum}", amount(value, &source.unit))
                }
                (None, Some(age)) => format!("used {} ago", short(age)),
                (None, None) => "nothing".to_owned(),
            }
        }
    }
}

/// When a source counts as use.
pub(crate) fn busy_if(source: &Source) -> String {
    match (source.verdict, source.busy_above) {
        (Verdict::Disabled | Verdict::Absent, _) => "-".to_owned(),
        (_, Some(limit)) => format!(">= {}", amount(limit, &source.unit)),
        (Verdict::Blocks, None) => "present".to_owned(),
        (Verdict::Stretches, None) => "waits longer".to_owned(),
        (_, None) => "any use".to_owned(),
    }
}

/// The judgement. What is not idle is in capitals, so that it stands out without colour.
pub(crate) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Busy => "BUSY",
        Verdict::Idle => "idle",
        Verdict::Blocks => "BLOCKS",
        Verdict::Stretches => "LONGER",
        Verdict::Blind => "UNKNOWN",
        Verdict::Absent => "absent",
        Verdict::Ignored => "ignored",
        Verdict::Disabled => "off",
        Verdict::Other => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        for (value, unit, expected) in [
            (0.0, "core", "0 core"),
            (-0.000_1, "core", "0 core"),
            (0.012_34, "core", "0.012 core"),
            (1.256, "core", "1.26 core"),
            (47.96, "core", "48 core"),
            (100.0, "%", "100 %"),
            (3_140.0, "B/s", "3.14 kB/s"),
            (51_200.0, "B/s", "51.2 kB/s"),
            (2_500_000.0, "B/s", "2.5 MB/s"),
            (7.2e9, "B", "7.2 GB"),
            (12.0, "", "12"),
        ] {
            assert_eq!(amount(value, unit), expected);
        }
    }

    #[test]
    fn a_source_that_cannot_be_read_never_shows_a_number() {
        let mut source = samples::source("gpu", Verdict::Blind, Some(0.0), Some(5.0), "%");
        assert_eq!((now(&source).as_str(), verdict(source.verdict)), ("UNKNOWN", "UNKNOWN"));
        source.verdict = Verdict::Absent;
        assert_eq!((now(&source).as_str(), busy_if(&source).as_str()), ("not there", "-"));
    }

    #[test]
    fn a_sum_is_told_from_what_one_thing_does() {
        let mut source = samples::source("cpu", Verdict::Busy, Some(0.14), Some(0.05), "core");
        assert_eq!(now(&source), "0.14 core");
        source.together = true;
        assert_eq!(now(&source), "0.14 core together");
        source.weighed = true;
        assert_eq!(now(&source), "0.14 core by weight");
    }

    #[test]
    fn what_is_not_a_number_shows_when_it_was_used() {
        let mut source = samples::source("input", Verdict::Idle, None, None, "");
        assert_eq!((now(&source).as_str(), busy_if(&source).as_str()), ("used 22m ago", "any use"));
        source.last_activity_seconds = None;
        assert_eq!(now(&source), "nothing");
    }
}
