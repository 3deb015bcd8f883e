//! When the engine asks what this instance can do.

use core::time::Duration;

use super::scene::{able, policy};
use crate::action::{ActionKind, Key, Outcome, Refusal, Retry};
use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::{Abilities, Ability, Input};
use crate::memory::Recovery;
use crate::policy::Mode;
use crate::stamp::Stamp;

fn at(secs: u64) -> Stamp {
    Stamp::new(secs * 1000, 0, 1_800_000_000_000)
}

fn preflights(decision: &Decision) -> Vec<Key> {
    let asked = decision.actions.iter().filter(|a| a.kind == ActionKind::Preflight);
    asked.map(|a| a.key).collect()
}

/// Runs on ticks alone from `from` to `to`; when preflights were asked for. Each is answered by `answer`.
fn asked(engine: &mut Engine, from: u64, to: u64, answer: impl Fn(u64) -> Answer) -> Vec<u64> {
    let mut times = Vec::new();
    let mut now = from;
    while now < to {
        let decision = engine.step(at(now), Input::Tick);
        for key in preflights(&decision) {
            times.push(now);
            let outcome = match answer(now) {
                Answer::Told(abilities) => {
                    engine.step(at(now), Input::Abilities(abilities));
                    Outcome::Done { detail: String::new() }
                }
                Answer::Failed => {
                    let error = "IMDS did not answer".to_owned();
                    Outcome::Failed { error, retry: Retry::after(Duration::from_secs(1)) }
                }
                Answer::Nothing => Outcome::Done { detail: String::new() },
            };
            engine.step(at(now), Input::Finished { key, outcome });
        }
        now += 1;
    }
    times
}

enum Answer {
    Told(Abilities),
    Failed,
    Nothing,
}

fn engine(mode: Mode) -> Engine {
    let mut policy = policy();
    policy.mode = mode;
    Engine::new(policy, Recovery::default(), at(0))
}

#[test]
fn it_is_asked_at_once_and_then_once_a_day() {
    let times = asked(&mut engine(Mode::Enforce), 0, 90_000, |_| Answer::Told(able()));
    assert_eq!(times, [0, 86_400]);
}

#[test]
fn only_observing_it_is_never_asked() {
    assert!(asked(&mut engine(Mode::Observe), 0, 90_000, |_| Answer::Told(able())).is_empty());
}

#[test]
fn what_fails_is_asked_again_with_longer_and_longer_pauses() {
    let times = asked(&mut engine(Mode::Enforce), 0, 4000, |_| Answer::Failed);
    assert_eq!(times, [0, 30, 90, 210, 450, 930, 1890, 2850, 3810]);
}

#[test]
fn an_answer_that_tells_nothing_is_no_reason_to_ask_without_end() {
    let times = asked(&mut engine(Mode::Enforce), 0, 500, |_| Answer::Nothing);
    assert_eq!(times, [0, 30, 90, 210, 450]);
    let unknown = Abilities { instance_id: Some("i-0".to_owned()), ..Abilities::default() };
    let told = |_| Answer::Told(unknown.clone());
    assert_eq!(asked(&mut engine(Mode::Enforce), 0, 500, told), [0, 30, 90, 210, 450]);
}

#[test]
fn the_pauses_begin_anew_after_an_answer() {
    let mut engine = engine(Mode::Enforce);
    let answer = |now| if now < 200 { Answer::Failed } else { Answer::Told(able()) };
    assert_eq!(asked(&mut engine, 0, 1000, answer), [0, 30, 90, 210]);
    let changed = policy();
    let decision = engine.step(at(1000), Input::PolicyChanged(Box::new(changed)));
    let [key] = preflights(&decision)[..] else { panic!("not asked: {decision:?}") };
    let outcome = Outcome::Refused(Refusal {
        code: "x".to_owned(),
        detail: "x".to_owned(),
        hibernation_only: false,
    });
    engine.step(at(1001), Input::Finished { key, outcome });
    assert_eq!(asked(&mut engine, 1001, 1100, |_| Answer::Told(able())), [1031]);
}

#[test]
fn there_is_one_question_at_a_time() {
    let mut engine = engine(Mode::Enforce);
    assert_eq!(preflights(&engine.step(at(0), Input::Tick)).len(), 1);
    for now in 1..7200 {
        assert!(preflights(&engine.step(at(now), Input::Tick)).is_empty());
    }
}

#[test]
fn the_identity_alone_is_shown_and_allows_nothing() {
    let mut engine = engine(Mode::Enforce);
    let identity = Abilities { instance_id: Some("i-0".to_owned()), ..Abilities::default() };
    engine.step(at(0), Input::Abilities(identity));
    assert_eq!(engine.instance_id(), Some("i-0"));
    assert_eq!(engine.view(at(0)).power, None);
    // What can be done on nobody knows which instance is not done.
    let nobody =
        Abilities { instance_id: None, hibernate: Ability::Can, stop: Ability::Can, member: false };
    engine.step(at(1), Input::Abilities(nobody));
    let view = engine.view(at(1));
    assert_eq!(view.power, None);
    assert_eq!(view.obstacles[0].code, "identity-unknown");
}
