//! The documents as a reader of another version meets them.

#![cfg(test)]

use agent_proto::spot::{HookState, InterruptionState, NoticeState, Spot, WatchState};
use agent_proto::status::{AbilityWord, Prospect, Stage, Status, Verdict};
use serde_json::Value;

/// The document that the agent's own tests promise.
const WHY: &str = include_str!("../../src/ipc/why-v1.json");

/// The document of `GET /v1/spot` that the agent's own tests promise.
const SPOT: &str = include_str!("../../src/ipc/spot-v1.json");

fn document() -> Value {
    serde_json::from_str(WHY).unwrap()
}

/// Calls `visit` with every object of the document, the innermost first.
fn each_object(value: &mut Value, visit: &mut dyn FnMut(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| each_object(field, visit));
            visit(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_object(item, visit)),
        _ => {}
    }
}

#[test]
fn the_promised_document_is_read_and_written_unchanged() {
    let status: Status = serde_json::from_str(WHY).unwrap();
    assert_eq!(serde_json::to_value(&status).unwrap(), document());
    assert_eq!(status.outlook.prospect, Prospect::Held);
    assert_eq!(status.sources[0].signals[0].owner.as_deref(), Some("alice"));
}

#[test]
fn the_document_of_interruptions_is_read_and_written_unchanged_also_from_a_newer_agent() {
    let promised: Value = serde_json::from_str(SPOT).unwrap();
    let mut newer = promised.clone();
    each_object(&mut newer, &mut |fields| {
        fields.insert("from_the_future".to_owned(), serde_json::json!([{"a": null}]));
    });
    for document in [promised.clone(), newer] {
        let spot: Spot = serde_json::from_value(document).unwrap();
        assert_eq!(serde_json::to_value(&spot).unwrap(), promised);
        assert_eq!(spot.interruption.state, InterruptionState::Draining);
    }
}

#[test]
fn words_about_interruptions_that_a_newer_agent_adds_are_survived() {
    let mut newer: Value = serde_json::from_str(SPOT).unwrap();
    for pointer in [
        "/interruption/state",
        "/monitors/0/state",
        "/notices/0/state",
        "/notices/0/hooks/0/state",
        "/plan/rebalance",
        "/plan/mode",
        "/last/0/end",
    ] {
        *newer.pointer_mut(pointer).unwrap() = "dreaming".into();
    }
    let read: Spot = serde_json::from_value(newer).unwrap();
    assert_eq!(read.interruption.state, InterruptionState::Other);
    assert_eq!(read.monitors[0].state, WatchState::Other);
    assert_eq!(read.notices[0].state, NoticeState::Other);
    assert_eq!(read.notices[0].hooks[0].state, HookState::Other);
}

#[test]
fn an_older_agent_says_nothing_about_interruptions_and_that_is_not_none() {
    let mut older = document();
    older.as_object_mut().unwrap().remove("interruption");
    older["imds"].as_object_mut().unwrap().remove("state");
    let read: Status = serde_json::from_value(older).unwrap();
    assert_eq!((read.interruption, read.imds.state), (None, None));
}

#[test]
fn whether_an_interruption_would_be_seen_is_never_made_up() {
    for pointer in ["interruption", "plan", "now"] {
        let mut broken: Value = serde_json::from_str(SPOT).unwrap();
        broken.as_object_mut().unwrap().remove(pointer);
        assert!(serde_json::from_value::<Spot>(broken).is_err(), "{pointer}");
    }
    let mut broken: Value = serde_json::from_str(SPOT).unwrap();
    broken["monitors"][0].as_object_mut().unwrap().remove("state");
    assert!(serde_json::from_value::<Spot>(broken).is_err());
}

#[test]
fn fields_that_a_newer_agent_adds_anywhere_are_ignored() {
    let mut newer = document();
    each_object(&mut newer, &mut |fields| {
        fields.insert("from_the_future".to_owned(), serde_json::json!({"a": [1, null]}));
    });
    let read: Status = serde_json::from_value(newer).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), document());
}

#[test]
fn words_that_a_newer_agent_adds_are_survived() {
    let mut newer = document();
    for (pointer, word) in [
        ("/stage", "dreaming"),
        ("/mode", "suggest"),
        ("/outlook/prospect", "will-dream"),
        ("/outlook/power", "suspend"),
        ("/sources/0/verdict", "dreaming"),
        ("/sources/0/signals/0/verdict", "dreaming"),
        ("/abilities/stop/can", "perhaps"),
        ("/last_action/power", "suspend"),
    ] {
        *newer.pointer_mut(pointer).unwrap() = word.into();
    }
    let read: Status = serde_json::from_value(newer).unwrap();
    assert_eq!(read.stage, Stage::Other);
    assert_eq!(read.outlook.prospect, Prospect::Other);
    assert_eq!(read.sources[0].verdict, Verdict::Other);
    assert_eq!(read.abilities.stop.can, AbilityWord::Other);
}

#[test]
fn a_word_that_is_not_known_is_never_taken_for_idle_or_can() {
    for known in [Verdict::Idle, Verdict::Busy] {
        assert_ne!(Verdict::Other, known);
    }
    let word: AbilityWord = serde_json::from_str("\"cann\"").unwrap();
    assert_ne!(word, AbilityWord::Can);
}

#[test]
fn what_an_older_agent_does_not_send_yet_is_empty() {
    let mut older = document();
    let fields = older.as_object_mut().unwrap();
    for name in ["schema", "sources", "blind", "holds", "obstacles"] {
        fields.remove(name);
    }
    older["outlook"].as_object_mut().unwrap().remove("warn_at");
    let read: Status = serde_json::from_value(older).unwrap();
    assert!(read.sources.is_empty() && read.holds.is_empty());
}

#[test]
fn what_decides_is_never_made_up() {
    for pointer in ["stage", "mode", "outlook", "idle", "abilities", "imds"] {
        let mut broken = document();
        broken.as_object_mut().unwrap().remove(pointer);
        assert!(serde_json::from_value::<Status>(broken).is_err(), "{pointer}");
    }
    for (pointer, wrong) in [
        ("/now", Value::from("yesterday")),
        ("/now", Value::from(12)),
        ("/idle/idle_seconds", Value::from("18 min")),
        ("/blind", Value::from("gpu")),
        ("/sources/0/verdict", Value::Null),
    ] {
        let mut broken = document();
        *broken.pointer_mut(pointer).unwrap() = wrong;
        assert!(serde_json::from_value::<Status>(broken).is_err(), "{pointer}");
    }
}

#[test]
fn a_document_that_is_cut_off_anywhere_is_an_error() {
    for length in 0..WHY.trim_end().len() {
        if let Some(part) = WHY.get(..length) {
            assert!(serde_json::from_str::<Status>(part).is_err(), "{length}");
        }
    }
}

#[test]
fn durations_and_moments_follow_their_rules() {
    let mut seen = 0;
    let spot: Value = serde_json::from_str(SPOT).unwrap();
    each_object(&mut serde_json::json!([document(), spot]), &mut |fields| {
        for (name, value) in fields.iter() {
            if name.ends_with("_seconds") {
                assert!(value.is_f64() || value.is_null(), "{name}: {value}");
                seen += 1;
            }
            if let Some(text) =
                value.as_str().filter(|text| text.parse::<agent_proto::Timestamp>().is_ok())
            {
                assert!(text.ends_with('Z'), "{name}: {text} is not in UTC");
                seen += 1;
            }
            assert!(!name.ends_with("_ms"), "{name}");
        }
    });
    assert!(seen > 20, "{seen}");
}
