//! Replays of small machines: everything happens at its exact moment.

use core::time::Duration;

use super::*;
use crate::input::Actor;
use crate::interruption::InterruptionPolicy;
use crate::policy::{Combine, HoldPolicy, IdlePolicy, SourcePolicy, TagPolicy};
use crate::reading::{Signal, Stretch, Value};
use crate::reason::Event;

const TICK_MS: u64 = 10_000;
const WALL: i64 = 1_800_000_000_000;

fn policy() -> Policy {
    let source = |busy_above: f64, scale: f64| SourcePolicy {
        enabled: true,
        busy_above,
        unit: "core".to_owned(),
        scale,
        average: Duration::from_mins(1),
        interval: Duration::from_millis(TICK_MS),
        combine: Combine::Sum,
        limits: None,
    };
    Policy {
        mode: Mode::Enforce,
        profile: "research".to_owned(),
        gap: Duration::from_mins(1),
        idle: IdlePolicy {
            enabled: true,
            quiet_after: Duration::from_mins(5),
            act_after: Duration::from_mins(30),
            connected_after: Duration::from_hours(1),
            job_after: Duration::from_hours(4),
            least_run: Duration::ZERO,
            action: Some(Power::Hibernate),
            fallback_stop: true,
            warn_before: [10, 1].map(Duration::from_mins).to_vec(),
            boot_grace: Duration::ZERO,
            resume_grace: Duration::from_mins(15),
            hook: false,
            standby: false,
            verify_after: Duration::from_mins(5),
        },
        hold: HoldPolicy { user_max: Duration::from_hours(8), admin_max: Duration::from_hours(72) },
        tags: TagPolicy { enabled: false, interval: Duration::from_mins(1) },
        interruption: InterruptionPolicy::default(),
        sources: BTreeMap::from([
            (SourceName::new("cpu"), source(0.05, 1e-6)),
            (SourceName::new("input"), source(0.0, 1.0)),
        ]),
    }
}

fn stamp(ms: u64) -> Stamp {
    Stamp::new(ms, 0, WALL.saturating_add_unsigned(ms))
}

fn minutes(count: u64) -> u64 {
    count * 60_000
}

/// A machine that somebody types on and computes on at times, in minutes from and to.
#[derive(Clone, Default)]
struct Machine {
    typed: Vec<(u64, u64)>,
    computes: Vec<(u64, u64)>,
}

impl Machine {
    fn is(spans: &[(u64, u64)], ms: u64) -> bool {
        spans.iter().any(|(from, to)| (minutes(*from)..minutes(*to)).contains(&ms))
    }

    /// The records of the minutes `from` to `to`.
    fn records(&self, from: u64, to: u64) -> Vec<Record> {
        let (mut total, mut mark) = (0, 0);
        let mut records = Vec::new();
        for ms in (0..minutes(to)).step_by(10_000) {
            total += if Self::is(&self.computes, ms) { 8_000_000 } else { 10_000 };
            mark += u64::from(Self::is(&self.typed, ms));
            let cpu = Signal::new("user.slice", Value::Counter { total }).owned_by("bob");
            let pty = Signal::new("pts/0", Value::Mark { mark, age_ms: None }).owned_by("alice");
            let inputs = [("cpu", cpu), ("input", pty)].map(|(source, signal)| {
                let reading = Reading::Signals(vec![signal]);
                Input::Observed(Observation { source: SourceName::new(source), reading })
            });
            if ms >= minutes(from) {
                records.push(Record::inputs(stamp(ms), inputs.to_vec()));
            }
        }
        records
    }
}

fn play(replay: &mut Replay, records: Vec<Record>) {
    for record in records {
        replay.record(record);
    }
}

fn replayed(machine: &Machine, to: u64, after: After) -> Replay {
    let mut replay = Replay::new(policy(), stamp(0)).then(after);
    play(&mut replay, machine.records(0, to));
    replay
}

/// What happened, as "minute:second word".
fn story(replay: &Replay) -> Vec<String> {
    let word = |what: &What| match what {
        What::Told(Event::BecameQuiet { .. }) => "quiet".to_owned(),
        What::Told(Event::BecameActive { because }) => format!("active {because}"),
        What::Told(Event::Warned { in_ms, .. }) => format!("warned {}s", in_ms / 1000),
        What::Told(Event::CalledOff { because, .. }) => format!("called off, {because}"),
        What::Told(Event::Asking { .. } | Event::SourceBack { .. }) => String::new(),
        What::Told(event) => {
            let text = serde_json::to_value(event).unwrap();
            text["event"].as_str().unwrap().to_owned()
        }
        What::Acted { power, .. } => power.verb().to_owned(),
        What::UsedAgain(used) => {
            format!("used again {} {}", used.source, used.owner.clone().unwrap())
        }
        What::Booted { id, fresh } => format!("boot {id} {fresh}"),
        What::Asked { power, by } => format!("{by} asked to {}", power.verb()),
    };
    let line = |happening: &Happening| {
        let seconds = happening.at.boot_ms / 1000;
        format!("{}:{:02} {}", seconds / 60, seconds % 60, word(&happening.what))
    };
    let lines = replay.happened().iter().map(line);
    lines.filter(|line| !line.ends_with(' ')).collect()
}

#[test]
fn everything_happens_at_its_exact_moment() {
    let machine = Machine { typed: vec![(0, 5)], ..Machine::default() };
    let replay = replayed(&machine, 60, After::End);
    // The last key was seen at 4:50.
    let expected = ["9:50 quiet", "24:50 warned 600s", "33:50 warned 60s", "34:50 hibernate"];
    assert_eq!(story(&replay), expected);
    assert!(replay.is_over());
    assert_eq!(replay.first_action(), Some((stamp(2_090_000), Power::Hibernate)));
    let What::Acted { because, idle_ms, .. } = &replay.happened().last().unwrap().what else {
        panic!("{:?}", replay.happened())
    };
    assert!(because.contains("no use for 30m"), "{because}");
    assert_eq!(*idle_ms, minutes(30));
}

#[test]
fn moments_between_two_readings_are_exact_too() {
    let mut policy = policy();
    policy.idle.act_after = Duration::from_millis(1_234_567);
    let mut replay = Replay::new(policy, stamp(0));
    let machine = Machine { typed: vec![(0, 5)], ..Machine::default() };
    play(&mut replay, machine.records(0, 60));
    assert_eq!(replay.first_action().unwrap().0, stamp(290_000 + 1_234_567));
}

#[test]
fn the_predicted_moment_is_the_one_that_comes() {
    let machine = Machine { typed: vec![(0, 5)], ..Machine::default() };
    let mut replay = Replay::new(policy(), stamp(0));
    play(&mut replay, machine.records(0, 12));
    assert_eq!(replay.view().act_at.map(|at| at.boot_ms), Some(2_090_000));
}

#[test]
fn a_key_during_the_countdown_calls_it_off() {
    let machine = Machine { typed: vec![(0, 5), (30, 31)], ..Machine::default() };
    let replay = replayed(&machine, 40, After::End);
    let called_off = "30:00 called off, the machine is used: input (pts/0, alice)";
    assert_eq!(story(&replay), ["9:50 quiet", "24:50 warned 600s", called_off, "35:50 quiet"]);
    assert_eq!(replay.first_action(), None);
}

#[test]
fn work_keeps_the_machine_up_under_one_policy_and_not_under_another() {
    let machine = Machine { typed: vec![(0, 5)], computes: vec![(0, 120)] };
    assert_eq!(replayed(&machine, 120, After::End).first_action(), None);
    let mut blind_to_work = policy();
    blind_to_work.sources.remove(&SourceName::new("cpu"));
    let mut replay = Replay::new(blind_to_work, stamp(0)).then(After::GoOn).judged_by(policy());
    play(&mut replay, machine.records(0, 120));
    let down = &replay.downs()[0];
    assert_eq!(down.from, stamp(2_090_000));
    let lost: Vec<_> =
        down.interrupted.iter().map(|u| (u.subject.as_deref(), u.owner.as_deref())).collect();
    assert_eq!(lost, [(Some("user.slice"), Some("bob"))], "the work is named once");
    assert!(down.saved_ms <= TICK_MS, "the work would have needed the machine at once: {down:?}");
}

#[test]
fn after_an_action_the_machine_is_down_until_it_is_used() {
    let machine = Machine { typed: vec![(0, 5), (100, 110)], ..Machine::default() };
    let replay = replayed(&machine, 200, After::GoOn);
    let expected = [
        "9:50 quiet",
        "24:50 warned 600s",
        "33:50 warned 60s",
        "34:50 hibernate",
        "100:00 used again input alice",
        "100:00 resumed",
        "114:50 quiet",
        "129:50 warned 600s",
        "138:50 warned 60s",
        "139:50 hibernate",
    ];
    assert_eq!(story(&replay), expected);
    let [first, second] = replay.downs() else { panic!("{:?}", replay.downs()) };
    assert_eq!(first.until, Some(stamp(minutes(100))));
    assert_eq!(first.saved_ms, minutes(100) - 2_090_000);
    assert!(first.interrupted.is_empty(), "nobody was there");
    assert_eq!((second.until, replay.is_down()), (None, true));
    assert_eq!(second.saved_ms, minutes(200) - 10_000 - 8_390_000);
}

#[test]
fn who_comes_back_soon_after_an_action_was_interrupted() {
    for (minute, interrupted) in [(35, true), (44, true), (45, false)] {
        let machine = Machine { typed: vec![(0, 5), (minute, minute + 1)], ..Machine::default() };
        let replay = replayed(&machine, 60, After::GoOn);
        let lost = &replay.downs()[0].interrupted;
        assert_eq!(!lost.is_empty(), interrupted, "minute {minute}: {lost:?}");
        if let Some(lost) = lost.first() {
            assert_eq!((lost.source.as_str(), lost.owner.as_deref()), ("input", Some("alice")));
            assert_eq!(lost.at, stamp(minutes(minute)));
        }
    }
}

#[test]
fn a_job_that_waits_in_the_foreground_is_lost_by_a_hasty_policy_and_is_named() {
    let mut careful = policy();
    let like = careful.sources[&SourceName::new("input")].clone();
    careful.sources = BTreeMap::from([(SourceName::new("sessions"), like)]);
    let mut hasty = careful.clone();
    hasty.idle.job_after = hasty.idle.act_after;
    hasty.idle.connected_after = hasty.idle.act_after;
    let mut replay = Replay::new(hasty, stamp(0)).judged_by(careful);
    for tick in 0..240 {
        let job = Signal::new("pts/0", Value::Stretches { by: Stretch::Job });
        let reading = Reading::Signals(vec![job.owned_by("alice, rsync[812]")]);
        let observation = Observation { source: SourceName::new("sessions"), reading };
        replay.feed(stamp(tick * TICK_MS), Input::Observed(observation));
    }
    let lost = &replay.downs()[0].interrupted;
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!((lost[0].source.as_str(), lost[0].subject.as_deref()), ("sessions", Some("pts/0")));
    assert_eq!(lost[0].owner.as_deref(), Some("alice, rsync[812]"));
}

#[test]
fn a_pause_of_the_recording_is_a_gap_and_never_idleness() {
    let machine = Machine { typed: vec![(0, 5)], ..Machine::default() };
    let mut replay = Replay::new(policy(), stamp(0));
    play(&mut replay, machine.records(0, 20));
    play(&mut replay, machine.records(30, 55));
    assert_eq!(replay.first_action(), None, "{:?}", story(&replay));
    assert!(story(&replay).contains(&"30:00 gap".to_owned()), "{:?}", story(&replay));
    play(&mut replay, machine.records(55, 70));
    assert_eq!(replay.first_action().unwrap().0.boot_ms, minutes(60) + TICK_MS);
}

#[test]
fn a_sleep_of_the_recorded_machine_restarts_everything() {
    let machine = Machine { typed: vec![(0, 5)], ..Machine::default() };
    let mut replay = Replay::new(policy(), stamp(0));
    play(&mut replay, machine.records(0, 20));
    for record in machine.records(600, 620) {
        let at = Stamp { asleep_ms: minutes(580), ..record.at };
        replay.record(Record { at, ..record });
    }
    let story = story(&replay);
    assert!(story.contains(&"600:00 resumed".to_owned()), "{story:?}");
    assert_eq!(replay.first_action(), None);
}

#[test]
fn a_boot_starts_everything_again_and_a_restart_of_the_agent_nothing() {
    let boot = |id: &str| Boot { id: id.to_owned(), ..Boot::default() };
    let machine = Machine { typed: vec![(0, 5)], ..Machine::default() };
    let mut replay = Replay::new(policy(), stamp(0)).then(After::GoOn);
    replay.record(Record::boot(stamp(0), boot("a")));
    play(&mut replay, machine.records(0, 20));
    replay.record(Record::boot(stamp(minutes(20)), boot("a")));
    play(&mut replay, machine.records(20, 60));
    assert_eq!(replay.first_action().unwrap().0.boot_ms, 2_090_000);
    assert!(replay.is_down());
    // The real machine was booted: its clocks begin anew.
    replay.record(Record::boot(stamp(5_000), boot("b")));
    assert!(!replay.is_down());
    let down = &replay.downs()[0];
    assert_eq!(down.until, Some(stamp(5_000)));
    assert_eq!(down.saved_ms, minutes(60) - TICK_MS - 2_090_000, "up to the last record");
    play(&mut replay, Machine::default().records(1, 30));
    assert_eq!(replay.downs().len(), 1);
}

#[test]
fn holds_count_and_an_administrators_stop_is_only_told() {
    let machine = Machine { typed: vec![(0, 5)], ..Machine::default() };
    let mut replay = Replay::new(policy(), stamp(0));
    play(&mut replay, machine.records(0, 20));
    let actor = Actor { uid: 0, admin: true, name: "root".to_owned() };
    let command = Command::Hold { for_ms: minutes(60), reason: "demo".to_owned(), pid: None };
    let at = stamp(minutes(20));
    replay.feed(at, Input::Command { actor: actor.clone(), command });
    let command = Command::Act { power: Power::Stop, dry_run: false };
    replay.feed(at, Input::Command { actor, command });
    play(&mut replay, machine.records(20, 120));
    assert_eq!(replay.first_action().unwrap().0.boot_ms, minutes(110));
    assert!(story(&replay).contains(&"20:00 root asked to stop".to_owned()));
}

#[test]
fn what_is_recorded_of_another_engines_actions_is_passed_over() {
    let machine = Machine { typed: vec![(0, 5)], ..Machine::default() };
    let mut replay = Replay::new(policy(), stamp(0));
    let mut never = policy();
    never.idle.enabled = false;
    for record in machine.records(0, 60) {
        let at = record.at;
        replay.record(record);
        let outcome = Outcome::Done { detail: String::new() };
        for key in 0..4 {
            let (key, outcome) = (crate::action::Key(key), outcome.clone());
            replay.feed(at, Input::Finished { key, outcome });
        }
        replay.feed(at, Input::PolicyChanged(Box::new(never.clone())));
        replay.feed(at, Input::Abilities(Abilities::default()));
        replay.feed(at, Input::Tick);
    }
    assert_eq!(replay.first_action().unwrap().0.boot_ms, 2_090_000);
}

#[test]
fn an_instance_that_cannot_hibernate_is_stopped_instead() {
    let refusal = crate::action::Refusal {
        code: "hibernation-not-configured".to_owned(),
        detail: "no".to_owned(),
        hibernation_only: true,
    };
    let abilities = Abilities {
        instance_id: None,
        hibernate: Ability::Cannot(refusal),
        stop: Ability::Can,
        member: false,
    };
    let mut told = Replay::new(policy(), stamp(0)).with_abilities(abilities.clone());
    let mut found = Replay::new(policy(), stamp(0));
    found.feed(stamp(5), Input::Abilities(abilities));
    for replay in [&mut told, &mut found] {
        play(replay, Machine::default().records(0, 60));
        assert_eq!(replay.first_action().unwrap().1, Power::Stop);
    }
}

#[test]
fn a_hook_is_run_and_the_counters_settle_after_it() {
    let mut hooked = policy();
    hooked.idle.hook = true;
    let mut replay = Replay::new(hooked, stamp(0));
    let machine = Machine { typed: vec![(0, 5)], ..Machine::default() };
    play(&mut replay, machine.records(0, 60));
    assert_eq!(replay.first_action().unwrap().0.boot_ms, 2_090_000 + 3 * TICK_MS);
    assert!(story(&replay).contains(&"34:50 hook-started".to_owned()), "{:?}", story(&replay));
}

#[test]
fn a_machine_that_only_observes_shows_what_it_would_do() {
    let mut observing = policy();
    observing.mode = Mode::Observe;
    let mut replay = Replay::new(observing.clone(), stamp(0));
    play(&mut replay, Machine::default().records(0, 60));
    assert_eq!(replay.first_action(), None);
    assert!(story(&replay).iter().any(|line| line.ends_with("would-act")), "{:?}", story(&replay));
    let mut replay = Replay::new(enforced(observing), stamp(0));
    play(&mut replay, Machine::default().records(0, 60));
    assert!(replay.first_action().is_some());
}

#[test]
fn a_replay_from_the_start_of_an_agent_keeps_its_holds() {
    let actor = Actor { uid: 0, admin: true, name: "root".to_owned() };
    let mut engine = Engine::new(policy(), Recovery::default(), stamp(0));
    let command = Command::Hold { for_ms: minutes(120), reason: "x".to_owned(), pid: None };
    engine.step(stamp(0), Input::Command { actor, command });
    let boot = Boot {
        id: "a".to_owned(),
        accounts: crate::trace::ACCOUNTS,
        policy: Some(policy()),
        memory: Some(engine.memory().clone()),
        same_boot: true,
        clock: Some(engine.idle_clock()),
    };
    let mut replay = Replay::at_boot(policy(), &boot, stamp(0));
    play(&mut replay, Machine::default().records(0, 200));
    assert_eq!(replay.first_action().unwrap().0.boot_ms, minutes(150));
}
