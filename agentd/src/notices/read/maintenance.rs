//! `events/maintenance/scheduled` and `events/maintenance/history`: a JSON array of events.
//! (EC2 User Guide: "Scheduled events for your instances".)
//!
//! One event that cannot be understood never hides another. An event is cancelled by what EC2 says of it and never by
//! its absence.

use std::collections::BTreeMap;

use agent_core::interruption::{EventCode, Notice, Noticed};
use serde_json::Value;

use super::object::{Item, text};
use super::{Reference, excerpt, time};

/// The longest description that is kept, in characters.
const LONGEST_DESCRIPTION: usize = 200;

/// What a list of events says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The events that are to come.
    pub active: Vec<Noticed>,
    /// The events that will not come, or are over.
    pub over: Vec<Over>,
    /// What cannot be understood or timed, one line each.
    pub problems: Vec<String>,
}

/// An event that will not come, or is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Its id.
    pub event: String,
    /// The beginning of its window, wall milliseconds since 1970. None: whichever window it had.
    pub not_before_wall_ms: Option<i64>,
    /// How EC2 says it, one line.
    pub because: String,
}

/// Reads a list; why not, one line, where it is none.
pub fn read(answer: &str, now: Reference) -> Result<Events, String> {
    let why = |why: String| format!("{}: {why}", excerpt(answer));
    let items: Vec<Item> = serde_json::from_str(answer)
        .map_err(|error| why(format!("it is not a JSON array ({error})")))?;
    let mut events = Events::default();
    let mut named = false;
    for item in &items {
        match event(item, now, &mut events) {
            Ok(()) => named = true,
            Err(Bad { named: has_id, why }) => {
                named |= has_id;
                events.problems.push(why);
            }
        }
    }
    match events.problems.first() {
        // Nothing in it looks like an event at all.
        Some(first) if !named => Err(why(first.clone())),
        _ => Ok(events),
    }
}

/// Why an event cannot be understood, and whether it is one.
struct Bad {
    named: bool,
    why: String,
}

fn event(item: &Item, now: Reference, events: &mut Events) -> Result<(), Bad> {
    let nameless = |why: &str| Bad { named: false, why: format!("an event: {why}") };
    let object = match item {
        Item::Object(object) => object,
        Item::Bad(why) => return Err(nameless(why)),
    };
    let id = text(object, "EventId").filter(|id| is_id(id));
    let id = id.ok_or_else(|| nameless("it has no EventId"))?;
    let bad = |why: String| Bad { named: true, why: format!("{id}: {why}") };
    let description = words(object, "Description").map_err(bad)?;
    let state = state(words(object, "State").map_err(bad)?, description);
    let not_before = moment(object, "NotBefore").map_err(bad)?;
    match state {
        State::Over(because) => {
            let (event, because) = (id.to_owned(), because.to_owned());
            events.over.push(Over { event, not_before_wall_ms: not_before, because });
            return Ok(());
        }
        State::Unknown => return Err(bad("its State is none that EC2 has".to_owned())),
        State::Active => {}
    }
    let code = text(object, "Code").ok_or_else(|| bad("it has no Code".to_owned()))?;
    let code =
        code_of(code).ok_or_else(|| bad(format!("its Code {} is unknown", excerpt(code))))?;
    let at = not_before.ok_or_else(|| bad("it does not say when (NotBefore)".to_owned()))?;
    events.active.push(Noticed {
        notice: Notice::Maintenance {
            event: id.to_owned(),
            code,
            description: clean(description),
            not_before_wall_ms: at,
        },
        due: Some(now.due(at)),
        own_clock: now.own_clock,
    });
    Ok(())
}

/// An id as it is shown and compared: `instance-event-0d59937288b749b32`.
fn is_id(id: &str) -> bool {
    (1..=100).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The text at a key, empty where there is none.
fn words<'o>(object: &'o BTreeMap<String, Value>, key: &str) -> Result<&'o str, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("its {key} is not text")),
    }
}

/// A description as it is kept.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_DESCRIPTION).collect()
}

/// The time at a key: none where it is absent or empty, an error where it is something else.
fn moment(object: &BTreeMap<String, Value>, key: &str) -> Result<Option<i64>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => match time::gmt(text) {
            Some(wall_ms) => Ok(Some(wall_ms)),
            None => Err(format!("its {key} {} is no time", excerpt(text))),
        },
        Some(_) => Err(format!("its {key} is not text")),
    }
}

enum State {
    Active,
    Over(&'static str),
    Unknown,
}

/// EC2 says in two places that an event is over, and either counts.
fn state(state: &str, description: &str) -> State {
    if state == "canceled" || description.starts_with("[Canceled]") {
        return State::Over("EC2 cancelled it");
    }
    if state == "completed" || description.starts_with("[Completed]") {
        return State::Over("EC2 completed it");
    }
    match state {
        "active" | "" => State::Active,
        _ => State::Unknown,
    }
}

fn code_of(word: &str) -> Option<EventCode> {
    let all = [
        EventCode::InstanceReboot,
        EventCode::SystemReboot,
        EventCode::SystemMaintenance,
        EventCode::InstanceRetirement,
        EventCode::InstanceStop,
    ];
    all.into_iter().find(|code| code.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Reference = Reference { wall_ms: 1_548_000_000_000, own_clock: false };

    fn active(id: &str) -> String {
        format!(
            r#"{{"NotBefore":"21 Jan 2019 09:00:43 GMT","Code":"system-reboot","Description":"scheduled reboot",
            "EventId":"{id}","NotAfter":"21 Jan 2019 09:17:23 GMT","State":"active"}}"#
        )
    }

    fn list(items: &[&str]) -> Events {
        read(&format!("[{}]", items.join(",")), NOW).unwrap()
    }

    #[test]
    fn an_active_event_is_a_notice_with_the_beginning_of_its_window() {
        let events = list(&[&active("instance-event-1")]);
        assert_eq!(events.active[0].notice.id(), "instance-event-1@1548061243000");
        assert_eq!(events.active[0].due.unwrap().left_ms, 61_243_000);
        assert_eq!((events.over.len(), events.problems.len()), (0, 0));
    }

    #[test]
    fn one_bad_event_never_hides_the_others() {
        let twice = r#"{"EventId":"instance-event-9","EventId":"instance-event-9"}"#;
        let when = active("instance-event-3").replace("21 Jan 2019 09:00", "soon");
        let what = active("instance-event-4").replace("system-reboot", "instance-explosion");
        for bad in ["7", "null", "[]", "{}", "\"x\"", twice, &when, &what, r#"{"EventId":"a b"}"#] {
            let (one, two) = (active("instance-event-1"), active("instance-event-2"));
            let events = list(&[&one, bad, &two]);
            assert_eq!(events.active.len(), 2, "{bad}");
            assert_eq!(events.problems.len(), 1, "{bad}");
        }
        assert!(list(&[&what]).problems[0].contains("instance-explosion"));
    }

    #[test]
    fn everything_but_what_and_which_may_be_missing() {
        let only = r#"{"EventId":"instance-event-1","Code":"instance-stop"}"#;
        let events = list(&[only]);
        assert_eq!(events.active, []);
        assert!(events.problems[0].contains("NotBefore"), "{:?}", events.problems);
        let timed =
            r#"{"EventId":"e-1","Code":"instance-stop","NotBefore":"1 Feb 2019 00:00:00 GMT"}"#;
        assert_eq!(list(&[timed]).active.len(), 1);
        let empty = active("e-1").replace("21 Jan 2019 09:17:23 GMT", "");
        assert_eq!(list(&[&empty]).active.len(), 1);
    }

    #[test]
    fn what_is_cancelled_or_completed_is_over_by_either_sign() {
        let by_state = |word: &str| active("e-1").replace("active", word);
        let by_words = |word: &str| active("e-1").replace("scheduled reboot", word);
        for over in [
            by_state("canceled"),
            by_state("completed"),
            by_words("[Canceled] scheduled reboot"),
            by_words("[Completed] scheduled reboot"),
        ] {
            let events = list(&[&over]);
            assert_eq!((events.active.len(), events.problems.len()), (0, 0), "{over}");
            assert_eq!(events.over[0].not_before_wall_ms, Some(1_548_061_243_000));
        }
        for odd in ["postponed", "ac\\u0000tive", "Active"] {
            assert_eq!(list(&[&by_state(odd)]).problems.len(), 1, "{odd}");
        }
        // An event that is over need not say what it was or when.
        let bare = r#"{"EventId":"e-1","State":"canceled"}"#;
        assert_eq!(list(&[bare]).over[0].not_before_wall_ms, None);
    }

    #[test]
    fn a_list_without_a_single_event_is_garbled_unless_it_is_empty() {
        assert_eq!(read("[]", NOW), Ok(Events::default()));
        for bad in ["", "{}", "null", "[", "[] []", "[1]", "[{}]", "[[]]", "<html>"] {
            assert!(read(bad, NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_are_cut_and_cleaned() {
        let long = active("e-1").replace("scheduled reboot", &format!("a\\n{}", "b".repeat(5000)));
        let Notice::Maintenance { description, .. } = &list(&[&long]).active[0].notice else {
            panic!("no event")
        };
        assert!(description.len() == 200 && !description.contains('\n'));
    }
}
