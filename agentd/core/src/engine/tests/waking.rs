//! When the engine wants to be called: it is enough to call it then.

use super::scene::{able, policy};
use crate::action::{ActionKind, Outcome};
use crate::engine::Engine;
use crate::input::{Actor, Command, Input};
use crate::memory::Recovery;
use crate::policy::Policy;
use crate::reading::{Observation, Reading, SourceName};
use crate::stamp::Stamp;

fn at(ms: u64) -> Stamp {
    Stamp::new(ms, 0, 1_800_000_000_000)
}

/// Calls the engine with readings every minute and at the times it asks for; what it asked for, in seconds.
fn called_as_asked(policy: Policy, before: &[Input], until_ms: u64) -> Vec<(u64, &'static str)> {
    let mut engine = Engine::new(policy, Recovery::default(), at(0));
    let mut wake = at(0);
    for input in before {
        wake = engine.step(at(0), input.clone()).wake_at;
    }
    let mut did = Vec::new();
    let (mut now, mut round) = (0, 0);
    while now < until_ms {
        let mut inputs = vec![Input::Tick];
        if now >= round {
            inputs = readings().collect();
            round = now + 25_000;
        }
        let mut n = 0;
        while n < inputs.len() {
            let decision = engine.step(at(now), inputs[n].clone());
            wake = decision.wake_at;
            for request in decision.actions {
                did.push((now / 1000, request.kind.name()));
                if request.kind == ActionKind::Reread {
                    inputs.extend(readings());
                }
                let outcome = Outcome::Done { detail: String::new() };
                inputs.push(Input::Finished { key: request.key, outcome });
            }
            n += 1;
        }
        now = wake.boot_ms.min(round);
    }
    did.retain(|(_, name)| *name != "preflight" && *name != "tag");
    did
}

fn readings() -> impl Iterator<Item = Input> {
    ["cpu", "gpu", "input", "packages"].into_iter().map(|name| {
        let (source, reading) = (SourceName::new(name), Reading::Signals(Vec::new()));
        Input::Observed(Observation { source, reading })
    })
}

fn slow_policy() -> Policy {
    let mut policy = policy();
    for source in policy.sources.values_mut() {
        source.interval = core::time::Duration::from_secs(25);
    }
    policy
}

#[test]
fn every_warning_and_the_action_come_in_their_second() {
    let before = [Input::Abilities(able())];
    let did = called_as_asked(slow_policy(), &before, 1_900_000);
    assert_eq!(
        did,
        [(1200, "warn"), (1500, "warn"), (1740, "warn"), (1800, "reread"), (1800, "hibernate")]
    );
}

#[test]
fn the_end_of_a_hold_is_met_in_its_second() {
    let actor = Actor { uid: 0, admin: true, name: "root".to_owned() };
    let command = Command::Hold { for_ms: 2_333_000, reason: "x".to_owned(), pid: None };
    let before = [Input::Abilities(able()), Input::Command { actor, command }];
    let did = called_as_asked(slow_policy(), &before, 4_200_000);
    assert_eq!(did.last(), Some(&(2333 + 1800, "hibernate")), "{did:?}");
    assert_eq!(did.first(), Some(&(2333 + 1200, "warn")), "{did:?}");
}

#[test]
fn the_end_of_the_grace_is_met_in_its_second() {
    let mut policy = slow_policy();
    policy.idle.boot_grace = core::time::Duration::from_secs(2017);
    let did = called_as_asked(policy, &[Input::Abilities(able())], 2_100_000);
    assert_eq!(did.last(), Some(&(2017, "hibernate")), "{did:?}");
}

#[test]
fn it_is_called_twice_in_a_gap_so_that_a_late_call_is_none() {
    let mut policy = policy();
    for gap_s in [1, 5, 60, 600] {
        policy.gap = core::time::Duration::from_secs(gap_s);
        let mut engine = Engine::new(policy.clone(), Recovery::default(), at(0));
        let wake = engine.step(at(0), Input::Tick).wake_at;
        assert!(wake.boot_ms > 0 && wake.boot_ms * 2 <= gap_s * 1000, "{gap_s}: {wake:?}");
        assert!(wake.boot_ms <= 60_000, "{gap_s}: {wake:?}");
    }
}

#[test]
fn at_the_end_of_time_nothing_overflows() {
    let end = Stamp::new(u64::MAX - 1, u64::MAX, i64::MAX);
    let mut engine = Engine::new(policy(), Recovery::default(), end);
    for input in readings() {
        assert_eq!(engine.step(end, input).wake_at.boot_ms, u64::MAX);
    }
    let view = engine.view(Stamp::new(u64::MAX, u64::MAX, i64::MIN));
    assert_eq!(view.idle_ms, 0);
}
