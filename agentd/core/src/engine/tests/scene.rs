//! A small machine in virtual time around the engine, told what happens by lines of text.
//!
//! It does what the shell does: it reads the sources, saves what is dirty before anything destructive runs, carries
//! actions out and hands their outcomes back. On every step it checks what must always hold.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::action::{
    ActionKind, ActionRequest, InstanceState, Key, Outcome, Power, Refusal, Retry,
};
use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::{Abilities, Ability, Actor, Command, Denial, Input, Reply, Wishes};
use crate::interruption::{
    AlertEnd, Due, EventCode, GroupCall, HookOrder, InterruptionPolicy, Notice, Noticed, Reaction,
    RunState, SpotAction, TargetState,
};
use crate::memory::{IdleClock, Memory, Recovery};
use crate::policy::{Combine, HoldPolicy, IdlePolicy, Mode, Policy, SourcePolicy, TagPolicy};
use crate::reading::{Observation, Reading, Signal, SourceName, Stretch, Value};
use crate::reason::Event;
use crate::stamp::Stamp;
use crate::window::to_f64;

/// How often the sources are read, and the unit of what is late.
pub(super) const TICK_MS: u64 = 10_000;
/// Wall time of boot.
const WALL: i64 = 1_800_000_000_000;

/// The policy that a scene starts with.
pub(super) fn policy() -> Policy {
    let source = |busy_above: f64, unit: &str, scale: f64| SourcePolicy {
        enabled: true,
        busy_above,
        unit: unit.to_owned(),
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
            fallback_stop: false,
            warn_before: [10, 5, 1].map(Duration::from_mins).to_vec(),
            boot_grace: Duration::ZERO,
            resume_grace: Duration::from_mins(15),
            hook: false,
            standby: false,
            verify_after: Duration::from_mins(5),
        },
        hold: HoldPolicy { user_max: Duration::from_hours(8), admin_max: Duration::from_hours(72) },
        tags: TagPolicy { enabled: true, interval: Duration::from_mins(1) },
        interruption: InterruptionPolicy::default(),
        sources: BTreeMap::from([
            (SourceName::new("cpu"), source(0.05, "core", 1e-6)),
            (SourceName::new("gpu"), source(1.0, "%", 1.0)),
            (SourceName::new("input"), source(0.0, "", 1.0)),
            (SourceName::new("packages"), source(0.0, "", 1.0)),
        ]),
    }
}

/// Both actions are possible on a known instance.
pub(super) fn able() -> Abilities {
    Abilities {
        instance_id: Some("i-0123456789abcdef0".to_owned()),
        hibernate: Ability::Can,
        stop: Ability::Can,
        member: false,
    }
}

/// "40:00" or "1h30m", "90s", "500ms" in milliseconds.
pub(super) fn time(text: &str) -> u64 {
    if let Some((minutes, seconds)) = text.split_once(':') {
        return minutes.parse::<u64>().unwrap() * 60_000 + seconds.parse::<u64>().unwrap() * 1000;
    }
    let mut ms = 0;
    let mut number = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[1..];
        let unit = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            'm' if rest.starts_with('s') => {
                rest = &rest[1..];
                1
            }
            's' => 1000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => panic!("no time: {text}"),
        };
        ms += number.parse::<u64>().unwrap() * unit;
        number.clear();
    }
    assert!(number.is_empty(), "no unit: {text}");
    ms
}

/// When, within a call of the engine, the agent is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Before,
    After,
}

/// What EC2 does with the next call.
#[derive(Clone, Debug)]
enum Answer {
    Outcome(Outcome),
    /// The answer is lost; whether the call was carried out.
    Lost(bool),
}

/// One life of the agent, recorded for replay.
#[derive(Debug)]
struct Life {
    engine: Engine,
    inputs: Vec<(Stamp, Input, Decision)>,
}

/// The machine.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the machine")]
pub(super) struct Scene {
    pub(super) engine: Option<Engine>,
    pub(super) policy: Policy,
    lives: Vec<Life>,
    now_ms: u64,
    asleep_ms: u64,
    wall_shift: i64,
    wake_ms: u64,
    // The world.
    load: f64,
    ignored_load: f64,
    cpu_us: f64,
    counted_to: u64,
    ptys: BTreeMap<String, u64>,
    gpu: Option<f64>,
    blocks: BTreeMap<String, u64>,
    sessions: BTreeMap<String, Stretch>,
    blind: BTreeSet<String>,
    silent: BTreeSet<String>,
    // EC2 and the shell.
    abilities: Abilities,
    answers: VecDeque<Answer>,
    hook: Outcome,
    hook_takes: u64,
    drain_takes: u64,
    group_answers: VecDeque<Outcome>,
    /// So long, in milliseconds, the group takes to answer.
    group_takes: u64,
    state: InstanceState,
    replies: Vec<(u64, Input)>,
    disk_full: bool,
    memory: Option<String>,
    clock: Option<String>,
    same_boot: bool,
    crash: Option<(Moment, String, u64)>,
    start_at: Option<u64>,
    // What was seen.
    pub(super) trace: Vec<(u64, String)>,
    show_tags: bool,
    keys: BTreeSet<Key>,
    last_tag: Option<u64>,
    outstanding: Option<Key>,
    /// How long after it was asked for a call leaves the machine.
    leaves_ms: u64,
    /// The agent was shown a terminal.
    people: bool,
    /// The call that has not left yet, and when it does.
    leaving: Option<(Key, u64)>,
    warned_at: Option<u64>,
    pub(super) predictions: Vec<(u64, Option<u64>)>,
    disturbed_at: u64,
    /// The machine was booted again, so that moments no longer tell what came first.
    booted: bool,
}

impl Scene {
    pub(super) fn new(settings: &[&str]) -> Self {
        let mut scene = Self {
            engine: None,
            policy: policy(),
            lives: Vec::new(),
            now_ms: 0,
            asleep_ms: 0,
            wall_shift: 0,
            wake_ms: u64::MAX,
            load: 0.0,
            ignored_load: 0.0,
            cpu_us: 5e9,
            counted_to: 0,
            ptys: BTreeMap::from([("pts/0".to_owned(), 1)]),
            gpu: None,
            blocks: BTreeMap::new(),
            sessions: BTreeMap::new(),
            blind: BTreeSet::new(),
            silent: BTreeSet::new(),
            abilities: able(),
            answers: VecDeque::new(),
            hook: Outcome::Done { detail: "saved".to_owned() },
            hook_takes: 20_000,
            drain_takes: 5000,
            group_answers: VecDeque::new(),
            group_takes: 500,
            state: InstanceState::Stopping,
            replies: Vec::new(),
            disk_full: false,
            memory: None,
            clock: None,
            same_boot: true,
            crash: None,
            start_at: None,
            trace: Vec::new(),
            show_tags: false,
            keys: BTreeSet::new(),
            last_tag: None,
            outstanding: None,
            leaves_ms: 0,
            people: false,
            leaving: None,
            warned_at: None,
            predictions: Vec::new(),
            disturbed_at: 0,
            booted: false,
        };
        for line in settings {
            scene.happen(&line.split_whitespace().collect::<Vec<_>>());
        }
        scene.start();
        scene
    }

    pub(super) fn stamp(&self) -> Stamp {
        let wall = WALL + i64::try_from(self.now_ms).unwrap() + self.wall_shift;
        Stamp::new(self.now_ms, self.asleep_ms, wall)
    }

    /// Lets the time pass to `end_ms`, reading the sources every tick.
    pub(super) fn run_to(&mut self, end_ms: u64) {
        loop {
            let tick = (self.now_ms / TICK_MS + 1) * TICK_MS;
            let reply = self.replies.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
            let start = self.start_at.unwrap_or(u64::MAX);
            let wake = if self.engine.is_some() { self.wake_ms.max(self.now_ms + 1) } else { tick };
            let next = tick.min(reply).min(wake).min(start).max(self.now_ms);
            if next > end_ms {
                self.now_ms = self.now_ms.max(end_ms);
                return;
            }
            self.now_ms = next;
            if start <= next {
                self.start_at = None;
                self.start();
            }
            if reply <= next {
                let at = self.replies.iter().position(|(at, _)| *at <= next).unwrap();
                let (_, input) = self.replies.remove(at);
                if let Input::Finished { key, .. } = &input {
                    self.outstanding = self.outstanding.filter(|o| o != key);
                }
                self.step(input);
            } else if next == tick {
                self.read_all();
                self.save_clock();
            } else if next == wake {
                self.step(Input::Tick);
            }
        }
    }

    fn read_all(&mut self) {
        self.people |= !self.ptys.is_empty();
        let spent = self.now_ms.saturating_sub(self.counted_to);
        self.cpu_us += self.load * to_f64(spent) * 1000.0;
        self.counted_to = self.now_ms;
        for name in ["cpu", "gpu", "input", "packages", "sessions"] {
            let followed = self.policy.sources.contains_key(&SourceName::new(name));
            if self.silent.contains(name) || !followed {
                continue;
            }
            let reading = self.reading(name);
            let source = SourceName::new(name);
            self.step(Input::Observed(Observation { source, reading }));
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and positive"
    )]
    fn reading(&self, name: &str) -> Reading {
        if self.blind.contains(name) {
            return Reading::blind("input/output error");
        }
        match name {
            "cpu" => {
                let work = Value::Counter { total: self.cpu_us as u64 };
                let housekeeping = (self.ignored_load * to_f64(self.now_ms) * 1000.0) as u64;
                Reading::Signals(vec![
                    Signal::new("user.slice", work).owned_by("alice"),
                    Signal::new("system.slice", Value::Counter { total: housekeeping }).ignored(),
                ])
            }
            "gpu" => match self.gpu {
                Some(value) => Reading::Signals(vec![Signal::new("gpu0", Value::Level { value })]),
                None => Reading::absent("no NVIDIA device"),
            },
            "input" => Reading::Signals(
                self.ptys
                    .iter()
                    .map(|(pty, mark)| {
                        let value = Value::Mark { mark: *mark, age_ms: None };
                        Signal::new(pty.as_str(), value).owned_by("alice")
                    })
                    .collect(),
            ),
            "sessions" => Reading::Signals(
                self.sessions
                    .iter()
                    .map(|(terminal, by)| {
                        let value = Value::Stretches { by: *by };
                        Signal::new(terminal.as_str(), value).owned_by("alice")
                    })
                    .collect(),
            ),
            _ => Reading::Signals(
                self.blocks
                    .iter()
                    .map(|(what, cap_ms)| {
                        Signal::new(what.as_str(), Value::Blocks { cap_ms: *cap_ms })
                    })
                    .collect(),
            ),
        }
    }

    /// One step of the engine and what the shell does with it.
    pub(super) fn step(&mut self, input: Input) {
        let now = self.stamp();
        let Some(mut engine) = self.engine.take() else { return };
        let decision = engine.step(now, input.clone());
        self.always(now, &engine, &decision);
        if let Some(life) = self.lives.last_mut() {
            life.inputs.push((now, input, decision.clone()));
        }
        self.wake_ms = decision.wake_at.boot_ms;
        if decision.dirty {
            self.clock = Some(serde_json::to_string(&engine.idle_clock()).unwrap());
        }
        if decision.dirty && !self.disk_full {
            self.memory = Some(serde_json::to_string(engine.memory()).unwrap());
        }
        self.engine = Some(engine);
        for event in &decision.events {
            if let Some(line) = told(event) {
                self.note(line);
            }
        }
        if let Some(reply) = &decision.reply {
            self.note(answered(reply));
        }
        for request in decision.actions {
            if self.engine.is_none() {
                return;
            }
            self.carry_out(request);
        }
    }

    fn note(&mut self, line: String) {
        self.trace.push((self.now_ms, line));
    }

    /// What must hold after every step, whatever happened.
    fn always(&mut self, now: Stamp, engine: &Engine, decision: &Decision) {
        assert!(
            decision.wake_at.boot_ms > now.boot_ms,
            "asked to be called in the past: {decision:?}"
        );
        let before = engine.clone();
        let view = engine.view(now);
        assert_eq!(view, engine.view(now));
        assert!(*engine == before, "looking changed the engine");
        assert_eq!(view.stage, decision.stage);
        if engine.policy().mode == Mode::Observe {
            for request in &decision.actions {
                let quiet = matches!(
                    request.kind,
                    ActionKind::CallOff { .. }
                        | ActionKind::Withdraw { .. }
                        | ActionKind::Notify(_)
                );
                assert!(quiet, "only observing, yet it asked for {:?}", request.kind);
            }
        }
        // What has no known end is not foreseen; a hold and a grace have one.
        let endless = view.obstacles.iter().any(|o| o.until.is_none());
        if !endless {
            self.predictions.push((now.boot_ms, view.act_at.map(|at| at.boot_ms)));
        }
    }

    fn carry_out(&mut self, request: ActionRequest) {
        let ActionRequest { key, kind } = request;
        assert!(self.keys.insert(key), "key {key:?} was given twice");
        let name = kind.name();
        if self.crashes(Moment::Before, name) {
            return;
        }
        if kind.is_destructive() {
            assert_eq!(self.outstanding, None, "a second destructive action");
            if self.disk_full {
                let error = "the state could not be saved".to_owned();
                self.step(finished(key, Outcome::Failed { error, retry: Retry::Never }));
                return;
            }
            self.outstanding = Some(key);
        }
        match kind {
            ActionKind::Reread => {
                self.note("reread".to_owned());
                self.read_all();
                self.step(finished(key, done("")));
            }
            ActionKind::Tag(set) => {
                self.tagged(set.state.as_str());
                self.later(500, finished(key, done("")));
            }
            ActionKind::Warn(warning) => {
                self.warned_at.get_or_insert(self.now_ms);
                let span = Duration::from_millis(warning.in_ms);
                self.note(format!("warn {} in {}s", warning.power.verb(), span.as_secs()));
                self.step(finished(key, done("")));
            }
            ActionKind::CallOff { .. } => {
                self.warned_at = None;
                self.step(finished(key, done("")));
            }
            ActionKind::Hook { .. } => {
                self.note("hook".to_owned());
                self.later(self.hook_takes, finished(key, self.hook.clone()));
            }
            ActionKind::Power { power } => self.power(key, power),
            ActionKind::Withdraw { call } => self.withdraw(key, call),
            ActionKind::Describe => {
                self.note("describe".to_owned());
                let state = self.state;
                self.later(200, Input::Described { key, state });
            }
            ActionKind::Preflight => {
                let abilities = self.abilities.clone();
                self.replies.push((self.now_ms + 300, Input::Abilities(abilities)));
                self.later(300, finished(key, done("")));
            }
            other => self.carry_out_interruption(key, other),
        }
        self.crashes(Moment::After, name);
    }

    fn carry_out_interruption(&mut self, key: Key, kind: ActionKind) {
        match kind {
            ActionKind::Drain(order) => self.drain(key, &order),
            ActionKind::Hurry(hurry) => {
                let (end, kill) = (hurry.end_in_ms, hurry.kill_in_ms);
                self.note(format!("hurry, ends in {end}ms, killed in {kill}ms"));
                self.step(finished(key, done("")));
            }
            ActionKind::Notify(told) => {
                let drill = if told.drill { "drill " } else { "" };
                self.note(format!(
                    "notify {drill}{} {}: {}",
                    told.moment.as_str(),
                    told.alert,
                    told.because
                ));
                self.step(finished(key, done("")));
            }
            ActionKind::AutoScaling(call) => self.group(key, call),
            other => panic!("a scene carries out no {other:?}"),
        }
    }

    fn drain(&mut self, key: Key, order: &HookOrder) {
        let drill = if order.drill { "drill " } else { "" };
        let verb = if order.undo { "undo" } else { "runs" };
        self.note(format!("{drill}{verb} {}, ends in {}ms", order.hook, order.end_in_ms));
        let fails = order.hook.contains("bad");
        let outcome = if fails {
            let error = "exit status 3".to_owned();
            Outcome::Failed { error, retry: Retry::Never }
        } else {
            done("saved")
        };
        if !order.hook.contains("hangs") {
            self.later(self.drain_takes, finished(key, outcome));
        }
    }

    fn group(&mut self, key: Key, call: GroupCall) {
        self.note(ActionKind::AutoScaling(call).name().to_owned());
        let outcome = self.group_answers.pop_front().unwrap_or_else(|| done("as asked"));
        self.later(self.group_takes, finished(key, outcome));
    }

    fn withdraw(&mut self, key: Key, call: Key) {
        self.note("withdraw".to_owned());
        if self.leaving.is_some_and(|(leaving, at)| leaving == call && self.now_ms < at) {
            self.leaving = None;
            let is_call =
                |input: &Input| matches!(input, Input::Finished { key, .. } if *key == call);
            self.replies.retain(|(_, input)| !is_call(input));
            let because = "it was withdrawn".to_owned();
            self.later(0, finished(call, Outcome::Withheld { because }));
        }
        self.step(finished(key, done("")));
    }

    fn power(&mut self, key: Key, power: Power) {
        self.note(power.verb().to_owned());
        self.leaving = Some((key, self.now_ms + self.leaves_ms));
        let outcome = match self.answers.pop_front() {
            None => done("stopping"),
            Some(Answer::Outcome(outcome)) => outcome,
            Some(Answer::Lost(applied)) => {
                self.state = if applied { InstanceState::Stopping } else { InstanceState::Running };
                let error = "no answer from EC2".to_owned();
                Outcome::Failed { error, retry: Retry::InDoubt }
            }
        };
        self.later(1000 + self.leaves_ms, finished(key, outcome));
    }

    fn tagged(&mut self, state: &str) {
        let leaving = matches!(state, "hibernating" | "stopping" | "interrupted");
        let pause = self.last_tag.and_then(|at| self.now_ms.checked_sub(at));
        assert!(leaving || pause.is_none_or(|ms| ms >= 60_000), "tags again after {pause:?} ms");
        self.last_tag = Some(self.now_ms);
        if self.show_tags {
            self.note(format!("tag {state}"));
        }
    }

    fn later(&mut self, ms: u64, input: Input) {
        self.replies.push((self.now_ms + ms, input));
    }

    fn crashes(&mut self, moment: Moment, name: &str) -> bool {
        let hit = self.crash.as_ref().is_some_and(|(m, n, _)| *m == moment && n == name);
        if hit && let Some((_, _, away)) = self.crash.take() {
            self.kill();
            self.start_at = Some(self.now_ms + away);
        }
        hit
    }

    fn kill(&mut self) {
        self.engine = None;
        self.replies.clear();
        self.outstanding = None;
        self.disturbed_at = self.now_ms;
    }

    fn start(&mut self) {
        let parse = |text: &String| serde_json::from_str::<Memory>(text).unwrap();
        let recovery = Recovery {
            memory: self.memory.as_ref().map(parse),
            same_boot: self.same_boot && self.memory.is_some(),
            clock: self.clock.as_ref().map(|t| serde_json::from_str::<IdleClock>(t).unwrap()),
        };
        self.same_boot = true;
        self.disturbed_at = self.now_ms;
        let engine = Engine::new(self.policy.clone(), recovery, self.stamp());
        self.lives.push(Life { engine: engine.clone(), inputs: Vec::new() });
        self.engine = Some(engine);
        self.step(Input::Tick);
    }

    fn save_clock(&mut self) {
        if let Some(engine) = &self.engine {
            self.clock = Some(serde_json::to_string(&engine.idle_clock()).unwrap());
        }
    }

    /// Whether every recorded life of the agent decides the same when it is replayed.
    pub(super) fn replay(&self) {
        for life in &self.lives {
            let mut engine = life.engine.clone();
            for (now, input, decision) in &life.inputs {
                assert_eq!(engine.step(*now, input.clone()), *decision);
            }
        }
    }

    /// Carries one line of a script out.
    pub(super) fn happen(&mut self, words: &[&str]) {
        self.disturbed_at = self.now_ms;
        // What was spent so far was spent under the old load.
        let spent = self.now_ms.saturating_sub(self.counted_to);
        self.cpu_us += self.load * to_f64(spent) * 1000.0;
        self.counted_to = self.now_ms;
        match *words {
            ["cpu", cores] => self.load = cores.parse().unwrap(),
            ["housekeeping", cores] => self.ignored_load = cores.parse().unwrap(),
            ["cpu-resets"] => self.cpu_us = 0.0,
            ["key", pty] => *self.ptys.entry(pty.to_owned()).or_insert(0) += 1,
            ["logout", pty] => drop(self.ptys.remove(pty)),
            ["gpu", "none"] => self.gpu = None,
            ["gpu", percent] => self.gpu = Some(percent.parse().unwrap()),
            ["block", what, cap] => drop(self.blocks.insert(what.to_owned(), time(cap))),
            ["unblock", what] => drop(self.blocks.remove(what)),
            ["with", "sessions"] => {
                let like = self.policy.sources.get(&SourceName::new("input")).unwrap().clone();
                self.policy.sources.insert(SourceName::new("sessions"), like);
            }
            ["connected", terminal] => {
                self.sessions.insert(terminal.to_owned(), Stretch::Connected);
            }
            ["job", terminal] => drop(self.sessions.insert(terminal.to_owned(), Stretch::Job)),
            ["leaves", terminal] => drop(self.sessions.remove(terminal)),
            ["blind", source] => drop(self.blind.insert(source.to_owned())),
            ["see", source] => {
                self.blind.remove(source);
                self.silent.remove(source);
            }
            ["silent", source] => drop(self.silent.insert(source.to_owned())),
            ["show", "tags"] => self.show_tags = true,
            ["disk", state] => self.disk_full = state == "full",
            ["hook", "fails"] => {
                let error = "exit status 3\ntoken=hunter2".to_owned();
                self.hook = Outcome::Failed { error, retry: Retry::Never };
            }
            ["hook", "takes", span] => self.hook_takes = time(span),
            ["ec2", ref rest @ ..] => self.ec2(rest),
            ["policy", key, value] => self.set_policy(key, value),
            ["tick"] => self.step(Input::Tick),
            ref rest => self.announce(rest),
        }
    }

    /// What EC2 and Auto Scaling say.
    fn announce(&mut self, words: &[&str]) {
        match *words {
            ["drain", "takes", span] => self.drain_takes = time(span),
            ["notice", ref rest @ ..] => {
                let noticed = notice(rest, self.stamp().wall_ms);
                self.step(Input::Noticed(noticed));
            }
            ["withdrawn", id] => {
                let id = self.alert_like(id);
                let because = "canceled".to_owned();
                self.step(Input::Withdrawn { id, because });
            }
            ["group", "refuses"] => {
                let (code, detail) = ("no".to_owned(), "Auto Scaling says no".to_owned());
                let refusal = Refusal { code, detail, hibernation_only: false };
                self.group_answers.push_back(Outcome::Refused(refusal));
            }
            ["group", "takes", span] => self.group_takes = time(span),
            ["group", "throttles", times] => {
                let (error, retry) = ("throttled".to_owned(), Retry::After { ms: 2000 });
                let answer = Outcome::Failed { error, retry };
                let times = times.parse().unwrap();
                self.group_answers.extend(core::iter::repeat_n(answer, times));
            }
            ref rest => self.happen_to_agent(rest),
        }
    }

    fn happen_to_agent(&mut self, words: &[&str]) {
        match *words {
            ["crash", moment, action, "for", away] => {
                let moment = if moment == "before" { Moment::Before } else { Moment::After };
                self.crash = Some((moment, action.to_owned(), time(away)));
            }
            ["killed", "for", away] => {
                self.kill();
                self.start_at = Some(self.now_ms + time(away));
            }
            ["state", "lost"] => self.memory = None,
            ["clock", "lost"] => self.clock = None,
            ["wall", shift] => self.wall_shift += shift.parse::<i64>().unwrap(),
            ["stalls", span] => self.now_ms += time(span),
            ["back", span] => {
                self.now_ms -= time(span);
                self.counted_to = self.now_ms;
            }
            ["sleeps", span] => {
                self.now_ms += time(span);
                self.asleep_ms += time(span);
                self.counted_to = self.now_ms;
            }
            ["resumed"] => self.step(Input::Resumed),
            ["wish", ref wishes @ ..] => self.wish(wishes),
            ["boots", span] => {
                let away = i64::try_from(time(span)).unwrap();
                self.kill();
                self.booted = true;
                self.wall_shift += i64::try_from(self.now_ms).unwrap() + away;
                (self.now_ms, self.asleep_ms, self.counted_to) = (5000, 0, 5000);
                (self.cpu_us, self.clock, self.same_boot) = (0.0, None, false);
                self.last_tag = None;
                self.ptys.clear();
                self.start();
            }
            ["exits", pid] => self.step(Input::ProcessGone { pid: pid.parse().unwrap() }),
            ["hold", who, span] => self.command(who, hold(span, None)),
            ["hold", who, span, pid] => self.command(who, hold(span, Some(pid.parse().unwrap()))),
            ["renew", who, id, span] => {
                let (hold, for_ms) = (id.parse().unwrap(), time(span));
                self.command(who, Command::Renew { hold, for_ms });
            }
            ["release", who] => self.command(who, Command::Release { hold: None }),
            ["release", who, id] => {
                self.command(who, Command::Release { hold: Some(id.parse().unwrap()) });
            }
            [who, "drills", action, "in", span] => {
                let action =
                    if action == "stop" { SpotAction::Stop } else { SpotAction::Terminate };
                self.command(who, Command::Drill { action, in_ms: time(span) });
            }
            [who, "asks", verb, ref dry @ ..] => {
                let power = if verb == "stop" { Power::Stop } else { Power::Hibernate };
                self.command(who, Command::Act { power, dry_run: dry == ["dry-run"] });
            }
            _ => panic!("a scene knows nothing of {words:?}"),
        }
    }

    /// The id of the open alert that begins so.
    fn alert_like(&self, id: &str) -> String {
        let alerts = self.engine.iter().flat_map(|e| &e.memory().interruptions.alerts);
        alerts.map(|alert| alert.id.clone()).find(|known| known.starts_with(id)).unwrap()
    }

    /// The tags of the instance ask for this now.
    fn wish(&mut self, wishes: &[&str]) {
        let mut all = Wishes::default();
        for wish in wishes {
            match wish.split_once('=') {
                Some(("after", span)) => all.act_after_ms = Some(time(span)),
                Some(("hold", span)) => {
                    let until = i64::try_from(time(span)).unwrap();
                    all.hold_until_wall_ms = Some(self.stamp().wall_ms + until);
                }
                _ => all.observe = *wish == "observe",
            }
        }
        self.step(Input::Wished(all));
    }

    fn command(&mut self, who: &str, command: Command) {
        let uid = match who {
            "root" => 0,
            "alice" => 1000,
            _ => 1001,
        };
        let actor = Actor { uid, admin: uid == 0, name: who.to_owned() };
        self.step(Input::Command { actor, command });
    }

    fn ec2(&mut self, words: &[&str]) {
        let refusal = |code: &str, only: bool| Refusal {
            code: code.to_owned(),
            detail: format!("EC2 says {code}"),
            hibernation_only: only,
        };
        let failed = |error: &str, retry| {
            Answer::Outcome(Outcome::Failed { error: error.to_owned(), retry })
        };
        match *words {
            ["can", "nothing"] => {
                self.abilities.hibernate = Ability::Cannot(refusal("unauthorized", false));
                self.abilities.stop = Ability::Cannot(refusal("unauthorized", false));
            }
            ["cannot", "hibernate"] => {
                self.abilities.hibernate = Ability::Cannot(refusal("not-configured", true));
            }
            ["unknown"] => self.abilities = Abilities::default(),
            ["known"] => self.abilities = able(),
            ["member"] => self.abilities = Abilities { member: true, ..able() },
            ["tells"] => self.step(Input::Abilities(self.abilities.clone())),
            ["refuses", code] => {
                self.answers.push_back(Answer::Outcome(Outcome::Refused(refusal(code, false))));
            }
            ["refuses", "hibernation", code] => {
                self.answers.push_back(Answer::Outcome(Outcome::Refused(refusal(code, true))));
            }
            ["throttles", times] => {
                let answer = failed("throttled", Retry::After { ms: 2000 });
                let times = times.parse().unwrap();
                self.answers.extend(core::iter::repeat_n(answer, times));
            }
            ["not-ready", times] => {
                let answer = failed("not ready to hibernate yet", Retry::NotReady { ms: 60_000 });
                let times = times.parse().unwrap();
                self.answers.extend(core::iter::repeat_n(answer, times));
            }
            ["fails"] => self.answers.push_back(failed("broken", Retry::Never)),
            ["call", "leaves", "after", span] => self.leaves_ms = time(span),
            ["withholds"] => {
                let because = "pts/0 was used".to_owned();
                self.answers.push_back(Answer::Outcome(Outcome::Withheld { because }));
            }
            ["loses", "answer", "applied"] => self.answers.push_back(Answer::Lost(true)),
            ["loses", "answer"] => self.answers.push_back(Answer::Lost(false)),
            ["already"] => {
                let detail = "stopping already".to_owned();
                self.answers.push_back(Answer::Outcome(Outcome::Already { detail }));
            }
            ["state", state] => {
                self.state = match state {
                    "running" => InstanceState::Running,
                    "stopped" => InstanceState::Stopped,
                    _ => InstanceState::Stopping,
                };
            }
            _ => panic!("EC2 knows nothing of {words:?}"),
        }
    }

    fn set_policy(&mut self, key: &str, value: &str) {
        let policy = &mut self.policy;
        let span = || Duration::from_millis(time(value));
        match key {
            "mode" => policy.mode = if value == "observe" { Mode::Observe } else { Mode::Enforce },
            "enabled" => policy.idle.enabled = value == "true",
            "action" => {
                policy.idle.action = match value {
                    "stop" => Some(Power::Stop),
                    "hibernate" => Some(Power::Hibernate),
                    _ => None,
                }
            }
            "act_after" => policy.idle.act_after = span(),
            "connected_after" => policy.idle.connected_after = span(),
            "job_after" => policy.idle.job_after = span(),
            "least_run" => policy.idle.least_run = span(),
            "quiet_after" => policy.idle.quiet_after = span(),
            "boot_grace" => policy.idle.boot_grace = span(),
            "fallback" => policy.idle.fallback_stop = value == "stop",
            "hook" => policy.idle.hook = value == "true",
            "warn_before" => {
                policy.idle.warn_before = value
                    .split(',')
                    .filter(|t| *t != "none")
                    .map(|t| Duration::from_millis(time(t)))
                    .collect();
            }
            "user_max" => policy.hold.user_max = span(),
            "disable" => {
                policy.sources.get_mut(&SourceName(value.to_owned().into())).unwrap().enabled =
                    false;
            }
            "enable" => {
                policy.sources.get_mut(&SourceName(value.to_owned().into())).unwrap().enabled =
                    true;
            }
            "standby" => policy.idle.standby = value == "true",
            _ => self.set_interruption(key, value),
        }
        let policy = self.policy.clone();
        self.step(Input::PolicyChanged(Box::new(policy)));
    }

    fn set_interruption(&mut self, key: &str, value: &str) {
        let policy = &mut self.policy.interruption;
        policy.enabled = true;
        let hooks = || value.split(',').map(|hook| hook.replace('_', " ")).collect();
        let reaction = || if value == "drain" { Reaction::Drain } else { Reaction::Notify };
        match key {
            "interruption" => policy.enabled = value == "true",
            "hooks" => policy.hooks = hooks(),
            "fast_hooks" => policy.fast_hooks = hooks(),
            "rebalance" => policy.rebalance = reaction(),
            "maintenance" => policy.maintenance = reaction(),
            "autoscaling" => policy.autoscaling = reaction(),
            _ => panic!("a policy knows nothing of {key}"),
        }
    }

    /// Every prediction that was made since the last disturbance, for an action that began at `begun_ms`.
    pub(super) fn check_predictions(&self) {
        let begun = self.trace.iter().find(|(_, line)| line == "reread");
        let Some((begun_ms, _)) = begun.filter(|_| !self.booted) else {
            return;
        };
        // A mean and a second reading need a minute and two ticks until the future is known.
        let settled = self.disturbed_at + 60_000 + 2 * TICK_MS;
        let made = self.predictions.iter().filter(|(at, _)| *at > settled && at < begun_ms);
        for (at, predicted) in made {
            let predicted = predicted.unwrap_or_else(|| panic!("nothing foreseen at {at} ms"));
            assert!(
                predicted.abs_diff(*begun_ms) <= TICK_MS,
                "at {at} ms it foresaw {predicted} ms, and acted at {begun_ms} ms"
            );
        }
    }

    /// People had their notice before every action that nobody asked for, where there was a terminal at all.
    pub(super) fn check_notice(&self) {
        let least = u64::try_from(self.policy.least_notice_to_people().as_millis()).unwrap();
        let asked = self.trace.iter().any(|(_, line)| line.starts_with("acting:"));
        if asked || least == 0 || !self.people {
            return;
        }
        let Some((at, _)) =
            self.trace.iter().find(|(_, line)| line == "hibernate" || line == "stop")
        else {
            return;
        };
        let (warned, _) = self
            .trace
            .iter()
            .find(|(_, line)| line.starts_with("warn"))
            .unwrap_or_else(|| panic!("nobody was warned"));
        assert!(*at < *warned || at - warned >= least, "warned at {warned}, acted at {at}");
    }
}

fn finished(key: Key, outcome: Outcome) -> Input {
    Input::Finished { key, outcome }
}

fn done(detail: &str) -> Outcome {
    Outcome::Done { detail: detail.to_owned() }
}

fn hold(span: &str, pid: Option<u32>) -> Command {
    Command::Hold { for_ms: time(span), reason: "training".to_owned(), pid }
}

/// The line of an event, for those that a trace shows.
fn told(event: &Event) -> Option<String> {
    Some(match event {
        Event::BecameActive { because } => format!("active: {because}"),
        Event::BecameQuiet { .. } => "quiet".to_owned(),
        Event::CalledOff { because, .. } => format!("called off: {because}"),
        Event::HookEnded { ok: false, detail, .. } => format!("hook failed: {detail}"),
        Event::HookNotRepeated => "hook not repeated".to_owned(),
        Event::Accepted { .. } => "accepted".to_owned(),
        Event::Refused { code, .. } => format!("refused: {code}"),
        Event::Failed { retry_ms: Some(ms), .. } => format!("failed, again in {}s", ms / 1000),
        Event::Failed { retry_ms: None, error, .. } => format!("failed: {error}"),
        Event::FellBack { .. } => "fell back".to_owned(),
        Event::WouldAct { power, .. } => format!("would {}", power.verb()),
        Event::Hibernated { slept_ms } => format!("hibernated for {}s", slept_ms / 1000),
        Event::ColdBoot { .. } => "cold boot".to_owned(),
        Event::StoppedAndStarted { .. } => "stopped and started".to_owned(),
        Event::NeverStopped { waited_ms, .. } => format!("never stopped in {}s", waited_ms / 1000),
        Event::Resumed { away_ms } => format!("resumed after {}s", away_ms / 1000),
        Event::Gap { away_ms } => format!("gap of {}s", away_ms / 1000),
        Event::SourceBlind { source, why } => format!("{source} blind: {why}"),
        Event::SourceBack { source, blind_ms } => {
            format!("{source} back after {}s", blind_ms / 1000)
        }
        Event::HoldMade { hold, owner, .. } => format!("hold {hold} of {owner}"),
        Event::HoldEnded { hold, how, .. } => format!("hold {hold} {how}"),
        Event::BlockExpired { subject, .. } => format!("block of {subject} expired"),
        Event::Looping { act_after_ms } => format!("looping, waits {}s", act_after_ms / 1000),
        Event::Wished { .. } => "wished".to_owned(),
        Event::Unexpected { what } => format!("unexpected: {what}"),
        Event::Warned { .. }
        | Event::HookStarted { .. }
        | Event::HookEnded { ok: true, .. }
        | Event::Asking { .. }
        | Event::PolicyChanged => return None,
        other => return told_of_interruptions(other),
    })
}

fn told_of_interruptions(event: &Event) -> Option<String> {
    Some(match event {
        Event::NoticeMoved { alert, left_ms, .. } => format!("moved {alert}: {left_ms}ms left"),
        Event::NoticeStale { what, because, .. } => format!("stale {what}: {because}"),
        Event::AlertOver { alert, end, .. } => format!("over {alert}: {}", over(*end)),
        Event::DrainHookEnded { run, .. } => match run.state {
            RunState::Done => format!("{} done in {}ms", run.hook, run.took_ms.unwrap_or(0)),
            state => format!("{} {}: {}", run.hook, state.as_str(), run.detail),
        },
        Event::DrainEnded { alert, ok, took_ms, .. } => {
            format!("drained {alert} in {took_ms}ms{}", if *ok { "" } else { ", not well" })
        }
        Event::WouldDrain { hooks, .. } => format!("would run {hooks} hooks"),
        Event::TargetChanged { target } => format!("target {target}"),
        Event::GroupAnswered { call, ok, detail } => {
            format!("group {call} {}: {detail}", if *ok { "ok" } else { "failed" })
        }
        // What they say is in the notification and in the orders.
        _ => return None,
    })
}

fn over(end: AlertEnd) -> &'static str {
    match end {
        AlertEnd::StartedAgain => "started again",
        AlertEnd::Resumed => "resumed",
        AlertEnd::NeverCame => "never came",
        AlertEnd::Withdrawn => "withdrawn",
        AlertEnd::Expired => "expired",
        AlertEnd::DrillOver => "drill over",
    }
}

/// What the metadata service says: `spot terminate in 2m`, `rebalance 7`, `event e1 system-reboot in 1h`, `target NAME`.
fn notice(words: &[&str], wall_ms: i64) -> Noticed {
    let due = |text: &str| {
        let ms = text.strip_prefix('-').map_or_else(|| signed(text), |past| -signed(past));
        // EC2 tells whole seconds.
        Due { wall_ms: (wall_ms + ms) / 1000 * 1000, left_ms: ms }
    };
    let (notice, due) = match *words {
        ["spot", action, "in", left] => {
            let action = match action {
                "terminate" => SpotAction::Terminate,
                "stop" => SpotAction::Stop,
                _ => SpotAction::Hibernate,
            };
            (Notice::Spot { action }, Some(due(left)))
        }
        ["rebalance", said] => (Notice::Rebalance { said_wall_ms: said.parse().unwrap() }, None),
        ["event", event, code, "in", left] => {
            let due = due(left);
            let code = if code == "system-reboot" {
                EventCode::SystemReboot
            } else {
                EventCode::SystemMaintenance
            };
            let (event, description) = (event.to_owned(), String::new());
            let not_before_wall_ms = due.wall_ms;
            (Notice::Maintenance { event, code, description, not_before_wall_ms }, Some(due))
        }
        ["target", name] => {
            let target = TargetState::ALL.into_iter().find(|t| t.as_str() == name).unwrap();
            (Notice::AutoScaling { target }, None)
        }
        _ => panic!("EC2 does not announce {words:?}"),
    };
    Noticed { notice, due, own_clock: false }
}

fn signed(span: &str) -> i64 {
    i64::try_from(time(span)).unwrap()
}

fn answered(reply: &Reply) -> String {
    match reply {
        Reply::Held { hold, capped, .. } => {
            format!("held: {hold}{}", if *capped { ", shortened" } else { "" })
        }
        Reply::Released(count) => format!("released: {count}"),
        Reply::Acting { power, dry_run } => {
            format!("acting: {}{}", power.verb(), if *dry_run { ", dry run" } else { "" })
        }
        Reply::Drilling { hooks, .. } => format!("drilling: {hooks} hooks"),
        Reply::Denied(Denial::NotPermitted(_)) => "denied: not permitted".to_owned(),
        Reply::Denied(Denial::Policy(text)) => format!("denied: policy: {text}"),
        Reply::Denied(Denial::Blind(_)) => "denied: blind".to_owned(),
        Reply::Denied(Denial::Invalid(_)) => "denied: invalid".to_owned(),
    }
}
