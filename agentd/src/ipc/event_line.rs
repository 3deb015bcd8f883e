//! An event as one line of `GET /v1/events`: a word, a sentence, and the fields.

use std::collections::BTreeMap;

use agent_core::reason::Event;
use agent_proto::Timestamp;
use agent_proto::event::{EventLine, SCHEMA};
use agent_proto::span::long;
use serde_json::Value;

use crate::publish::EventRecord;

/// The line of an event.
///
/// The fields are those of the engine's event, with the wire's units: what the engine counts in milliseconds becomes
/// seconds (`in_ms` → `in_seconds`) and moments become RFC 3339 (`act_at_wall_ms` → `act_at`).
pub fn line(record: &EventRecord) -> EventLine {
    let (event, fields) = fields(&record.event);
    EventLine {
        schema: SCHEMA.to_owned(),
        seq: record.seq,
        at: wall(record.at.wall_ms),
        event,
        text: sentence(&record.event),
        fields,
    }
}

/// A moment of the wall clock. One that a calendar cannot hold becomes its end.
pub(super) fn wall(ms: i64) -> Timestamp {
    let end = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or(end)
}

/// Milliseconds as seconds.
fn seconds(ms: u64) -> f64 {
    core::time::Duration::from_millis(ms).as_secs_f64()
}

fn fields(event: &Event) -> (String, BTreeMap<String, Value>) {
    let Ok(Value::Object(map)) = serde_json::to_value(event) else {
        return ("unknown".to_owned(), BTreeMap::new());
    };
    let mut word = "unknown".to_owned();
    let mut fields = BTreeMap::new();
    for (name, value) in map {
        if name == "event" {
            value.as_str().unwrap_or_default().clone_into(&mut word);
        } else if let (Some(stem), Some(ms)) = (name.strip_suffix("_wall_ms"), value.as_i64()) {
            fields.insert(stem.to_owned(), Value::String(wall(ms).to_string()));
        } else if let (Some(stem), Some(ms)) = (name.strip_suffix("_ms"), value.as_u64()) {
            fields.insert(format!("{stem}_seconds"), seconds(ms).into());
        } else if !value.is_null() {
            fields.insert(name, value);
        }
    }
    (word, fields)
}

/// One sentence about what happened to the machine.
pub fn sentence(event: &Event) -> String {
    match event {
        Event::BecameActive { because } => format!("in use: {because}"),
        Event::BecameQuiet { because, act_at_wall_ms } => match act_at_wall_ms {
            Some(at) => format!("quiet: {because}; the action is due at {}", wall(*at)),
            None => format!("quiet: {because}"),
        },
        Event::Gap { away_ms } => {
            format!("could not look for {}; every window restarts", long(seconds(*away_ms)))
        }
        Event::SourceBlind { source, why } => format!("source \"{source}\" is unknown: {why}"),
        Event::SourceBack { source, blind_ms } => {
            format!("source \"{source}\" can be read again, after {}", long(seconds(*blind_ms)))
        }
        Event::HoldMade { hold, owner, until_wall_ms, reason } => {
            format!("hold {hold} of {owner} until {}: {reason}", wall(*until_wall_ms))
        }
        Event::HoldEnded { hold, owner, how } => format!("hold {hold} of {owner} ended: {how}"),
        Event::BlockExpired { source, subject } => {
            format!("{source}: {subject} has blocked for too long and counts no more")
        }
        Event::PolicyChanged => "the policy was reloaded".to_owned(),
        Event::Unexpected { what } => format!("unexpected: {what}; the state was kept"),
        other => action(other),
    }
}

/// One sentence about an action.
fn action(event: &Event) -> String {
    match event {
        Event::Warned { power, in_ms, because } => {
            format!("warned: will {} in {}: {because}", power.verb(), long(seconds(*in_ms)))
        }
        Event::CalledOff { power, because } => format!("will not {}: {because}", power.verb()),
        Event::HookStarted { power } => format!("the pre-stop hook runs before {}", noun(*power)),
        Event::HookEnded { detail, ok } => {
            format!("the pre-stop hook {}: {detail}", if *ok { "ended" } else { "failed" })
        }
        Event::HookNotRepeated => {
            "the pre-stop hook was started by an earlier run of the agent and is not repeated"
                .to_owned()
        }
        Event::Asking { power, because } => format!("asking EC2 to {}: {because}", power.verb()),
        Event::Accepted { power, detail } => {
            format!("EC2 accepted to {}: {detail}", power.verb())
        }
        Event::Refused { power, code, detail } => {
            format!("cannot {} ({code}): {detail}", power.verb())
        }
        Event::Failed { power, error, retry_ms } => match retry_ms {
            Some(ms) => {
                format!("failed to {}: {error}; again in {}", power.verb(), long(seconds(*ms)))
            }
            None => format!("failed to {}: {error}; not tried again", power.verb()),
        },
        Event::FellBack { because } => format!("stopping instead of hibernating: {because}"),
        Event::WouldAct { power, because } => {
            format!("would {} now, but only observes: {because}", power.verb())
        }
        other => afterwards(other),
    }
}

/// One sentence about what came of an action.
fn afterwards(event: &Event) -> String {
    match event {
        Event::Hibernated { slept_ms } => {
            format!("came back from hibernation after {}", long(seconds(*slept_ms)))
        }
        Event::ColdBoot { asked_wall_ms } => format!(
            "was to hibernate at {} and came back by a cold boot: its memory is lost",
            wall(*asked_wall_ms)
        ),
        Event::StoppedAndStarted { asked_wall_ms } => {
            format!("was stopped as asked at {} and is up again", wall(*asked_wall_ms))
        }
        Event::NeverStopped { power, waited_ms } => format!(
            "EC2 accepted to {}, but the machine is still up after {}",
            power.verb(),
            long(seconds(*waited_ms))
        ),
        Event::Resumed { away_ms } => {
            format!("resumed after {}; every window restarts", long(seconds(*away_ms)))
        }
        // The engine's events may grow before this list does; the word and the fields still say what happened.
        other => fields(other).0.replace('-', " "),
    }
}

const fn noun(power: agent_core::action::Power) -> &'static str {
    match power {
        agent_core::action::Power::Hibernate => "hibernation",
        agent_core::action::Power::Stop => "the stop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::tests::NOW;
    use agent_core::action::Power;

    const AT: i64 = 1_767_355_200_000;

    fn because() -> String {
        "nobody for 30 min".to_owned()
    }

    /// Every event that the engine has, with what the line says.
    fn all() -> Vec<(Event, &'static str)> {
        let mut all = before_the_answer();
        all.extend(from_the_answer_on());
        all.extend(about_the_agent());
        all
    }

    fn before_the_answer() -> Vec<(Event, &'static str)> {
        let (power, at) = (Power::Hibernate, AT);
        vec![
            (Event::BecameActive { because: because() }, "in use: nobody for 30 min"),
            (
                Event::BecameQuiet { because: because(), act_at_wall_ms: Some(at) },
                "quiet: nobody for 30 min; the action is due at 2026-01-02T12:00:00Z",
            ),
            (
                Event::BecameQuiet { because: because(), act_at_wall_ms: None },
                "quiet: nobody for 30 min",
            ),
            (
                Event::Warned { power, in_ms: 600_000, because: because() },
                "warned: will hibernate in 10 min: nobody for 30 min",
            ),
            (Event::CalledOff { power, because: "input".into() }, "will not hibernate: input"),
            (Event::HookStarted { power }, "the pre-stop hook runs before hibernation"),
            (
                Event::HookEnded { detail: "exit 1".into(), ok: false },
                "the pre-stop hook failed: exit 1",
            ),
            (
                Event::HookNotRepeated,
                "the pre-stop hook was started by an earlier run of the agent and is not repeated",
            ),
            (
                Event::Asking { power, because: because() },
                "asking EC2 to hibernate: nobody for 30 min",
            ),
            (
                Event::Accepted { power, detail: "stopping".into() },
                "EC2 accepted to hibernate: stopping",
            ),
        ]
    }

    fn from_the_answer_on() -> Vec<(Event, &'static str)> {
        let (power, at) = (Power::Hibernate, AT);
        vec![
            (
                Event::Refused { power, code: "unauthorized".into(), detail: "add it".into() },
                "cannot hibernate (unauthorized): add it",
            ),
            (
                Event::Failed { power, error: "throttled".into(), retry_ms: Some(5_000) },
                "failed to hibernate: throttled; again in 5 s",
            ),
            (
                Event::Failed { power, error: "denied".into(), retry_ms: None },
                "failed to hibernate: denied; not tried again",
            ),
            (
                Event::FellBack { because: "not configured".into() },
                "stopping instead of hibernating: not configured",
            ),
            (
                Event::WouldAct { power: Power::Stop, because: because() },
                "would stop now, but only observes: nobody for 30 min",
            ),
            (
                Event::Hibernated { slept_ms: 3_600_000 },
                "came back from hibernation after 1 h 00 min",
            ),
            (
                Event::ColdBoot { asked_wall_ms: at },
                "was to hibernate at 2026-01-02T12:00:00Z and came back by a cold boot: its memory is lost",
            ),
            (
                Event::StoppedAndStarted { asked_wall_ms: at },
                "was stopped as asked at 2026-01-02T12:00:00Z and is up again",
            ),
            (
                Event::NeverStopped { power, waited_ms: 600_000 },
                "EC2 accepted to hibernate, but the machine is still up after 10 min",
            ),
        ]
    }

    fn about_the_agent() -> Vec<(Event, &'static str)> {
        let at = AT;
        vec![
            (Event::Resumed { away_ms: 90_000 }, "resumed after 1 min 30 s; every window restarts"),
            (
                Event::Gap { away_ms: 90_000 },
                "could not look for 1 min 30 s; every window restarts",
            ),
            (
                Event::SourceBlind { source: "gpu".into(), why: "read '/dev/nvidia0': EIO".into() },
                "source \"gpu\" is unknown: read '/dev/nvidia0': EIO",
            ),
            (
                Event::SourceBack { source: "gpu".into(), blind_ms: 30_000 },
                "source \"gpu\" can be read again, after 30 s",
            ),
            (
                Event::HoldMade {
                    hold: 3,
                    owner: "bob".into(),
                    until_wall_ms: at,
                    reason: "demo".into(),
                },
                "hold 3 of bob until 2026-01-02T12:00:00Z: demo",
            ),
            (
                Event::HoldEnded { hold: 3, owner: "bob".into(), how: "expired".into() },
                "hold 3 of bob ended: expired",
            ),
            (
                Event::BlockExpired { source: "inhibitors".into(), subject: "apt".into() },
                "inhibitors: apt has blocked for too long and counts no more",
            ),
            (Event::PolicyChanged, "the policy was reloaded"),
            (Event::Unexpected { what: "odd".into() }, "unexpected: odd; the state was kept"),
        ]
    }

    #[test]
    fn every_event_has_a_sentence_of_its_own() {
        for (event, expected) in all() {
            assert_eq!(sentence(&event), expected);
        }
    }

    #[test]
    fn fields_have_the_units_of_the_wire() {
        let event = Event::Warned { power: Power::Hibernate, in_ms: 1_500, because: "x".into() };
        let line = line(&EventRecord { seq: 9, at: NOW, event });
        assert_eq!((line.seq, line.event.as_str()), (9, "warned"));
        assert_eq!(line.fields["in_seconds"], 1.5);
        assert_eq!(line.fields["power"], "hibernate");
        let (_, map) = fields(&Event::BecameQuiet {
            because: "x".into(),
            act_at_wall_ms: Some(1_767_355_200_000),
        });
        assert_eq!(map["act_at"], "2026-01-02T12:00:00Z");
        for (event, _) in all() {
            let (_, map) = fields(&event);
            assert!(map.keys().all(|name| !name.ends_with("_ms")), "{map:?}");
        }
    }

    #[test]
    fn an_absurd_moment_does_not_stop_the_stream() {
        assert_eq!(wall(i64::MAX), Timestamp::MAX);
        assert_eq!(wall(i64::MIN), Timestamp::MIN);
    }
}
