//! Whatever comes in: no panic, one destructive action at a time, no action without knowledge, the same decisions again.

use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::scene::{able, policy};
use crate::action::{ActionKind, InstanceState, Key, Outcome, Power, Refusal, Retry};
use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::{Abilities, Ability, Actor, Command, Input};
use crate::interruption::{Due, Notice, Noticed, Reaction, SpotAction, TargetState};
use crate::memory::{IdleClock, Memory, Recovery};
use crate::policy::{Mode, Policy};
use crate::reading::{Observation, Reading, Role, Signal, SourceName, Value};
use crate::reason::Event;
use crate::stamp::Stamp;
use crate::trace::{Content, Decoder, Encoder, Line};
use crate::verdict::Judgement;

const SOURCES: [&str; 5] = ["cpu", "gpu", "input", "packages", "unheard-of"];

/// An input, where keys are given as "the n-th last that was asked for", so that answers often fit.
#[derive(Clone, Debug)]
enum Raw {
    Round,
    Plain(Input),
    Finished(usize, Outcome),
    Described(usize, InstanceState),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(|total| Value::Counter { total }),
        (0_u64..1_000_000).prop_map(|total| Value::Counter { total }),
        any::<f64>().prop_map(|value| Value::Level { value }),
        (any::<u64>(), any::<Option<u64>>())
            .prop_map(|(mark, age_ms)| Value::Mark { mark, age_ms }),
        any::<u64>().prop_map(|cap_ms| Value::Blocks { cap_ms }),
        any::<f64>().prop_map(|value| Value::Shown { value }),
    ]
}

fn signal() -> impl Strategy<Value = Signal> {
    ("[a-c]", any::<Option<bool>>(), any::<bool>(), value()).prop_map(
        |(subject, owner, ignored, value)| Signal {
            subject,
            owner: owner.map(|a| if a { "alice" } else { "\u{1b}[2Jbob" }.to_owned()),
            role: if ignored { Role::Ignored } else { Role::Workload },
            value,
        },
    )
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        4 => Just(Reading::Signals(Vec::new())),
        4 => vec(signal(), 0..4).prop_map(Reading::Signals),
        1 => Just(Reading::blind("gone")),
        1 => Just(Reading::absent("never was")),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    any::<bool>().prop_map(|hibernation_only| Refusal {
        code: "no".to_owned(),
        detail: "never".to_owned(),
        hibernation_only,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let text = || "text".to_owned();
    let retry = prop_oneof![
        any::<u64>().prop_map(|ms| Retry::After { ms }),
        any::<u64>().prop_map(|ms| Retry::NotReady { ms }),
        Just(Retry::InDoubt),
        Just(Retry::Never),
    ];
    prop_oneof![
        4 => Just(Outcome::Done { detail: text() }),
        1 => Just(Outcome::Already { detail: text() }),
        1 => Just(Outcome::Withheld { because: text() }),
        1 => refusal().prop_map(Outcome::Refused),
        3 => retry.prop_map(move |retry| Outcome::Failed { error: text(), retry }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let power = prop_oneof![Just(Power::Hibernate), Just(Power::Stop)];
    prop_oneof![
        (any::<u64>(), ".{0,8}", any::<Option<u32>>())
            .prop_map(|(for_ms, reason, pid)| Command::Hold { for_ms, reason, pid }),
        proptest::option::of(0_u64..9).prop_map(|hold| Command::Release { hold }),
        (0_u64..9, any::<u64>()).prop_map(|(hold, for_ms)| Command::Renew { hold, for_ms }),
        (power, any::<bool>()).prop_map(|(power, dry_run)| Command::Act { power, dry_run }),
        any::<u64>()
            .prop_map(|in_ms| Command::Drill { action: SpotAction::Stop, in_ms: in_ms % 90_000 }),
    ]
}

fn short_policy() -> impl Strategy<Value = Policy> {
    (any::<[bool; 5]>(), 0_u64..4, 0_u64..3, 0_usize..3).prop_map(
        |([enforce, hook, fallback, tags, gpu], quiet, act, warnings)| {
            let mut policy = policy();
            policy.mode = if enforce || hook { Mode::Enforce } else { Mode::Observe };
            policy.idle.hook = hook;
            policy.idle.standby = gpu;
            policy.interruption.enabled = true;
            policy.interruption.hooks = vec!["/opt/save".to_owned(), "stop web".to_owned()];
            policy.interruption.rebalance = Reaction::Drain;
            policy.idle.fallback_stop = fallback;
            policy.tags.enabled = tags;
            policy.idle.quiet_after = Duration::from_secs(quiet);
            policy.idle.act_after = Duration::from_secs(act * 15);
            policy.idle.resume_grace = Duration::from_secs(5);
            policy.idle.warn_before.truncate(warnings);
            policy.idle.warn_before.iter_mut().for_each(|span| *span /= 120);
            let source = policy.sources.get_mut(&SourceName::new("gpu"));
            if let Some(source) = source {
                source.enabled = gpu;
            }
            policy
        },
    )
}

fn abilities() -> impl Strategy<Value = Abilities> {
    let ability = || {
        prop_oneof![Just(Ability::Unknown), Just(Ability::Can), refusal().prop_map(Ability::Cannot)]
    };
    (any::<bool>(), ability(), ability()).prop_map(|(known, hibernate, stop)| Abilities {
        instance_id: known.then(|| "i-0".to_owned()),
        hibernate,
        stop,
        member: false,
    })
}

fn noticed() -> impl Strategy<Value = Noticed> {
    let spot = prop_oneof![Just(SpotAction::Stop), Just(SpotAction::Hibernate)]
        .prop_map(|action| Notice::Spot { action });
    let notice = prop_oneof![
        4 => spot,
        1 => (0_i64..9).prop_map(|said_wall_ms| Notice::Rebalance { said_wall_ms }),
        4 => (0_usize..8).prop_map(|n| Notice::AutoScaling { target: TargetState::ALL[n] }),
    ];
    let left = prop_oneof![4 => -1000_i64..130_000, 1 => any::<i64>()];
    (notice, proptest::option::of((any::<i64>(), left)), any::<bool>()).prop_map(
        |(notice, due, own_clock)| {
            let due = due.map(|(wall_ms, left_ms)| Due { wall_ms, left_ms });
            Noticed { notice, due, own_clock }
        },
    )
}

fn raw() -> impl Strategy<Value = Raw> {
    let source = (0..SOURCES.len()).prop_map(|n| SourceName::new(SOURCES[n]));
    let observed = (source, reading())
        .prop_map(|(source, reading)| Input::Observed(Observation { source, reading }));
    let actor = (0_u32..3).prop_map(|uid| Actor { uid, admin: uid == 0, name: "x".to_owned() });
    let state = prop_oneof![
        Just(InstanceState::Running),
        Just(InstanceState::Stopping),
        Just(InstanceState::Terminated)
    ];
    prop_oneof![
        60 => Just(Raw::Round),
        6 => observed.prop_map(Raw::Plain),
        10 => Just(Raw::Plain(Input::Tick)),
        1 => short_policy().prop_map(|p| Raw::Plain(Input::PolicyChanged(Box::new(p)))),
        1 => abilities().prop_map(|a| Raw::Plain(Input::Abilities(a))),
        4 => Just(Raw::Plain(Input::Abilities(able()))),
        20 => (prop_oneof![8 => Just(0), 1 => 1_usize..3], outcome()).prop_map(|(n, outcome)| Raw::Finished(n, outcome)),
        5 => (prop_oneof![8 => Just(0), 1 => Just(1)], state).prop_map(|(n, state)| Raw::Described(n, state)),
        1 => Just(Raw::Plain(Input::Resumed)),
        2 => (actor, command())
            .prop_map(|(actor, command)| Raw::Plain(Input::Command { actor, command })),
        2 => noticed().prop_map(|noticed| Raw::Plain(Input::Noticed(noticed))),
        1 => any::<u32>().prop_map(|pid| Raw::Plain(Input::ProcessGone { pid })),
    ]
}

/// Steps of the clocks: mostly small, sometimes backwards, a sleep, or years.
fn clock() -> impl Strategy<Value = (i64, u64, i64)> {
    prop_oneof![
        40 => (0_i64..12_000).prop_map(|ms| (ms, 0, 0)),
        1 => (-50_000_i64..0).prop_map(|ms| (ms, 0, 0)),
        1 => (0_u64..90_000_000).prop_map(|ms| (ms.cast_signed(), ms, 0)),
        1 => (0_i64..1_000, any::<i32>()).prop_map(|(ms, wall)| (ms, 0, i64::from(wall) * 1000)),
        1 => (0_i64..400_000).prop_map(|ms| (ms, 0, 0)),
    ]
}

fn story() -> impl Strategy<Value = Vec<((i64, u64, i64), Raw)>> {
    vec((clock(), raw()), 1..120)
}

/// A reading of every source on a machine that nobody uses.
fn round() -> impl Iterator<Item = Input> {
    SOURCES.iter().map(|name| {
        let signals = match *name {
            "input" => vec![Signal::new("pts/0", Value::Mark { mark: 1, age_ms: None })],
            _ => Vec::new(),
        };
        let (source, reading) = (SourceName::new(name), Reading::Signals(signals));
        Input::Observed(Observation { source, reading })
    })
}

/// Plays a story; what was put in, and what came out.
fn play(engine: &mut Engine, story: &[((i64, u64, i64), Raw)]) -> Vec<(Stamp, Input, Decision)> {
    let mut now = Stamp::new(1_000_000, 0, 1_800_000_000_000);
    let mut keys: Vec<(Key, bool)> = Vec::new();
    let mut all = Vec::new();
    for ((ms, slept, wall), raw) in story {
        now = Stamp::new(
            now.boot_ms.saturating_add_signed(*ms),
            now.asleep_ms.saturating_add(*slept),
            now.wall_ms.saturating_add(*ms).saturating_add(*wall),
        );
        let (key, reread) = match raw {
            Raw::Finished(n, _) | Raw::Described(n, _) => {
                keys.iter().rev().nth(*n).copied().unwrap_or((Key(7), false))
            }
            Raw::Plain(_) | Raw::Round => (Key(7), false),
        };
        let mut inputs: Vec<Input> = if reread { round().collect() } else { Vec::new() };
        match raw.clone() {
            Raw::Round => inputs.extend(round()),
            Raw::Plain(input) => inputs.push(input),
            Raw::Finished(_, outcome) => inputs.push(Input::Finished { key, outcome }),
            Raw::Described(_, state) => inputs.push(Input::Described { key, state }),
        }
        for input in inputs {
            let decision = engine.step(now, input.clone());
            let awaited = decision.actions.iter().filter(|request| {
                let kind = &request.kind;
                kind.is_destructive()
                    || matches!(
                        kind,
                        ActionKind::Reread
                            | ActionKind::Describe
                            | ActionKind::Drain(_)
                            | ActionKind::AutoScaling(_)
                    )
            });
            keys.extend(awaited.map(|r| (r.key, r.kind == ActionKind::Reread)));
            all.push((now, input, decision));
        }
    }
    all
}

fn engine(policy: Policy) -> Engine {
    let memory = Some(Memory::default());
    let recovery = Recovery { memory, same_boot: true, clock: None };
    let start = Stamp::new(1_000_000, 0, 1_800_000_000_000);
    let mut engine = Engine::new(policy, recovery, start);
    engine.step(start, Input::Abilities(able()));
    engine
}

proptest! {
    #[test]
    fn no_sequence_of_inputs_breaks_the_rules(policy in short_policy(), story in story()) {
        let mut engine = engine(policy);
        let mut keys = std::collections::BTreeSet::new();
        let mut outstanding = None;
        for (now, input, decision) in play(&mut engine, &story) {
            if let Input::Finished { key, .. } = &input {
                outstanding = outstanding.filter(|o| o != key);
            }
            // A resume ends the wait for an answer: the machine went down and came back.
            if decision.events.iter().any(|event| matches!(event, Event::Hibernated { .. })) {
                outstanding = None;
            }
            // A boot clock that ran back is held, so the engine may be ahead of the stamp.
            prop_assert!(decision.wake_at.boot_ms > now.boot_ms);
            for request in &decision.actions {
                prop_assert!(keys.insert(request.key), "{:?} twice", request.key);
                if request.kind.is_destructive() {
                    prop_assert!(decision.dirty, "not durable: {request:?}");
                    let before = outstanding.replace(request.key);
                    prop_assert!(before.is_none(), "a second destructive action");
                }
            }
        }
    }

    #[test]
    fn a_recording_replays_to_the_same_decisions(policy in short_policy(), story in story()) {
        let mut first = engine(policy.clone());
        let recorded = play(&mut first, &story);
        let mut second = engine(policy);
        for (now, input, decision) in recorded {
            prop_assert_eq!(second.step(now, input), decision);
        }
        prop_assert!(first == second);
    }

    #[test]
    fn a_trace_told_by_changes_replays_to_the_same_decisions(policy in short_policy(), story in story()) {
        let mut first = engine(policy.clone());
        let recorded = play(&mut first, &story);
        let mut encoder = Encoder::default();
        let mut lines: Vec<Line> =
            recorded.iter().filter_map(|(now, input, _)| encoder.add(*now, input)).collect();
        lines.extend(encoder.end());
        let (mut decoder, mut second) = (Decoder::default(), engine(policy));
        let mut expected = recorded.into_iter();
        for line in lines {
            let text = serde_json::to_string(&line).unwrap();
            let record = decoder.record(serde_json::from_str(&text).unwrap()).unwrap().unwrap();
            let Content::Inputs(inputs) = record.content else { panic!("a boot") };
            for input in inputs {
                let (now, _, decision) = expected.next().unwrap();
                prop_assert_eq!(record.at, now);
                prop_assert_eq!(second.step(record.at, input), decision);
            }
        }
        prop_assert!(expected.next().is_none());
        prop_assert!(first == second);
    }

    #[test]
    fn looking_changes_nothing(policy in short_policy(), story in story(), at in any::<u32>()) {
        let mut engine = engine(policy);
        play(&mut engine, &story);
        let before = engine.clone();
        let view = engine.view(Stamp::new(u64::from(at), 0, 0));
        for _ in 0..20 {
            prop_assert_eq!(&engine.view(Stamp::new(u64::from(at), 0, 0)), &view);
        }
        prop_assert!(engine == before);
    }

    #[test]
    fn while_a_source_is_blind_no_idle_action_begins(policy in short_policy(), story in story()) {
        let mut engine = engine(policy);
        let mut now = Stamp::new(1_000_000, 0, 1_800_000_000_000);
        for (at, input, _) in play(&mut engine.clone(), &story) {
            let operator = matches!(input, Input::Command { .. });
            let decision = engine.step(at, input);
            now = now.max(at);
            let view = engine.view(now);
            let blind = view.sources.iter().any(|s| s.judgement == Judgement::Blind);
            let destructive = decision.actions.iter().any(|a| a.kind.is_destructive());
            let by_operator = operator
                || engine.memory().intent.as_ref().is_some_and(|i| {
                    i.origin == crate::memory::Origin::Operator
                });
            prop_assert!(!(blind && destructive) || by_operator, "{view:?}");
        }
    }

    #[test]
    fn what_is_saved_is_read_again(policy in short_policy(), story in story()) {
        let mut engine = engine(policy.clone());
        play(&mut engine, &story);
        let memory = serde_json::to_string(engine.memory()).unwrap();
        let clock = serde_json::to_string(&engine.idle_clock()).unwrap();
        let memory: Memory = serde_json::from_str(&memory).unwrap();
        let clock: IdleClock = serde_json::from_str(&clock).unwrap();
        prop_assert_eq!(&memory, engine.memory());
        let at = clock.at;
        let recovery = Recovery { memory: Some(memory), same_boot: true, clock: Some(clock) };
        let mut next = Engine::new(policy, recovery, at);
        let decision = next.step(at.after(Duration::from_secs(1)), Input::Tick);
        // A hook that was started is never started again.
        let hooks = decision.actions.iter().any(|a| a.kind.is_destructive());
        prop_assert!(!hooks, "{decision:?}");
        prop_assert!(next.quiet() <= engine.quiet() + Duration::from_secs(1));
    }

}

proptest! {
    // Each case is hours of readings, twice.
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn blindness_never_brings_an_action_forward(
        blind in vec((0_usize..4, 0_u64..400, 1_u64..20), 0..6),
        uses in vec(0_u64..400, 0..4),
    ) {
        let acts = |blind: &[(usize, u64, u64)]| {
            let mut engine = engine(policy());
            let mut acted = None;
            for round in 0..800_u64 {
                let now = Stamp::new(1_000_000 + round * 10_000, 0, 1_800_000_000_000);
                if round == 0 {
                    engine.step(now, Input::Abilities(able()));
                }
                for (n, name) in SOURCES[..4].iter().enumerate() {
                    let hidden = blind.iter().any(|(source, from, span)| {
                        *source == n && (*from..from + span).contains(&round)
                    });
                    let used = uses.iter().filter(|at| **at <= round).count() as u64;
                    let reading = match (*name, hidden) {
                        (_, true) => Reading::blind("dark"),
                        ("input", _) => {
                            let value = Value::Mark { mark: used, age_ms: None };
                            Reading::Signals(vec![Signal::new("pts/0", value)])
                        }
                        ("cpu", _) => {
                            let value = Value::Counter { total: round * 100 };
                            Reading::Signals(vec![Signal::new("user", value)])
                        }
                        _ => Reading::Signals(Vec::new()),
                    };
                    let source = SourceName::new(name);
                    let observed = Input::Observed(Observation { source, reading });
                    let decision = engine.step(now, observed);
                    let begun = decision.actions.iter().any(|a| a.kind.name() == "reread");
                    if begun && acted.is_none() {
                        acted = Some(round);
                    }
                }
            }
            acted.unwrap_or(u64::MAX)
        };
        prop_assert!(acts(&blind) >= acts(&[]), "{blind:?} {uses:?}");
    }
}
