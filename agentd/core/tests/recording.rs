//! Recordings: what is written today is read by later versions, and a recorded trace decides the same again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::action::{
    ActionKind, ActionRequest, InstanceState, Key, Outcome, Power, Refusal, Retry, TagSet,
    TagState, Warning,
};
use agent_core::decision::Decision;
use agent_core::engine::Engine;
use agent_core::input::{Abilities, Ability, Actor, Command, Denial, Input, Reply};
use agent_core::interruption::InterruptionPolicy;
use agent_core::memory::{IdleClock, Memory, Recovery};
use agent_core::policy::{Combine, HoldPolicy, IdlePolicy, Mode, Policy, SourcePolicy, TagPolicy};
use agent_core::reading::{Observation, Reading, Signal, SourceName, Value};
use agent_core::reason::Event;
use agent_core::stamp::Stamp;

fn policy() -> Policy {
    let source = SourcePolicy {
        enabled: true,
        busy_above: 0.05,
        unit: "core".to_owned(),
        scale: 1e-6,
        average: Duration::from_mins(1),
        interval: Duration::from_secs(10),
        combine: Combine::Sum,
        limits: None,
    };
    Policy {
        mode: Mode::Enforce,
        profile: "research".to_owned(),
        gap: Duration::from_mins(1),
        idle: IdlePolicy {
            enabled: true,
            quiet_after: Duration::from_mins(1),
            act_after: Duration::from_mins(3),
            connected_after: Duration::from_hours(1),
            job_after: Duration::from_hours(4),
            least_run: Duration::ZERO,
            action: Some(Power::Hibernate),
            fallback_stop: true,
            warn_before: vec![Duration::from_mins(1)],
            boot_grace: Duration::ZERO,
            resume_grace: Duration::from_mins(1),
            hook: true,
            standby: false,
            verify_after: Duration::from_mins(1),
        },
        hold: HoldPolicy { user_max: Duration::from_hours(8), admin_max: Duration::from_hours(72) },
        tags: TagPolicy { enabled: true, interval: Duration::from_mins(1) },
        interruption: InterruptionPolicy::default(),
        sources: BTreeMap::from([(SourceName::new("cpu"), source)]),
    }
}

/// The text of a value, and the value that the text gives again.
#[track_caller]
fn is_written_as<T>(value: &T, text: &str)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(serde_json::to_string(value).unwrap(), text);
    assert_eq!(&serde_json::from_str::<T>(text).unwrap(), value);
}

#[test]
fn inputs_keep_their_form() {
    is_written_as(&Input::Tick, r#""tick""#);
    is_written_as(&Input::Resumed, r#""resumed""#);
    is_written_as(&Input::ProcessGone { pid: 7 }, r#"{"process-gone":{"pid":7}}"#);
    let key = Key(41);
    is_written_as(
        &Input::Described { key, state: InstanceState::ShuttingDown },
        r#"{"described":{"key":41,"state":"shutting-down"}}"#,
    );
    let error = "timed out".to_owned();
    let outcome = Outcome::Failed { error, retry: Retry::NotReady { ms: 60_000 } };
    is_written_as(
        &Input::Finished { key, outcome },
        r#"{"finished":{"key":41,"outcome":{"failed":{"error":"timed out","retry":{"not-ready":{"ms":60000}}}}}}"#,
    );
    let source = SourceName::new("cpu");
    let reading = Reading::Signals(vec![
        Signal::new("user.slice", Value::Counter { total: 5 }).owned_by("alice"),
        Signal::new("gpu0", Value::Level { value: 0.5 }).ignored(),
    ]);
    is_written_as(
        &Input::Observed(Observation { source, reading }),
        concat!(
            r#"{"observed":{"source":"cpu","reading":{"signals":["#,
            r#"{"subject":"user.slice","owner":"alice","role":"workload","value":{"counter":{"total":5}}},"#,
            r#"{"subject":"gpu0","role":"ignored","value":{"level":{"value":0.5}}}]}}}"#
        ),
    );
}

#[test]
fn commands_and_answers_keep_their_form() {
    let actor = Actor { uid: 1000, admin: false, name: "alice".to_owned() };
    let command = Command::Hold { for_ms: 1, reason: "x".to_owned(), pid: Some(3) };
    is_written_as(
        &Input::Command { actor, command },
        r#"{"command":{"actor":{"uid":1000,"admin":false,"name":"alice"},"command":{"hold":{"for_ms":1,"reason":"x","pid":3}}}}"#,
    );
    is_written_as(
        &Command::Act { power: Power::Hibernate, dry_run: true },
        r#"{"act":{"power":"hibernate","dry_run":true}}"#,
    );
    is_written_as(&Command::Release { hold: None }, r#"{"release":{"hold":null}}"#);
    is_written_as(&Reply::Released(2), r#"{"released":2}"#);
    is_written_as(
        &Reply::Denied(Denial::NotPermitted("no".to_owned())),
        r#"{"denied":{"not-permitted":"no"}}"#,
    );
    let refusal = Refusal { code: "c".to_owned(), detail: "d".to_owned(), hibernation_only: true };
    is_written_as(
        &Abilities {
            instance_id: None,
            hibernate: Ability::Cannot(refusal),
            stop: Ability::Unknown,
            member: false,
        },
        r#"{"instance_id":null,"hibernate":{"cannot":{"code":"c","detail":"d","hibernation_only":true}},"stop":"unknown"}"#,
    );
}

#[test]
fn actions_keep_their_form() {
    let request = |kind| ActionRequest { key: Key(1), kind };
    is_written_as(&request(ActionKind::Reread), r#"{"key":1,"kind":"reread"}"#);
    is_written_as(
        &request(ActionKind::Power { power: Power::Stop }),
        r#"{"key":1,"kind":{"power":{"power":"stop"}}}"#,
    );
    let set = TagSet {
        state: TagState::Quiet,
        since_wall_ms: 5,
        because: "b".to_owned(),
        act_at_wall_ms: Some(6),
        last_action: None,
    };
    is_written_as(
        &request(ActionKind::Tag(set)),
        r#"{"key":1,"kind":{"tag":{"state":"quiet","since_wall_ms":5,"because":"b","act_at_wall_ms":6,"last_action":null}}}"#,
    );
    let warning =
        Warning { power: Power::Hibernate, in_ms: 60_000, at_wall_ms: 7, because: "b".to_owned() };
    is_written_as(
        &request(ActionKind::Warn(warning)),
        r#"{"key":1,"kind":{"warn":{"power":"hibernate","in_ms":60000,"at_wall_ms":7,"because":"b"}}}"#,
    );
}

#[test]
fn events_keep_their_names() {
    is_written_as(&Event::PolicyChanged, r#"{"event":"policy-changed"}"#);
    is_written_as(&Event::Hibernated { slept_ms: 5 }, r#"{"event":"hibernated","slept_ms":5}"#);
    is_written_as(
        &Event::SourceBlind { source: "gpu".to_owned(), why: "lost".to_owned() },
        r#"{"event":"source-blind","source":"gpu","why":"lost"}"#,
    );
}

#[test]
fn a_state_of_an_earlier_version_is_read() {
    // Fields that were added later have a default.
    let memory = r#"{"holds":{"next":1,"list":[]},"intent":null,"last_action":null,"failures":2,
        "refusals":[],"next_key":9}"#;
    let memory: Memory = serde_json::from_str(memory).unwrap();
    assert_eq!((memory.failures, memory.idle_from), (2, None));
    let clock = r#"{"at":{"boot_ms":1,"asleep_ms":0,"wall_ms":3},"quiet_ms":4,"resumed_at":null,
        "marks":[["input","pts/0",7]]}"#;
    let clock: IdleClock = serde_json::from_str(clock).unwrap();
    assert_eq!((clock.quiet_ms, clock.blind_from, clock.intent), (4, None, None));
}

#[test]
fn garbage_is_an_error_and_never_a_default() {
    for text in ["", "{}", "null", r#"{"finished":{}}"#, r#"{"observed":{"source":"cpu"}}"#] {
        assert!(serde_json::from_str::<Input>(text).is_err(), "{text}");
    }
    assert!(serde_json::from_str::<Memory>("{}").is_err());
    assert!(serde_json::from_str::<IdleClock>(r#"{"quiet_ms":1800000}"#).is_err());
    assert!(serde_json::from_str::<Reading>(r#"{"blind":{}}"#).is_err());
}

/// Half an hour of a machine, as it would be recorded.
fn record() -> Vec<(Stamp, Input, Decision)> {
    let mut engine = Engine::new(policy(), Recovery::default(), Stamp::default());
    let mut recorded = Vec::new();
    let mut inputs = std::collections::VecDeque::new();
    for second in 0..1800_u64 {
        let now = Stamp::new(second * 1000, 0, 1_800_000_000_000);
        let busy = if second < 300 { second * 1_000_000 } else { 300_000_000 };
        let reading = Reading::Signals(vec![Signal::new("user", Value::Counter { total: busy })]);
        let source = SourceName::new("cpu");
        if second % 10 == 0 {
            inputs.push_back(Input::Observed(Observation { source, reading }));
        }
        while let Some(input) = inputs.pop_front() {
            let decision = engine.step(now, input.clone());
            for request in &decision.actions {
                let outcome = Outcome::Done { detail: "done".to_owned() };
                let key = request.key;
                inputs.push_back(match request.kind {
                    ActionKind::Describe => Input::Described { key, state: InstanceState::Running },
                    ActionKind::Preflight => Input::Abilities(Abilities {
                        instance_id: Some("i-0".to_owned()),
                        hibernate: Ability::Can,
                        stop: Ability::Can,
                        member: false,
                    }),
                    _ => Input::Finished { key, outcome },
                });
            }
            recorded.push((now, input, decision));
        }
    }
    recorded
}

#[test]
fn a_recorded_trace_replays_through_its_text() {
    let recorded = record();
    let acted =
        recorded.iter().flat_map(|(_, _, d)| &d.actions).filter(|a| a.kind.is_destructive());
    assert!(acted.count() > 1, "the trace has a hook and a call in it");
    let lines: Vec<String> = recorded.iter().map(|r| serde_json::to_string(r).unwrap()).collect();
    let mut engine = Engine::new(policy(), Recovery::default(), Stamp::default());
    for line in lines {
        let (now, input, decision): (Stamp, Input, Decision) = serde_json::from_str(&line).unwrap();
        assert_eq!(engine.step(now, input), decision, "{line}");
    }
}

#[test]
fn the_same_trace_under_another_policy_decides_otherwise() {
    let mut other = policy();
    other.idle.act_after = Duration::from_hours(1);
    let mut engine = Engine::new(other, Recovery::default(), Stamp::default());
    let acts = record()
        .into_iter()
        .flat_map(|(now, input, _)| engine.step(now, input).actions)
        .any(|request| request.kind.is_destructive());
    assert!(!acts);
}

#[test]
fn only_the_hook_and_the_call_can_destroy_work() {
    let because = || "b".to_owned();
    let kinds = [
        (ActionKind::Reread, "reread", false),
        (ActionKind::CallOff { because: because() }, "call-off", false),
        (ActionKind::Hook { power: Power::Stop }, "hook", true),
        (ActionKind::Power { power: Power::Hibernate }, "hibernate", true),
        (ActionKind::Power { power: Power::Stop }, "stop", true),
        (ActionKind::Withdraw { call: Key(3) }, "withdraw", false),
        (ActionKind::Describe, "describe", false),
        (ActionKind::Preflight, "preflight", false),
    ];
    for (kind, name, destructive) in kinds {
        assert_eq!((kind.name(), kind.is_destructive()), (name, destructive));
    }
}

#[test]
fn people_have_two_minutes_whatever_is_configured_unless_the_period_is_of_a_demonstration() {
    let notice = |act_after: u64, spans: &[u64]| {
        let mut policy = policy();
        policy.idle.act_after = Duration::from_secs(act_after);
        policy.idle.warn_before = spans.iter().map(|s| Duration::from_secs(*s)).collect();
        policy.least_notice_to_people()
    };
    for spans in [&[] as &[u64], &[1], &[60, 10], &[120], &[600, 60]] {
        assert_eq!(notice(300, spans), Duration::from_mins(2), "{spans:?}");
        assert_eq!(notice(1800, spans), Duration::from_mins(2), "{spans:?}");
    }
    assert_eq!(notice(6, &[3, 1]), Duration::from_secs(3));
    assert_eq!(notice(6, &[]), Duration::ZERO);
}

#[test]
fn the_least_notice_is_the_longest_warning_and_at_most_two_minutes() {
    let notice = |spans: &[u64]| {
        let mut policy = policy();
        policy.idle.warn_before = spans.iter().map(|s| Duration::from_secs(*s)).collect();
        policy.least_notice()
    };
    assert_eq!(notice(&[]), Duration::ZERO);
    assert_eq!(notice(&[60, 10]), Duration::from_mins(1));
    assert_eq!(notice(&[600, 300, 60]), Duration::from_mins(2));
}
