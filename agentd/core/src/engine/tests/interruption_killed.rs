//! Whatever is announced, and wherever the agent is killed: no hook twice, nothing before a hook, no lost report.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::scene::{able, policy};
use crate::action::{ActionKind, Key, Outcome, Power, Retry};
use crate::engine::Engine;
use crate::input::{Actor, Command, Input};
use crate::interruption::{
    Due, EventCode, Interruptions, Notice, Noticed, Reaction, SpotAction, TargetState,
};
use crate::memory::{Memory, Recovery};
use crate::policy::{Mode, Policy};
use crate::reason::Event;
use crate::stamp::Stamp;

/// Where within a step the agent is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    /// The engine decided, and nothing is written.
    Decided,
    /// The alerts are noted in the memory of this boot.
    Noted,
    /// The urgent actions run.
    Started,
    /// The durable part is saved, and what else was asked for has not begun.
    Saved,
}

const KILLS: [Kill; 4] = [Kill::Decided, Kill::Noted, Kill::Started, Kill::Saved];

/// What happens next.
#[derive(Clone, Debug)]
enum Happens {
    Notice(Noticed),
    /// The n-th hook that runs ends.
    Ends(usize, bool),
    /// The n-th call to the group, or other action, ends.
    Answers(usize, bool),
    Withdrawn,
    Drill(u64),
    Stop,
    Killed(Kill),
    Boots,
    Resumes,
    Time,
}

/// An agent, its two places of memory, and what it did to the world over all of its lives.
struct World {
    policy: Policy,
    engine: Engine,
    now: Stamp,
    saved: Memory,
    noted: Option<Interruptions>,
    /// The boot, and the one on which the durable part was saved.
    boot: (u64, u64),
    /// What a fault takes away: the note of the alerts.
    forgetful: bool,
    /// The next step is killed here.
    kill: Option<Kill>,
    running: Vec<Key>,
    asked: Vec<Key>,
    /// Hooks that started: the alert, when it was seen, the place.
    started: BTreeSet<(String, i64, u32)>,
    /// The deadlines of alerts: on EC2's wall, and when hooks end.
    deadlines: BTreeMap<(String, i64), (i64, u64, u64)>,
    /// Reports of alerts that are over, as the world has them.
    over: Vec<String>,
}

fn hooks() -> Policy {
    let mut policy = policy();
    policy.mode = Mode::Enforce;
    let interruption = &mut policy.interruption;
    interruption.enabled = true;
    interruption.hooks = vec!["/opt/save".into(), "stop web".into(), "/opt/flush".into()];
    interruption.fast_hooks = vec!["/opt/fast".into()];
    interruption.rebalance = Reaction::Drain;
    interruption.maintenance = Reaction::Drain;
    policy
}

impl World {
    fn new() -> Self {
        let now = Stamp::new(1_000_000, 0, 1_800_000_000_000);
        let recovery = Recovery { memory: Some(Memory::default()), same_boot: true, clock: None };
        let mut world = Self {
            policy: hooks(),
            engine: Engine::new(hooks(), recovery, now),
            now,
            saved: Memory::default(),
            noted: None,
            boot: (0, 0),
            forgetful: false,
            kill: None,
            running: Vec::new(),
            asked: Vec::new(),
            started: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            over: Vec::new(),
        };
        world.step(Input::Abilities(able()));
        world
    }

    /// One step as the shell takes it, killed in it if that is due.
    fn step(&mut self, input: Input) {
        let decision = self.engine.step(self.now, input);
        assert!(decision.wake_at.boot_ms > self.now.boot_ms, "{decision:?}");
        let kinds = || decision.actions.iter().map(|request| &request.kind);
        let urgent = kinds().filter(|kind| kind.is_urgent()).count();
        assert!(
            kinds().take(urgent).all(ActionKind::is_urgent),
            "something comes before a hook: {decision:?}"
        );
        if self.engine.interruption().is_some() {
            assert!(
                !kinds().any(|k| matches!(k, ActionKind::Power { .. } | ActionKind::Hook { .. })),
                "{decision:?}"
            );
        }
        let kill = self.kill.take();
        if kill == Some(Kill::Decided) {
            return self.restart(true);
        }
        if urgent > 0 && !self.forgetful {
            assert!(decision.dirty, "not to be saved: {decision:?}");
            self.noted = Some(self.engine.memory().interruptions.clone());
        }
        if kill == Some(Kill::Noted) {
            return self.restart(true);
        }
        for request in decision.actions.iter().filter(|request| request.kind.is_urgent()) {
            if let ActionKind::Drain(order) = &request.kind
                && !order.undo
            {
                let alert = self.engine.alert(&order.alert).unwrap();
                let place = (order.alert.clone(), alert.seen.wall_ms, order.index);
                assert!(self.started.insert(place), "started twice: {order:?}");
                self.running.push(request.key);
            }
        }
        if kill == Some(Kill::Started) {
            return self.restart(true);
        }
        for event in &decision.events {
            if let Event::AlertOver { alert, .. } = event {
                self.over.push(alert.clone());
            }
        }
        if decision.dirty {
            self.saved = self.engine.memory().clone();
            self.boot.1 = self.boot.0;
            self.noted = None;
        }
        if kill == Some(Kill::Saved) {
            return self.restart(true);
        }
        // What was lost with a killed agent never was.
        self.check_alerts();
        let rest = decision.actions.iter().filter(|request| !request.kind.is_urgent());
        self.asked.extend(rest.map(|request| request.key));
    }

    /// Limits, and deadlines that only move earlier.
    fn check_alerts(&mut self) {
        let interruptions = &self.engine.memory().interruptions;
        assert!(interruptions.alerts.len() <= 32 && interruptions.past.len() <= 16);
        assert!(interruptions.closed.len() <= 64);
        for alert in &interruptions.alerts {
            let moves = matches!(alert.notice, Notice::Spot { .. });
            let due = alert.due.filter(|_| moves).map_or(0, |due| due.wall_ms);
            let ends = alert.drain.as_ref();
            let ends = ends.map_or((u64::MAX, u64::MAX), |d| (d.end_at.boot_ms, d.kill_at.boot_ms));
            let fresh = (due, ends.0, ends.1);
            let place = (alert.id.clone(), alert.seen.wall_ms);
            if let Some(known) = self.deadlines.insert(place, fresh) {
                let later = fresh.0 > known.0 || fresh.1 > known.1 || fresh.2 > known.2;
                assert!(!later, "a deadline moved later: {known:?} {alert:?}");
            }
        }
    }

    /// The agent begins anew with what it finds.
    fn restart(&mut self, same_boot: bool) {
        self.now = self.now.after(core::time::Duration::from_millis(200));
        let mut memory = self.saved.clone();
        let noted = self.noted.take().filter(|_| same_boot);
        if let Some(noted) = noted {
            memory.interruptions = noted.clone();
            self.noted = Some(noted);
        }
        if !same_boot {
            self.deadlines.clear();
            self.boot.0 += 1;
            self.now = Stamp::new(5000, 0, self.now.wall_ms + 60_000);
        }
        self.running.clear();
        self.asked.clear();
        let same_boot = self.boot.0 == self.boot.1 || self.noted.is_some();
        let recovery = Recovery { memory: Some(memory), same_boot, clock: None };
        self.engine = Engine::new(self.policy.clone(), recovery, self.now);
        self.step(Input::Tick);
    }

    fn happen(&mut self, happens: Happens) {
        match happens {
            Happens::Notice(noticed) => self.step(Input::Noticed(noticed)),
            Happens::Ends(n, ok) => self.finished(n, ok, true),
            Happens::Answers(n, ok) => self.finished(n, ok, false),
            Happens::Withdrawn => {
                let alerts = &self.engine.memory().interruptions.alerts;
                let event = alerts.iter().find(|a| matches!(a.notice, Notice::Maintenance { .. }));
                let id = event.map_or_else(String::new, |alert| alert.id.clone());
                self.step(Input::Withdrawn { id, because: "canceled".into() });
            }
            Happens::Drill(in_ms) => {
                self.command(Command::Drill { action: SpotAction::Stop, in_ms });
            }
            Happens::Stop => self.command(Command::Act { power: Power::Stop, dry_run: false }),
            Happens::Killed(kill) => self.kill = Some(kill),
            Happens::Boots => self.restart(false),
            Happens::Resumes => {
                self.now.asleep_ms += 50_000;
                self.now = self.now.after(core::time::Duration::from_secs(50));
                self.step(Input::Resumed);
            }
            Happens::Time => self.step(Input::Tick),
        }
    }

    fn command(&mut self, command: Command) {
        let actor = Actor { uid: 0, admin: true, name: "root".into() };
        self.step(Input::Command { actor, command });
    }

    fn finished(&mut self, n: usize, ok: bool, hook: bool) {
        let keys = if hook { &mut self.running } else { &mut self.asked };
        if keys.is_empty() {
            return;
        }
        let key = keys.remove(n % keys.len());
        let outcome = if ok {
            Outcome::Done { detail: "fine".into() }
        } else {
            Outcome::Failed { error: "no".into(), retry: Retry::After { ms: 500 } }
        };
        self.step(Input::Finished { key, outcome });
    }
}

fn noticed() -> impl Strategy<Value = Noticed> {
    let action = prop_oneof![
        Just(SpotAction::Terminate),
        Just(SpotAction::Stop),
        Just(SpotAction::Hibernate)
    ];
    let left = prop_oneof![
        6 => -10_000_i64..130_000,
        2 => -700_000_i64..4_000_000,
        1 => any::<i64>(),
    ];
    let spot = (action, left.clone(), any::<i32>()).prop_map(|(action, left_ms, shift)| {
        let wall_ms = 1_800_000_120_000_i64.saturating_add(left_ms).saturating_add(shift.into());
        let due = Some(Due { wall_ms, left_ms });
        Noticed { notice: Notice::Spot { action }, due, own_clock: false }
    });
    let event = (0..3, 0..40_i64, left).prop_map(|(name, minute, left_ms)| {
        let not_before_wall_ms = 1_800_000_000_000 + minute * 60_000;
        let notice = Notice::Maintenance {
            event: format!("instance-event-{name}"),
            code: EventCode::SystemReboot,
            description: String::new(),
            not_before_wall_ms,
        };
        let due = Some(Due { wall_ms: not_before_wall_ms, left_ms });
        Noticed { notice, due, own_clock: true }
    });
    let other = |notice| Noticed { notice, due: None, own_clock: false };
    prop_oneof![
        5 => spot,
        2 => event,
        1 => (0_i64..200).prop_map(move |said| other(Notice::Rebalance { said_wall_ms: said })),
        2 => (0_usize..8).prop_map(move |n| other(Notice::AutoScaling { target: TargetState::ALL[n] })),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => noticed().prop_map(Happens::Notice),
        6 => (0_usize..3, any::<bool>()).prop_map(|(n, ok)| Happens::Ends(n, ok)),
        4 => (0_usize..3, any::<bool>()).prop_map(|(n, ok)| Happens::Answers(n, ok)),
        1 => Just(Happens::Withdrawn),
        1 => (1_000_u64..200_000).prop_map(Happens::Drill),
        1 => Just(Happens::Stop),
        3 => (0_usize..4).prop_map(|n| Happens::Killed(KILLS[n])),
        1 => Just(Happens::Boots),
        1 => Just(Happens::Resumes),
        6 => Just(Happens::Time),
    ]
}

proptest! {
    #[test]
    fn no_story_of_notices_and_crashes_breaks_the_rules(
        story in vec((prop_oneof![9 => 0_u64..9_000, 1 => 0_u64..900_000], happens()), 1..80),
    ) {
        let mut world = World::new();
        for (ms, happens) in story {
            world.now = world.now.after(core::time::Duration::from_millis(ms));
            world.happen(happens);
        }
    }
}

/// The step in which the agent begins on the next boot.
const AT_BOOT: usize = usize::MAX;

/// A notice, its hooks, a restart of the machine; killed in the n-th step. The number of steps that there were.
fn killed_in(step: usize, kill: Kill, seed: u64) -> usize {
    play(World::new(), step, kill, seed)
}

fn play(mut world: World, step: usize, kill: Kill, seed: u64) -> usize {
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = |most: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % most
    };
    let due = world.now.after(core::time::Duration::from_millis(90_000 + roll(40_000)));
    let mut steps = 0;
    while world.now.boot_ms + 25_000 < due.boot_ms && steps < 60 {
        world.now = world.now.after(core::time::Duration::from_millis(1 + roll(2500)));
        let left_ms = i64::try_from(due.boot_ms.saturating_sub(world.now.boot_ms)).unwrap();
        let due = Some(Due { wall_ms: due.wall_ms, left_ms });
        let notice = Notice::Spot { action: SpotAction::Stop };
        let noticed = Noticed { notice, due, own_clock: false };
        let happens = match steps {
            0 => Happens::Notice(noticed),
            _ => match roll(5) {
                0 | 1 => Happens::Notice(noticed),
                2 => Happens::Ends(0, roll(2) == 0),
                3 => Happens::Answers(0, true),
                _ => Happens::Time,
            },
        };
        if steps == step {
            world.kill = Some(kill);
        }
        world.happen(happens);
        steps += 1;
    }
    let noticed = Noticed {
        notice: Notice::Spot { action: SpotAction::Stop },
        due: Some(Due { wall_ms: due.wall_ms, left_ms: 25_000 }),
        own_clock: false,
    };
    world.happen(Happens::Notice(noticed));
    if step == AT_BOOT {
        world.kill = Some(kill);
    }
    world.restart(false);
    let first = world.started.iter().filter(|(.., index)| *index == 0).count();
    assert!(first <= 1, "the first hook of one notice started twice");
    assert!(world.over.iter().any(|id| id == "spot-stop"), "the report is lost");
    steps
}

#[test]
fn killed_at_any_step_a_hook_starts_at_most_once_and_the_report_is_not_lost() {
    for seed in 0..50 {
        for step in (0..24).chain([AT_BOOT]) {
            for kill in KILLS {
                assert!(killed_in(step, kill, seed) > 24, "so many steps were to be killed");
            }
        }
    }
}

#[test]
#[should_panic(expected = "started twice")]
fn without_the_note_of_the_alerts_a_hook_is_seen_to_start_twice() {
    let mut world = World::new();
    world.forgetful = true;
    play(world, 0, Kill::Started, 1);
}
