//! The document as it is, and that it is what its schema says.

use serde_json::{Map, Value, json};

use super::*;
use crate::aws::identity::{Identity, InstanceId, Region};
use crate::notifiers::tests::{NOW, back, noticed, run};
use agent_core::interruption::{Moment, RunState};

const SCHEMA_FILE: &str = include_str!("../../../../packaging/schema/notification-v1.schema.json");

fn identity() -> Identity {
    Identity {
        instance_id: InstanceId::parse("i-0123456789abcdef0").unwrap(),
        region: Region::parse("eu-central-1").unwrap(),
        availability_zone: Some("eu-central-1b".to_owned()),
        instance_type: Some("m7i.large".to_owned()),
        account_id: Some("123456789012".to_owned()),
        pending_ms: None,
    }
}

fn text(notification: &Notification, identity: Option<&Identity>) -> String {
    render(notification, NOW, &About { identity, hostname: "box", enforce: true })
}

#[test]
fn the_document_is_this() {
    let expected = concat!(
        r#"{"schema":"agentd/notification/v1","moment":"came-back","event":"spot-interruption","#,
        r#""action":"terminate","instance_id":"i-0123456789abcdef0","instance_type":"m7i.large","#,
        r#""region":"eu-central-1","availability_zone":"eu-central-1b","hostname":"box","#,
        r#""alert":"spot-terminate","what":"spot interruption (terminate)","#,
        r#""because":"It was stopped at 12:02 and started at 13:00","deadline":"2026-11-21T12:02:00Z","#,
        r#""seconds_left":0,"drill":false,"mode":"enforce","sent_at":"2026-11-21T12:00:02Z","hooks":["#,
        r#"{"hook":"/opt/save","state":"done","started":"2026-11-21T12:00:02Z","took_seconds":4.2,"#,
        r#""detail":"exit status 0"},{"hook":"sync.service","state":"failed","#,
        r#""started":"2026-11-21T12:00:02Z","took_seconds":20.0,"detail":"exit status 0"}],"#,
        r#""agent_version":"VERSION"}"#
    );
    let expected = expected.replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&back(), Some(&identity())), expected);
}

#[test]
fn what_is_not_known_is_null_and_a_drill_is_marked() {
    let mut told = noticed(true);
    (told.deadline_wall_ms, told.left_ms) = (None, None);
    let about = About { identity: None, hostname: "box", enforce: false };
    let document: Value = serde_json::from_str(&render(&told, NOW, &about)).unwrap();
    for name in
        ["instance_id", "instance_type", "region", "availability_zone", "deadline", "seconds_left"]
    {
        assert_eq!(document.get(name), Some(&Value::Null), "{name}");
    }
    assert_eq!((&document["drill"], &document["mode"]), (&json!(true), &json!("observe")));
}

#[test]
fn every_document_is_what_the_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA_FILE).unwrap();
    let moments =
        [Moment::Noticed, Moment::Drained, Moment::Withdrawn, Moment::CameBack, Moment::NeverCame];
    for moment in moments {
        let mut told = Notification { moment, ..back() };
        told.hooks.push(run("/opt/long", RunState::Lost, 1));
        told.hooks[2].detail = "é".repeat(5_000);
        (told.hooks[2].started, told.hooks[2].took_ms) = (None, None);
        for identity in [None, Some(&identity())] {
            let document: Value = serde_json::from_str(&text(&told, identity)).unwrap();
            assert_eq!(faults(&schema, &document, "$"), Vec::<String>::new());
            assert_eq!(names(&document), names_of(&schema), "a field is not described");
        }
    }
}

#[test]
fn the_check_of_the_schema_finds_what_is_wrong() {
    let schema: Value = serde_json::from_str(SCHEMA_FILE).unwrap();
    let good: Value = serde_json::from_str(&text(&noticed(false), Some(&identity()))).unwrap();
    for (name, bad) in [
        ("moment", json!("over")),
        ("schema", json!("agentd/notification/v2")),
        ("drill", json!("false")),
        ("seconds_left", json!(-1)),
        ("seconds_left", json!(1.5)),
        ("hostname", Value::Null),
        ("instance_id", json!("box")),
        ("deadline", json!("soon")),
        ("hooks", json!([{"hook": "x"}])),
    ] {
        let mut document = good.clone();
        document[name] = bad.clone();
        assert!(!faults(&schema, &document, "$").is_empty(), "{name} = {bad}");
    }
    let mut lacking = good;
    lacking.as_object_mut().unwrap().remove("because");
    assert_eq!(faults(&schema, &lacking, "$"), ["$: because is missing"]);
}

#[test]
fn a_document_stays_below_what_sns_takes() {
    let mut told = back();
    told.hooks = vec![run("/opt/save", RunState::Failed, 1); 500];
    for hook in &mut told.hooks {
        hook.detail = "\u{1}".repeat(2_048);
    }
    let text = text(&told, Some(&identity()));
    assert!(text.len() < 256 * 1024, "{}", text.len());
}

fn names(document: &Value) -> Vec<&str> {
    document.as_object().unwrap().keys().map(String::as_str).collect()
}

fn names_of(schema: &Value) -> Vec<&str> {
    names(&schema["properties"])
}

/// The part of JSON Schema (draft 2020-12) that the file uses; another word in it is a fault.
fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (word, rule) in schema.as_object().unwrap() {
        let holds = match word.as_str() {
            "$schema" | "$id" | "title" | "description" => true,
            "type" => is_of(rule, value),
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap()),
            "maxItems" => {
                value.as_array().is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap())
            }
            "pattern" => {
                assert_eq!(rule, "^i-[0-9a-f]{8,17}$");
                value.as_str().is_none_or(|text| InstanceId::parse(text).is_ok())
            }
            "format" => {
                assert_eq!(rule, "date-time");
                value.as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok())
            }
            "required" => {
                let lacking = |name: &&Value| value.get(name.as_str().unwrap()).is_none();
                let missing = rule.as_array().unwrap().iter().filter(lacking);
                faults.extend(
                    missing.map(|name| format!("{at}: {} is missing", name.as_str().unwrap())),
                );
                true
            }
            "properties" => {
                let none = Map::new();
                let fields = value.as_object().unwrap_or(&none);
                for (name, schema) in rule.as_object().unwrap() {
                    let field = fields.get(name).into_iter();
                    faults
                        .extend(field.flat_map(|field| {
                            self::faults(schema, field, &format!("{at}.{name}"))
                        }));
                }
                true
            }
            "items" => {
                let all = value.as_array().into_iter().flatten();
                faults.extend(all.flat_map(|one| self::faults(rule, one, &format!("{at}[]"))));
                true
            }
            other => panic!("the check does not know {other}"),
        };
        if !holds {
            faults.push(format!("{at}: {value} is not {word} {rule}"));
        }
    }
    faults
}

fn is_of(rule: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    rule.as_array().map_or_else(|| is(rule), |kinds| kinds.iter().any(is))
}
