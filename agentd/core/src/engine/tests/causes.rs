//! What is said of a use: the thing that contributes most to it, as it was measured, beside its own limit. A sum is
//! said only where nothing is a use by itself.

use core::time::Duration;

use super::uncounted::{Machine, policy};
use crate::reading::{Role, SourceName};
use crate::reason::Event;
use crate::verdict::{Judgement, Sum};

const TRAINER: &str = "system.slice/trainer.service";
const POSTGRES: &str = "system.slice/postgresql.service";
const SESSION: &str = "user.slice/session-3.scope";
const FALCON: &str = "system.slice/falcon-sensor.service";
const ENDED: &str = "units of system.slice that came and went between two looks";

/// Why, after five minutes of these loads.
fn because(loads: &[(&'static str, Role, f64)]) -> String {
    let mut machine = Machine::new(loads);
    machine.run(Duration::from_mins(5));
    machine.view().because
}

#[test]
fn one_thing_is_named_with_its_own_measure_and_its_own_limit() {
    for (loads, expected) in [
        (
            &[(TRAINER, Role::Local, 0.22)][..],
            "cpu 0.22 core, limit 0.08 (system.slice/trainer.service)",
        ),
        // It is the server that is in use, though the session and the trainer do more.
        (
            &[
                (POSTGRES, Role::Server, 0.2),
                (FALCON, Role::Upkeep, 0.14),
                (SESSION, Role::Workload, 0.04),
            ],
            "cpu 0.20 core, limit 0.12 (system.slice/postgresql.service)",
        ),
        // Both are: the one that weighs more in the sum, not the one that does more.
        (
            &[(POSTGRES, Role::Server, 0.2), (SESSION, Role::Workload, 0.15)],
            "cpu 0.15 core, limit 0.05 (user.slice/session-3.scope)",
        ),
        (
            &[(FALCON, Role::Upkeep, 0.3)],
            "cpu 0.30 core, limit 0.15 (system.slice/falcon-sensor.service)",
        ),
        (&[(ENDED, Role::Unexplained, 0.5)], &format!("cpu 0.50 core, limit 0.05 ({ENDED})")),
    ] {
        assert_eq!(because(loads), expected);
    }
}

#[test]
fn a_sum_is_said_only_where_it_is_the_sum_that_passes_the_limit() {
    // Five of a kind: what they do together, beside the limit of their kind.
    let units = ["a.service", "b.service", "c.service", "d.service", "e.service"];
    let five: Vec<_> = units.iter().map(|unit| (*unit, Role::Local, 0.03)).collect();
    assert_eq!(because(&five), "cpu together 0.15 core, limit 0.08 (most: a.service)");
    // Of several kinds: each by its share of its own limit.
    let mixed = [
        (POSTGRES, Role::Server, 0.1),
        (SESSION, Role::Workload, 0.02),
        (FALCON, Role::Upkeep, 0.14),
    ];
    assert_eq!(
        because(&mixed),
        "cpu together 0.06 core by weight, limit 0.05 (most: system.slice/postgresql.service)"
    );
    // Upkeep that is too much together only.
    let upkeep: Vec<_> = units.iter().map(|unit| (*unit, Role::Upkeep, 0.1)).collect();
    assert_eq!(because(&upkeep), "cpu together 0.50 core, limit 0.40 (most: a.service)");
}

#[test]
fn what_is_idle_itself_is_not_named_for_what_has_just_ended() {
    let mut machine =
        Machine::new(&[(TRAINER, Role::Local, 0.9), (SESSION, Role::Workload, 0.001)]);
    machine.run(Duration::from_mins(5));
    machine.units.remove(0);
    machine.run(Duration::from_secs(10));
    let view = machine.view();
    assert_eq!(view.sources[0].judgement, Judgement::Busy, "the minute is not over");
    assert!(!view.because.contains("session"), "{}", view.because);
    assert!(view.because.ends_with("by weight, limit 0.05"), "{}", view.because);
}

#[test]
fn what_pauses_for_a_moment_is_still_what_is_in_use() {
    let mut machine = Machine::new(&[(TRAINER, Role::Local, 0.9), (SESSION, Role::Workload, 0.03)]);
    machine.run(Duration::from_mins(5));
    machine.units[0].2 = 0.0;
    machine.run(Duration::from_secs(10));
    let because = machine.view().because;
    assert!(because.ends_with("core, limit 0.08 (system.slice/trainer.service)"), "{because}");
}

#[test]
fn what_is_idle_is_said_of_what_comes_nearest_to_its_own_limit() {
    let because = because(&[(POSTGRES, Role::Server, 0.1), (SESSION, Role::Workload, 0.001)]);
    assert_eq!(because, "no use for 4m: cpu 0.10/0.12 core");
}

#[test]
fn a_limit_of_its_own_is_said() {
    let mut policy = policy();
    let cpu = policy.sources.get_mut(&SourceName::new("cpu")).unwrap();
    let limits = cpu.limits.as_mut().unwrap();
    limits.units.insert("game.service".to_owned(), 0.3);
    let mut machine = Machine::under(policy, &[("system.slice/game.service", Role::Server, 0.4)]);
    machine.run(Duration::from_mins(5));
    assert_eq!(machine.view().because, "cpu 0.40 core, limit 0.30 (system.slice/game.service)");
}

#[test]
fn status_the_last_use_and_the_journal_say_the_same() {
    let mut machine = Machine::new(&[(TRAINER, Role::Local, 0.0), (SESSION, Role::Workload, 0.0)]);
    machine.run(Duration::from_mins(15));
    assert!(machine.events.iter().any(|event| matches!(event, Event::BecameQuiet { .. })));
    machine.units[0].2 = 0.22;
    machine.run(Duration::from_mins(5));
    let view = machine.view();
    let text = "cpu 0.22 core, limit 0.08 (system.slice/trainer.service)";
    assert_eq!((view.because.as_str(), view.last_use.unwrap().text.as_str()), (text, text));
    let cause = view.sources[0].cause.clone().unwrap();
    assert_eq!(
        (cause.subject.as_deref(), cause.limit, cause.sum),
        (Some(TRAINER), Some(0.08), Sum::One)
    );
    assert!((cause.value.unwrap() - 0.22).abs() < 0.001);
    let active = machine.events.iter().rev().find_map(|event| match event {
        Event::BecameActive { because } => Some(because.as_str()),
        _ => None,
    });
    let active = active.unwrap();
    assert!(active.ends_with("core, limit 0.08 (system.slice/trainer.service)"), "{active}");
}
