//! Sentences for people, made only when somebody will read them.

use core::fmt::Write as _;
use core::time::Duration;

use super::idle::Barrier;
use super::{Ability, Engine, Power, SourceName, Stamp, millis};
use crate::reading::Stretch;
use crate::verdict::{Cause, Judgement, Sum};

/// Without any source that exists nothing is known.
pub(super) const NOTHING_LOOKED_AT: &str =
    "no source is enabled that this machine has, so nothing is known of its use";

/// The longest `because`: a tag value has 256 characters, 200 of them for the reason.
const MAX_BECAUSE: usize = 200;

impl Engine {
    /// One line: why the machine counts as used, or what was looked at to call it idle.
    pub(super) fn because(&self, now: Stamp) -> String {
        let mut text = String::new();
        for wanted in [Judgement::Blind, Judgement::Blocks, Judgement::Busy] {
            for (name, track) in self.tracks.iter().filter(|(_, t)| t.judgement() == wanted) {
                if !text.is_empty() {
                    text.push_str("; ");
                }
                match wanted {
                    Judgement::Blind => {
                        let _ = write!(text, "{name} unknown: {}", track.detail().unwrap_or("?"));
                    }
                    Judgement::Blocks => {
                        let _ = write!(text, "blocked by {name}{}", leading(track.leading()));
                    }
                    _ => {
                        let unit = self.policy.sources.get(name).map_or("", |p| p.unit.as_str());
                        text.push_str(&used(name, &track.used().unwrap_or_default(), unit));
                    }
                }
            }
        }
        if text.is_empty() && self.seen.blind {
            NOTHING_LOOKED_AT.clone_into(&mut text);
        } else if text.is_empty() {
            text = self.idle_summary(now);
        }
        cut(text)
    }

    /// "no use for 17m: cpu 0.01/0.05 core; gpu 0/1 %; input 41m ago".
    fn idle_summary(&self, now: Stamp) -> String {
        let mut text = format!("no use for {}", span_ms(self.quiet_ms));
        let mut between = ": ";
        for (name, track) in &self.tracks {
            let Some(policy) = self.policy.sources.get(name) else { continue };
            let part = match (track.value(), track.last_activity()) {
                (Some(value), _) => {
                    let nearest = track.cause().unwrap_or_default();
                    let value = nearest.value.unwrap_or(value);
                    let limit = nearest.limit.unwrap_or(policy.busy_above);
                    // Both in the unit of the limit, so that they can be compared at a glance.
                    let (factor, unit) = scale(limit, &policy.unit);
                    format!("{name} {}/{} {unit}", number(value / factor), number(limit / factor))
                }
                (None, Some(at)) => format!("{name} {} ago", span(now.since(at))),
                (None, None) => continue,
            };
            text.push_str(between);
            text.push_str(&part);
            between = "; ";
        }
        text
    }

    /// What was used last: "cpu 0.97 core, limit 0.05 (user.slice, alice)".
    pub(super) fn use_text(&self) -> Option<String> {
        let source = self.last_use.as_ref()?;
        let unit = self.policy.sources.get(source).map_or("", |p| p.unit.as_str());
        let cause = self.tracks.get(source).and_then(crate::track::Track::used);
        Some(cut(used(source, &cause.unwrap_or_default(), unit)))
    }

    /// Why an action was called off.
    pub(super) fn barrier_text(&self, now: Stamp, barrier: Barrier) -> String {
        let text = match barrier {
            Barrier::Used => match self.use_text() {
                Some(text) => format!("the machine is used: {text}"),
                None => "the machine was away or unknown for a while".to_owned(),
            },
            Barrier::Held => match self.memory.holds.last() {
                Some(h) => format!("'{}' holds the machine up: {}", h.owner, h.reason),
                None => "a tag of the instance keeps the machine up".to_owned(),
            },
            Barrier::Unable => self.unable_text(),
            Barrier::Grace => "the machine has just come up".to_owned(),
            Barrier::Configuration => "the configuration no longer asks for it".to_owned(),
            Barrier::TooShort => {
                let idle = span_ms(self.quiet_ms);
                let needed = span_ms(self.act_after_ms(now));
                let why = self.stretch_text().map(|text| format!(" while {text}"));
                let why = why.unwrap_or_default();
                format!("the machine has been idle for {idle} only, of {needed}{why}")
            }
            Barrier::Interrupted => self.interruption_text().unwrap_or_default(),
            Barrier::TooOld => "it was asked for too long ago".to_owned(),
            Barrier::Blind | Barrier::Blocked => self.because(now),
        };
        cut(text)
    }

    /// What makes the agent wait longer: "alice is connected on pts/3", "alice, make\[812\] runs on pts/3".
    pub(super) fn stretch_text(&self) -> Option<String> {
        let stretch = self.stretch()?;
        let who = stretch.owner.as_deref().unwrap_or("somebody");
        Some(match stretch.by {
            Stretch::Connected => format!("{who} is connected ({})", stretch.subject),
            Stretch::Job => format!("a job runs ({}, {who})", stretch.subject),
        })
    }

    /// Why nothing can be done on this instance.
    pub(super) fn unable_text(&self) -> String {
        if self.abilities.instance_id.is_none() {
            return "this instance's identity is unknown: IMDS has not answered; see 'agentctl doctor'".to_owned();
        }
        let wanted = self.policy.idle.action.unwrap_or(Power::Hibernate);
        match self.ability(wanted) {
            Ability::Unknown => format!(
                "EC2 has not said yet whether this instance can {}; see 'agentctl doctor'",
                wanted.verb()
            ),
            Ability::Cannot(refusal) => format!("cannot {}: {}", wanted.verb(), refusal.detail),
            Ability::Can => "nothing is configured to be done".to_owned(),
        }
    }
}

/// What is used of a source, how much, and from where on that is a use: "cpu 0.22 core, limit 0.08
/// (system.slice/train.service)", "cpu together 0.14 core, limit 0.05 (most: session-3.scope, alice)".
pub(super) fn used(source: &SourceName, cause: &Cause, unit: &str) -> String {
    let mut text = source.to_string();
    if cause.sum != Sum::One {
        text.push_str(" together");
    }
    if let Some(value) = cause.value {
        let _ = write!(text, " {}", quantity(value, unit));
        if cause.sum == Sum::Weighed {
            text.push_str(" by weight");
        }
        if let Some(limit) = cause.limit {
            let ((_, its), (factor, scaled)) = (scale(value, unit), scale(limit, unit));
            let same = its == scaled;
            let said = if same { number(limit / factor) } else { quantity(limit, unit) };
            let _ = write!(text, ", limit {said}");
        }
    }
    let subject = cause.subject.as_deref().map(|subject| (subject, cause.owner.as_deref()));
    let said = leading(subject);
    text.push_str(&if cause.sum == Sum::One { said } else { said.replacen('(', "(most: ", 1) });
    text
}

fn leading(what: Option<(&str, Option<&str>)>) -> String {
    match what {
        Some((subject, Some(owner))) => format!(" ({subject}, {owner})"),
        Some((subject, None)) => format!(" ({subject})"),
        None => String::new(),
    }
}

/// A value with its unit: "0.97 core", "2.1 kB/s", "3 %".
pub fn quantity(value: f64, unit: &str) -> String {
    let (factor, unit) = scale(value, unit);
    let number = number(value / factor);
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

/// A value beside its limit, both in the unit of the limit: "0.03 of 0.12 core", "3.1 of 16 kB/s".
pub fn of_limit(value: f64, limit: f64, unit: &str) -> String {
    let (factor, unit) = scale(limit, unit);
    format!("{} of {} {unit}", number(value / factor), number(limit / factor))
}

/// The unit in which a value is said, and how much of the source's unit it is.
fn scale(value: f64, unit: &str) -> (f64, &str) {
    let larger = [(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s")];
    let fits = |(factor, _): &(f64, &str)| unit == "B/s" && value >= *factor;
    larger.into_iter().find(fits).unwrap_or((1.0, unit))
}

/// A number with as many places as help: 0.05, 2.1, 312.
fn number(value: f64) -> String {
    let places = match value {
        value if !(0.000_5..100.0).contains(&value) => 0,
        value if value >= 10.0 => 1,
        // What is small beside a limit of hundredths is still not nothing.
        value if value < 0.01 => 3,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    match text.strip_suffix(".00").or_else(|| text.strip_suffix(".0")) {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// "45s", "17m", "3h05m", "2d04h".
pub(super) fn span(duration: Duration) -> String {
    span_ms(millis(duration))
}

/// The same from milliseconds.
pub(super) fn span_ms(ms: u64) -> String {
    let secs = ms / 1000;
    match secs {
        0..=89 => format!("{secs}s"),
        90..=5399 => format!("{}m", secs / 60),
        5400..=172_799 => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
        _ => format!("{}d{:02}h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// At most the longest `because`, cut at a character.
pub(super) fn cut(text: String) -> String {
    if text.chars().count() <= MAX_BECAUSE {
        return text;
    }
    let mut short: String = text.chars().take(MAX_BECAUSE - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_and_keep_their_unit() {
        assert_eq!(quantity(0.968, "core"), "0.97 core");
        assert_eq!(quantity(2048.0, "B/s"), "2.05 kB/s");
        assert_eq!(quantity(0.0, "%"), "0 %");
        assert_eq!(quantity(3.0, "%"), "3 %");
        assert_eq!(quantity(0.004, "core"), "0.004 core");
        assert_eq!(quantity(0.000_04, "core"), "0 core");
        assert_eq!(of_limit(3100.0, 16_000.0, "B/s"), "3.10 of 16 kB/s");
        assert_eq!(quantity(262_144.0, "B/s"), "262 kB/s");
    }

    #[test]
    fn a_value_beside_its_limit_is_said_in_the_limits_unit() {
        let (factor, unit) = scale(262_144.0, "B/s");
        assert_eq!((number(5_573.0 / factor), unit), ("5.57".to_owned(), "kB/s"));
        assert_eq!(scale(0.05, "core"), (1.0, "core"));
        assert_eq!(scale(999.0, "B/s"), (1.0, "B/s"));
    }

    #[test]
    fn spans_have_two_units_at_most() {
        assert_eq!(span_ms(89_999), "89s");
        assert_eq!(span_ms(17 * 60_000), "17m");
        assert_eq!(span_ms(11_100_000), "3h05m");
        assert_eq!(span_ms(187_200_000), "2d04h");
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let text = cut("ü".repeat(300));
        assert_eq!(text.chars().count(), MAX_BECAUSE);
        assert!(text.ends_with('…'));
    }
}
