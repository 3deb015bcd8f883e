//! The shell around the engine, as agentd has it, with crashes between any two effects; and EC2 behind it.

use std::time::Duration;

use agent_core::action::{
    ActionKind, ActionRequest, InstanceState, Key, Outcome, Power, Refusal, Retry,
};
use agent_core::engine::Engine;
use agent_core::input::{Abilities, Ability, Actor, Command, Input, Reply};
use agent_core::interruption::InterruptionPolicy;
use agent_core::memory::{HookState, IdleClock, Memory, Origin, Recovery};
use agent_core::policy::{Combine, HoldPolicy, IdlePolicy, Mode, Policy, SourcePolicy, TagPolicy};
use agent_core::reading::{Observation, Reading, Signal, SourceName, Stretch, Value};
use agent_core::stamp::Stamp;

use super::machine::{
    CPU, GPU, HOUR, INPUT, MINUTE, Machine, NETWORK, PACKAGES, SECOND, SENSORS, SESSIONS, Sight,
};
use super::plant::Plant;
use super::truth::{Truth, Violation};

/// What one world came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Story {
    pub steps: u64,
    pub calls: u64,
    pub idle_calls: u64,
    pub crashes: u64,
    pub hibernations: u64,
    pub boots: u64,
}

impl Story {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.calls += other.calls;
        self.idle_calls += other.idle_calls;
        self.crashes += other.crashes;
        self.hibernations += other.hibernations;
        self.boots += other.boots;
    }
}

/// A call of EC2 that is under way in the world.
#[derive(Clone, Copy, Debug)]
struct Call {
    power: Power,
    applied_at: u64,
    down_at: u64,
}

/// What is on disk.
#[derive(Debug, Default)]
struct Disk {
    memory: Option<Memory>,
    boot_id: u64,
    clock: Option<IdleClock>,
}

/// The whole: machine, agent, EC2, and the truth beside them.
#[derive(Debug)]
pub struct World {
    machine: Machine,
    truth: Truth,
    plant: Option<Plant>,
    policy: Policy,
    interval: u64,
    engine: Option<Engine>,
    disk: Disk,
    wake_at: u64,
    start_at: u64,
    replies: Vec<(u64, Input)>,
    hook_reply: Option<Key>,
    call: Option<Call>,
    abilities: Abilities,
    names: [SourceName; 7],
    cache: Vec<Observation>,
    violation: Option<Violation>,
    story: Story,
    told: bool,
}

fn policy(interval: u64, machine: &mut Machine) -> Policy {
    let dice = &mut machine.dice;
    let minutes = |n: u64| Duration::from_millis(n * MINUTE);
    let source = |name: &'static str| {
        let (busy_above, scale) = match name {
            "cpu" => (0.05, 1e-6),
            "gpu" => (1.0, 1.0),
            "network" => (5000.0, 1.0),
            _ => (0.0, 1.0),
        };
        let policy = SourcePolicy {
            enabled: true,
            busy_above,
            unit: String::new(),
            scale,
            average: Duration::from_millis(interval),
            interval: Duration::from_millis(interval),
            combine: Combine::Sum,
            limits: None,
        };
        (SourceName::new(name), policy)
    };
    Policy {
        mode: if dice.chance(900_000) { Mode::Enforce } else { Mode::Observe },
        profile: "simulated".to_owned(),
        gap: Duration::from_millis(6 * interval),
        idle: IdlePolicy {
            enabled: true,
            quiet_after: minutes(5),
            act_after: minutes(dice.pick(&[30, 60, 120])),
            connected_after: Duration::from_hours(1),
            job_after: Duration::from_hours(4),
            least_run: Duration::ZERO,
            action: Some(dice.pick(&[Power::Hibernate, Power::Hibernate, Power::Stop])),
            fallback_stop: dice.chance(500_000),
            warn_before: dice
                .pick(&[&[10, 5, 1][..], &[2][..], &[][..]])
                .iter()
                .map(|n| minutes(*n))
                .collect(),
            boot_grace: minutes(15),
            resume_grace: minutes(15),
            hook: dice.chance(600_000),
            standby: false,
            verify_after: minutes(5),
        },
        hold: HoldPolicy { user_max: minutes(240), admin_max: minutes(600) },
        tags: TagPolicy { enabled: true, interval: minutes(1) },
        interruption: InterruptionPolicy::default(),
        sources: SENSORS.map(source).into_iter().collect(),
    }
}

impl World {
    pub fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut machine = Machine::new(seed);
        let interval = machine.dice.pick(&[2, 5, 10]) * MINUTE;
        let policy = policy(interval, &mut machine);
        let able = Abilities {
            instance_id: Some("i-0123456789abcdef0".to_owned()),
            hibernate: Ability::Can,
            stop: Ability::Can,
            member: false,
        };
        Self {
            truth: Truth::new(interval, 6 * interval),
            machine,
            plant,
            policy,
            interval,
            engine: None,
            disk: Disk::default(),
            wake_at: u64::MAX,
            start_at: 0,
            replies: Vec::new(),
            hook_reply: None,
            call: None,
            abilities: able,
            names: SENSORS.map(SourceName::new),
            cache: Vec::new(),
            violation: None,
            story: Story::default(),
            told: false,
        }
    }

    /// Prints every decision that says or does something.
    pub fn told(mut self) -> Self {
        self.told = true;
        self
    }

    /// Lives for so many days; the first broken invariant ends it.
    pub fn live(mut self, days: u64) -> Result<Story, Violation> {
        let end = days * 24 * HOUR;
        let mut round = 0;
        while self.machine.now < end {
            let reply = self.replies.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
            let down = self.call.map_or(u64::MAX, |call| call.down_at);
            let (wake, start) = match self.engine {
                Some(_) => (self.wake_at.max(self.machine.now + 1), u64::MAX),
                None => (u64::MAX, self.start_at),
            };
            let next = reply.min(down).min(wake).min(start).min(round).max(self.machine.now);
            self.machine.pass_to(next);
            self.truth.pass_to(next);
            if down <= next {
                self.go_down();
                round = self.machine.now + self.interval;
            } else if start <= next {
                self.start();
            } else if reply <= next {
                self.answer(next);
            } else if round <= next {
                self.one_round();
                // Rounds are not in step with the spans of the policy.
                let early = self.machine.dice.between(0, self.interval / 5);
                round = self.machine.now + self.interval - early;
            } else {
                self.step(Input::Tick);
            }
            if let Some(violation) = self.violation.take() {
                return Err(Violation {
                    what: format!("{} ({})", violation.what, self.truth.describe()),
                    ..violation
                });
            }
        }
        self.story.calls = self.truth.calls;
        self.story.idle_calls = self.truth.idle_calls;
        Ok(self.story)
    }

    fn one_round(&mut self) {
        self.machine.live(self.interval);
        let temper = self.machine.temper;
        if self.machine.dice.chance(temper.suspend) {
            let span = self.machine.dice.between(MINUTE, 14 * HOUR);
            self.sleep(span);
        }
        if self.machine.dice.chance(temper.stall) {
            self.stall();
        }
        if self.machine.dice.chance(temper.reload) {
            self.reload();
        }
        if self.machine.dice.chance(temper.operator) {
            self.command();
        }
        if self.machine.dice.chance(temper.memory_lost) {
            self.disk.memory = None;
            self.truth.forget_promises();
        }
        self.read_all();
        self.save_clock();
        if !self.machine.sees_all() || self.machine.disk_is_full() || !self.is_able() {
            self.truth.calm_from = self.machine.now;
        }
        let doublings = self.engine.as_ref().map_or(0, |engine| {
            let looping = engine.view(self.stamp()).obstacles.iter().any(|o| o.code == "loop");
            engine.memory().failures.min(3) + u32::from(looping)
        });
        self.check(|truth, policy| truth.is_live(doublings, policy));
    }

    /// Nothing but the world's own faults may be to blame when nothing is done.
    fn is_able(&self) -> bool {
        let Some(engine) = &self.engine else { return false };
        let memory = engine.memory();
        self.policy.mode == Mode::Enforce
            && memory.refusals.is_empty()
            && memory.holds.pids().next().is_none()
            && engine.view(self.stamp()).holds.is_empty()
            && self.call.is_none()
    }

    fn check(&mut self, test: impl FnOnce(&mut Truth, &Policy) -> Result<(), Violation>) {
        if let Err(violation) = test(&mut self.truth, &self.policy) {
            self.violation.get_or_insert(violation);
        }
    }

    fn stamp(&self) -> Stamp {
        let (mut boot, mut asleep) = (self.machine.boot_ms(), self.machine.asleep_ms());
        if self.plant == Some(Plant::ClockThatSleeps) {
            (boot, asleep) = (boot - asleep, 0);
        }
        Stamp::new(boot, asleep, self.machine.wall_ms())
    }

    fn read_all(&mut self) {
        for sensor in 0..SENSORS.len() {
            if self.engine.is_none() {
                return;
            }
            self.truth.read(sensor, &self.machine);
            let Some(reading) = self.reading(sensor) else { continue };
            let observation = Observation { source: self.names[sensor].clone(), reading };
            if self.plant == Some(Plant::StaleRecheck) {
                self.cache.retain(|o| o.source != observation.source);
                self.cache.push(observation.clone());
            }
            self.step(Input::Observed(observation));
        }
    }

    fn reading(&self, sensor: usize) -> Option<Reading> {
        match self.machine.sees(sensor) {
            Sight::Silent => return None,
            Sight::Blind if self.plant == Some(Plant::BlindIsNothing) => {
                return Some(Reading::Signals(Vec::new()));
            }
            Sight::Blind => return Some(Reading::blind("input/output error")),
            Sight::Good => {}
        }
        let one = |subject: &str, value| Reading::Signals(vec![Signal::new(subject, value)]);
        Some(match sensor {
            CPU => one("user.slice", Value::Counter { total: self.machine.cpu_us() }),
            NETWORK => one("payload", Value::Counter { total: self.machine.net_bytes() }),
            GPU => match self.machine.gpu() {
                Some(percent) => one("gpu0", Value::Level { value: f64::from(percent) }),
                None => Reading::absent("no device"),
            },
            INPUT => one("pts/0", Value::Mark { mark: self.machine.mark, age_ms: None }),
            SESSIONS if self.machine.is_present() && self.plant != Some(Plant::PresenceIgnored) => {
                one("pts/0", Value::Stretches { by: Stretch::Job })
            }
            PACKAGES if self.machine.is_blocked() => {
                one("dpkg", Value::Blocks { cap_ms: super::BLOCK_CAP })
            }
            _ => Reading::Signals(Vec::new()),
        })
    }

    /// The agent may be killed here; more often where something is at stake. True when it does not run (any more).
    fn crash_near(&mut self, stake: bool) -> bool {
        let times = self.machine.temper.crash * if stake { 30 } else { 1 };
        if self.engine.is_none() || !self.machine.dice.chance(times) {
            return self.engine.is_none();
        }
        self.kill();
        true
    }

    fn crash(&mut self) -> bool {
        self.crash_near(false)
    }

    fn kill(&mut self) {
        self.story.crashes += 1;
        self.engine = None;
        self.replies.clear();
        self.hook_reply = None;
        self.truth.agent_died();
        let away = self.machine.dice.pick(&[2 * SECOND, 30 * SECOND, 20 * MINUTE]);
        self.start_at = self.machine.now + away;
    }

    fn start(&mut self) {
        let mut memory = self.disk.memory.clone();
        if self.plant == Some(Plant::HookForgotten)
            && let Some(intent) = memory.as_mut().and_then(|m| m.intent.as_mut())
            && intent.hook == HookState::Started
        {
            intent.hook = HookState::NotStarted;
        }
        let same_boot = self.disk.boot_id == self.machine.boot_id;
        let recovery = Recovery { memory, same_boot, clock: self.disk.clock.clone() };
        if self.disk.memory.is_none() {
            self.truth.forget_promises();
        }
        self.engine = Some(Engine::new(self.policy.clone(), recovery, self.stamp()));
        self.truth.agent_runs = true;
        self.step(Input::Tick);
    }

    fn save_clock(&mut self) {
        if !self.crash() {
            self.keep_clock();
        }
    }

    fn keep_clock(&mut self) {
        if let Some(engine) = &self.engine {
            self.disk.clock = Some(engine.idle_clock());
            self.truth.clock_saved();
        }
    }

    fn save_memory(&mut self) -> bool {
        if self.machine.disk_is_full() {
            return false;
        }
        if (self.plant != Some(Plant::SavedOnce) || self.disk.memory.is_none())
            && let Some(engine) = &self.engine
        {
            self.disk.memory = Some(engine.memory().clone());
            self.disk.boot_id = self.machine.boot_id;
        }
        true
    }

    /// One step of the engine and all of its effects.
    fn step(&mut self, input: Input) -> Option<Reply> {
        let now = self.stamp();
        let engine = self.engine.as_mut()?;
        let decision = engine.step(now, input);
        self.story.steps += 1;
        if self.told && (!decision.events.is_empty() || !decision.actions.is_empty()) {
            let at = self.machine.now / 1000;
            println!("{at} s {:?}: {:?} {:?}", decision.stage, decision.events, decision.actions);
        }
        self.wake_at = self.machine.now + decision.wake_at.boot_ms.saturating_sub(now.boot_ms);
        if decision.wake_at.boot_ms <= now.boot_ms {
            let what = "asked to be called in the past".to_owned();
            let at = self.machine.now;
            self.violation.get_or_insert(Violation { at, invariant: "wake", what });
        }
        let late = self.plant == Some(Plant::SavedTooLate);
        let mut saved = true;
        if decision.dirty && !late {
            // The clock first: a memory that is newer than it could be followed by idleness that was ended since.
            if self.crash_near(true) {
                return None;
            }
            self.keep_clock();
            if self.crash_near(true) {
                return None;
            }
            saved = self.save_memory();
        }
        for request in decision.actions {
            if self.crash_near(decision.dirty) {
                return None;
            }
            let unsaid = self.plant == Some(Plant::SilentWarnings)
                && matches!(request.kind, ActionKind::Warn(_));
            if !unsaid {
                self.check(|truth, policy| truth.requested(&request.kind, policy));
            }
            self.carry_out(request, saved);
        }
        if decision.dirty && late && !self.crash() {
            self.save_memory();
        }
        if !saved && matches!(decision.reply, Some(Reply::Held { .. })) {
            // Not durable: the promise ends with the agent.
            return None;
        }
        decision.reply
    }

    fn carry_out(&mut self, request: ActionRequest, saved: bool) {
        let ActionRequest { key, kind } = request;
        if kind.is_destructive() && !saved && self.plant != Some(Plant::SavedOnce) {
            let error = "state could not be saved".to_owned();
            self.step(finished(key, Outcome::Failed { error, retry: Retry::Never }));
            return;
        }
        match kind {
            ActionKind::Reread => {
                // The last moment at which somebody may come.
                if self.machine.dice.chance(20_000) {
                    self.machine.type_now();
                }
                self.truth.looks_again(&self.machine);
                if self.plant == Some(Plant::StaleRecheck) {
                    self.reread_from_cache();
                } else {
                    self.read_all();
                }
                self.step(finished(key, done()));
            }
            ActionKind::Hook { .. } => self.hook(key),
            ActionKind::Power { power } => self.call_ec2(key, power),
            ActionKind::Describe => {
                let lag = self.machine.dice.between(0, 15 * SECOND);
                let applied = self.call.is_some_and(|c| c.applied_at + lag <= self.machine.now);
                let state = if applied { InstanceState::Stopping } else { InstanceState::Running };
                self.later(300, Input::Described { key, state });
            }
            ActionKind::Preflight => {
                self.later(500, Input::Abilities(self.abilities.clone()));
                self.later(501, finished(key, done()));
            }
            ActionKind::Tag(_) => {
                let outcome = if self.trouble() { throttled() } else { done() };
                self.later(700, finished(key, outcome));
            }
            ActionKind::Warn(warning) => {
                // Some people answer a warning by pressing a key, and some do so in the last seconds.
                if self.machine.dice.chance(300_000) {
                    self.machine.type_within(11 * MINUTE);
                } else if self.machine.dice.chance(150_000) {
                    let late = self.machine.dice.between(0, 12 * SECOND);
                    self.machine.type_after(warning.in_ms.saturating_sub(late));
                }
                self.later(10, finished(key, done()));
            }
            _ => self.later(10, finished(key, done())),
        }
    }

    /// Fresh stamps on old readings: the sources themselves are not looked at.
    fn reread_from_cache(&mut self) {
        for sensor in 0..SENSORS.len() {
            let cached = self.cache.iter().find(|o| o.source == self.names[sensor]).cloned();
            if let Some(observation) = cached {
                self.step(Input::Observed(observation));
            }
        }
    }

    fn trouble(&mut self) -> bool {
        let times = self.machine.temper.ec2;
        self.machine.dice.chance(times)
    }

    fn origin(&self) -> Option<Origin> {
        self.engine.as_ref()?.memory().intent.as_ref().map(|intent| intent.origin)
    }

    fn hook(&mut self, key: Key) {
        let takes = self.machine.dice.between(SECOND, 4 * MINUTE);
        let by_operator = self.origin() == Some(Origin::Operator);
        self.check(|truth, policy| truth.hook_started(takes, by_operator, policy));
        let fails = self.machine.temper.ec2 > 0 && self.machine.dice.chance(100_000);
        let failed = Outcome::Failed { error: "exit status 1".to_owned(), retry: Retry::Never };
        self.hook_reply = Some(key);
        self.later(takes, finished(key, if fails { failed } else { done() }));
    }

    /// `StopInstances`.
    fn call_ec2(&mut self, key: Key, power: Power) {
        let now = self.machine.now;
        let by_operator = self.origin() == Some(Origin::Operator);
        let in_effect = self.call.is_some();
        let Self { truth, machine, policy, violation, .. } = self;
        if let Err(broken) = truth.called(by_operator, in_effect, machine, policy) {
            violation.get_or_insert(broken);
        }
        let delay = self.machine.dice.between(SECOND, 5 * SECOND);
        let down = self.machine.dice.between(10 * SECOND, 2 * MINUTE);
        let applied = Some(Call { power, applied_at: now + delay, down_at: now + delay + down });
        let refusal = |hibernation_only| {
            let (code, detail) = ("refused".to_owned(), "EC2 says no".to_owned());
            Outcome::Refused(Refusal { code, detail, hibernation_only })
        };
        let lost = || Outcome::Failed { error: "no answer".to_owned(), retry: Retry::InDoubt };
        let kind = if self.trouble() { self.machine.dice.between(1, 8) } else { 0 };
        let (call, outcome, pause) = match kind {
            0 => (applied, done(), delay),
            1 => (None, throttled(), SECOND),
            2 => (applied, lost(), 30 * SECOND),
            3 => (None, lost(), 30 * SECOND),
            4 => (None, refusal(power == Power::Hibernate), SECOND),
            5 => (None, refusal(false), SECOND),
            6 => (None, done(), SECOND),
            _ => {
                let error = "not ready".to_owned();
                let retry = Retry::NotReady { ms: 60_000 };
                (None, Outcome::Failed { error, retry }, SECOND)
            }
        };
        let outcome = match (self.plant, outcome) {
            (Some(Plant::LostIsFailed), Outcome::Failed { retry: Retry::InDoubt, .. }) => {
                throttled()
            }
            (_, outcome) => outcome,
        };
        self.call = self.call.or(call);
        self.later(pause, finished(key, outcome));
    }

    fn answer(&mut self, now: u64) {
        let Some(at) = self.replies.iter().position(|(at, _)| *at <= now) else { return };
        let (_, input) = self.replies.remove(at);
        if let Input::Finished { key, .. } = &input
            && self.hook_reply == Some(*key)
        {
            self.hook_reply = None;
            self.truth.rebase();
        }
        self.step(input);
    }

    fn later(&mut self, ms: u64, input: Input) {
        if self.engine.is_some() {
            self.replies.push((self.machine.now + ms, input));
        }
    }

    /// The call took effect: the machine goes down, and comes back some day.
    fn go_down(&mut self) {
        let Some(call) = self.call.take() else { return };
        let off = self.machine.dice.between(MINUTE, 16 * HOUR);
        if call.power == Power::Hibernate && !self.machine.dice.chance(100_000) {
            self.story.hibernations += 1;
            self.sleep(off);
        } else {
            self.story.boots += 1;
            self.engine = None;
            self.replies.clear();
            self.hook_reply = None;
            self.machine.boot(off);
            self.truth.away(self.machine.now, true);
            self.disk.clock = None;
            self.start_at = self.machine.now;
        }
    }

    fn sleep(&mut self, span: u64) {
        self.machine.sleep(span);
        self.truth.away(self.machine.now, false);
        if self.machine.dice.chance(500_000) && self.plant != Some(Plant::ClockThatSleeps) {
            self.later(SECOND, Input::Resumed);
        }
    }

    /// Nobody runs for a while: a frozen process, a stopped hypervisor.
    fn stall(&mut self) {
        let span = self.machine.dice.between(SECOND, 4 * 6 * self.interval);
        let now = self.machine.now + span;
        self.machine.pass_to(now);
        self.truth.pass_to(now);
        self.truth.calm_from = now;
        if span > 6 * self.interval {
            self.truth.away(now, false);
        }
    }

    fn reload(&mut self) {
        let mut new = policy(self.interval, &mut self.machine);
        new.idle.warn_before.clone_from(&self.policy.idle.warn_before);
        self.policy = new;
        self.truth.calm_from = self.machine.now;
        if self.plant != Some(Plant::PolicyIgnored) {
            let policy = Box::new(self.policy.clone());
            self.step(Input::PolicyChanged(policy));
        }
    }

    fn command(&mut self) {
        let admin = self.machine.dice.chance(500_000);
        let actor = Actor { uid: if admin { 0 } else { 1000 }, admin, name: "someone".to_owned() };
        let for_ms = self.machine.dice.between(10 * MINUTE, 8 * HOUR);
        let most = if admin { 600 * MINUTE } else { 240 * MINUTE };
        let command = match self.machine.dice.between(0, 6) {
            0..=2 => Command::Hold { for_ms, reason: "work".to_owned(), pid: None },
            3 => {
                self.truth.released();
                Command::Release { hold: None }
            }
            4 => Command::Act { power: Power::Stop, dry_run: true },
            _ => Command::Act { power: Power::Hibernate, dry_run: false },
        };
        let ask = matches!(command, Command::Act { dry_run: false, .. });
        if self.plant == Some(Plant::HoldsIgnored) && matches!(command, Command::Hold { .. }) {
            self.truth.promise(0, for_ms.min(most), &self.machine);
            return;
        }
        if ask {
            // Noted before, for the hook may start within the step; a denied one changes nothing.
            self.truth.operator_asked();
        }
        if let Some(Reply::Held { hold, .. }) = self.step(Input::Command { actor, command }) {
            self.truth.promise(hold, for_ms.min(most), &self.machine);
        }
    }
}

fn finished(key: Key, outcome: Outcome) -> Input {
    Input::Finished { key, outcome }
}

fn done() -> Outcome {
    Outcome::Done { detail: String::new() }
}

fn throttled() -> Outcome {
    let error = "throttled".to_owned();
    Outcome::Failed { error, retry: Retry::After { ms: 2000 } }
}

/// The days that `seed` is lived for, so that a run of many seeds meets short and long lives.
pub fn days_of(seed: u64) -> u64 {
    1 + seed % 7
}
