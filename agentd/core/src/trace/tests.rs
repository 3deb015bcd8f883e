//! The form of a trace's lines.

use super::*;
use crate::reading::{Observation, Reading, Signal, SourceName, Value};

fn reading(total: u64) -> Input {
    let signals = vec![Signal::new("user", Value::Counter { total })];
    let (source, reading) = (SourceName::new("cpu"), Reading::Signals(signals));
    Input::Observed(Observation { source, reading })
}

#[test]
fn lines_keep_their_form() {
    let header = Header::new("agentd 0.1.0");
    let text = r#"{"trace":"agentd/trace/v1","by":"agentd 0.1.0"}"#;
    assert_eq!(serde_json::to_string(&header).unwrap(), text);
    assert_eq!(serde_json::from_str::<Header>(text).unwrap(), header);

    let record = Record::inputs(Stamp::new(1, 2, 3), vec![reading(5), Input::Resumed]);
    let text = concat!(
        r#"{"at":{"boot_ms":1,"asleep_ms":2,"wall_ms":3},"inputs":[{"observed":{"source":"cpu","reading":"#,
        r#"{"signals":[{"subject":"user","role":"workload","value":{"counter":{"total":5}}}]}}},"resumed"]}"#
    );
    assert_eq!(serde_json::to_string(&record).unwrap(), text);
    assert_eq!(serde_json::from_str::<Record>(text).unwrap(), record);

    let boot = Boot { id: "b".to_owned(), ..Boot::default() };
    let record = Record::boot(Stamp::new(1, 2, 3), boot);
    let text =
        r#"{"at":{"boot_ms":1,"asleep_ms":2,"wall_ms":3},"boot":{"id":"b","same_boot":false}}"#;
    assert_eq!(serde_json::to_string(&record).unwrap(), text);
    assert_eq!(serde_json::from_str::<Record>(text).unwrap(), record);
}

#[test]
fn a_record_is_either_a_boot_or_inputs_and_nothing_else() {
    let at = r#""at":{"boot_ms":1,"asleep_ms":2,"wall_ms":3}"#;
    for (rest, because) in [
        ("", "do not go together"),
        (r#","boot":{"id":"b"},"inputs":[]"#, "do not go together"),
        (r#","input":[]"#, "unknown field `input`"),
        (r#","inputs":[{"observd":{}}]"#, "unknown variant `observd`"),
        (r#","inputs":[{"observed":{"source":"cpu"}}]"#, "missing field `reading`"),
    ] {
        let error = serde_json::from_str::<Record>(&format!("{{{at}{rest}}}")).unwrap_err();
        assert!(error.to_string().contains(because), "{error}");
    }
    assert!(serde_json::from_str::<Record>(r#"{"inputs":[]}"#).is_err(), "no time");
}

#[test]
fn a_policy_of_another_version_is_passed_over() {
    let text = r#"{"id":"b","policy":{"mode":"dream"},"memory":7,"clock":[]}"#;
    let boot: Boot = serde_json::from_str(text).unwrap();
    assert_eq!(boot, Boot { id: "b".to_owned(), ..Boot::default() });
}
