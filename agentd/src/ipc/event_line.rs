//! An event as one line of `GET /v1/events`: a word, a sentence, and the fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use agent_core::action::HookOutput;
use agent_core::reason::Event;
use agent_proto::Timestamp;
use agent_proto::event::{EventLine, SCHEMA};
use serde_json::Value;

use super::spot::{Reader, hook};
use crate::events::Line;
use crate::publish::EventRecord;

/// The line of an event, with the sentence of the journal.
///
/// The fields are those of the engine's event, with the wire's units: what the engine counts in milliseconds becomes
/// seconds (`in_ms` → `in_seconds`) and moments become RFC 3339 (`act_at_wall_ms` → `act_at`).
///
/// What a hook printed is for administrators only: neither the sentence nor the fields have it for anybody else.
pub fn line(record: &EventRecord, reader: Reader) -> EventLine {
    let told = without_output(&record.event, reader);
    let (event, mut fields) = fields(&told);
    fields.extend(hooks(&told, reader));
    EventLine {
        schema: SCHEMA.to_owned(),
        seq: record.seq,
        at: wall(record.at.wall_ms),
        event,
        text: Line::from(&*told).text,
        fields,
    }
}

/// The event as a reader may see it.
fn without_output(event: &Event, reader: Reader) -> Cow<'_, Event> {
    if reader == Reader::Admin {
        return Cow::Borrowed(event);
    }
    let mut told = event.clone();
    match &mut told {
        Event::HookEnded { output, .. } => *output = HookOutput::default(),
        Event::DrainHookEnded { run, .. } => run.detail.clear(),
        Event::AlertOver { hooks, .. } => {
            for run in hooks {
                run.detail.clear();
            }
        }
        _ => return Cow::Borrowed(event),
    }
    Cow::Owned(told)
}

/// The hooks of an event in the words of the wire, in place of the engine's.
fn hooks(event: &Event, reader: Reader) -> Option<(String, Value)> {
    let (name, value) = match event {
        Event::DrainHookEnded { run, .. } => ("run", serde_json::to_value(hook(run, reader))),
        Event::AlertOver { hooks, .. } => {
            let hooks: Vec<_> = hooks.iter().map(|run| hook(run, reader)).collect();
            ("hooks", serde_json::to_value(hooks))
        }
        _ => return None,
    };
    Some((name.to_owned(), value.unwrap_or_default()))
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
        } else if let Some((name, value)) = field(name, value) {
            fields.insert(name, value);
        }
    }
    (word, fields)
}

/// A field in the units of the wire; none for one without a value.
fn field(name: String, value: Value) -> Option<(String, Value)> {
    if let (Some(stem), Some(ms)) = (name.strip_suffix("_wall_ms"), value.as_i64()) {
        return Some((stem.to_owned(), Value::String(wall(ms).to_string())));
    }
    if let (Some(stem), Some(ms)) = (name.strip_suffix("_ms"), value.as_u64()) {
        return Some((format!("{stem}_seconds"), seconds(ms).into()));
    }
    (!value.is_null()).then(|| (name, inner(value)))
}

/// What is inside of a field: the hooks of a drain, a moment of the engine's.
fn inner(value: Value) -> Value {
    match value {
        Value::Array(all) => all.into_iter().map(inner).collect(),
        Value::Object(map) => match (map.get("boot_ms"), map.get("wall_ms")) {
            (Some(_), Some(ms)) => Value::String(wall(ms.as_i64().unwrap_or_default()).to_string()),
            _ => map.into_iter().filter_map(|(name, value)| field(name, value)).collect(),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::tests::NOW;
    use agent_core::action::Power;
    use agent_core::interruption::{AlertEnd, HookRun, RunState};

    fn line_of(event: Event) -> EventLine {
        line(&EventRecord { seq: 9, at: NOW, event }, Reader::Anybody)
    }

    #[test]
    fn fields_have_the_units_of_the_wire() {
        let line = line_of(Event::Warned {
            power: Power::Hibernate,
            in_ms: 1_500,
            because: "nobody".into(),
            not_counted: Some("nginx 0.03 of 0.12 core".into()),
        });
        assert_eq!(line.fields["not_counted"], "nginx 0.03 of 0.12 core");
        assert_eq!((line.seq, line.event.as_str()), (9, "warned"));
        assert_eq!(line.at.to_string(), "2026-01-02T12:00:00Z");
        assert_eq!(line.fields["in_seconds"], 1.5);
        assert_eq!(line.fields["power"], "hibernate");
        assert_eq!(line.fields["because"], "nobody");
        assert!(!line.fields.contains_key("in_ms") && !line.fields.contains_key("event"));
    }

    #[test]
    fn moments_are_those_of_the_calendar_and_what_is_not_known_is_left_out() {
        let quiet = |at| Event::BecameQuiet { because: "x".into(), act_at_wall_ms: at };
        let line = line_of(quiet(Some(1_767_355_200_000)));
        assert_eq!(line.fields["act_at"], "2026-01-02T12:00:00Z");
        assert!(!line_of(quiet(None)).fields.contains_key("act_at"));
    }

    #[test]
    fn the_sentence_is_that_of_the_journal() {
        let event = Event::SourceBlind { source: "gpu".into(), why: "EIO".into() };
        let line = line_of(event.clone());
        assert_eq!(line.text, Line::from(&event).text);
        assert!(line.text.contains("gpu") && line.text.contains("EIO"), "{}", line.text);
    }

    #[test]
    fn the_hooks_of_an_event_are_those_of_the_wire_and_their_output_is_for_administrators() {
        let run = HookRun {
            hook: "/opt/drain".into(),
            state: RunState::Failed,
            started: Some(NOW),
            took_ms: Some(1_500),
            detail: "exit status 1: token=hunter2".into(),
        };
        let ended =
            Event::DrainHookEnded { alert: "spot-stop".into(), run: run.clone(), drill: false };
        let over = Event::AlertOver {
            alert: "spot-stop".into(),
            what: "spot interruption (stop)".into(),
            end: AlertEnd::StartedAgain,
            because: "it went down".into(),
            drill: false,
            hooks: vec![run],
        };
        let (detail, output) = HookOutput::split("exit status 1\ntoken=hunter2");
        let pre_stop = Event::HookEnded { detail, output, ok: false };
        let record = EventRecord { seq: 9, at: NOW, event: pre_stop };
        let text = serde_json::to_string(&line(&record, Reader::Anybody)).unwrap();
        assert!(text.contains("exit status 1") && !text.contains("hunter2"), "{text}");
        let text = serde_json::to_string(&line(&record, Reader::Admin)).unwrap();
        assert!(text.contains("hunter2"), "{text}");
        for event in [ended, over] {
            let record = EventRecord { seq: 9, at: NOW, event };
            let line = line(&record, Reader::Anybody);
            let text = serde_json::to_string(&line).unwrap();
            assert!(!text.contains("hunter2"), "{text}");
            assert!(!serde_json::to_string(&line.fields).unwrap().contains("_ms"), "{text}");
            assert!(text.contains("\"took_seconds\":1.5"), "{text}");
            assert!(text.contains("\"started\":\"2026-01-02T12:00:00Z\""), "{text}");
            let line = super::line(&record, Reader::Admin);
            assert!(serde_json::to_string(&line.fields).unwrap().contains("hunter2"));
        }
    }

    #[test]
    fn an_event_without_fields_still_has_its_word() {
        let line = line_of(Event::PolicyChanged);
        assert_eq!(line.event, "policy-changed");
        assert!(line.fields.is_empty() && !line.text.is_empty());
    }

    #[test]
    fn the_hooks_of_a_drain_have_the_units_of_the_wire_too() {
        let run = HookRun {
            hook: "/opt/save".into(),
            state: RunState::Done,
            started: Some(NOW),
            took_ms: Some(4_200),
            detail: "exit status 0".into(),
        };
        let over = Event::AlertOver {
            alert: "spot-stop".into(),
            what: "spot interruption (stop)".into(),
            end: AlertEnd::StartedAgain,
            because: "it is back".into(),
            drill: false,
            hooks: vec![run],
        };
        let line = line(&EventRecord { seq: 9, at: NOW, event: over }, Reader::Admin);
        assert_eq!(
            (line.event.as_str(), &line.fields["end"]),
            ("alert-over", &"started-again".into())
        );
        let expected = serde_json::json!([{
            "hook": "/opt/save", "state": "done", "started": "2026-01-02T12:00:00Z", "took_seconds": 4.2,
            "detail": "exit status 0",
        }]);
        assert_eq!(line.fields["hooks"], expected);
    }

    #[test]
    fn an_absurd_moment_does_not_stop_the_stream() {
        assert_eq!(wall(i64::MAX), Timestamp::MAX);
        assert_eq!(wall(i64::MIN), Timestamp::MIN);
    }
}
