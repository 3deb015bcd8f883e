//! One run: the engine, a machine, and what the outside world answers to the engine's requests.

use core::time::Duration;
use std::collections::VecDeque;

use agent_core::action::{ActionKind, ActionRequest, InstanceState, Outcome, Power, Refusal};
use agent_core::decision::Decision;
use agent_core::engine::Engine;
use agent_core::input::{Abilities, Ability, Actor, Command, Input};
use agent_core::memory::{CallState, HookState, IdleClock, Intent, Memory, Origin, Recovery};
use agent_core::policy::Policy;
use agent_core::reading::{Observation, Reading, SourceName};
use agent_core::stamp::Stamp;
use agent_core::trace::{ACCOUNTS, Boot, Record};

use super::machine::Machine;
use crate::scenario::{Event, History, OFF, STEP, Scenario};
use crate::signals::Signals;
use crate::world::World;

/// A second in milliseconds.
const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const STEP_MS: i64 = STEP as i64 * SECOND;
/// How long a machine that was used before the scenario had been up.
const UP_MS: i64 = 600 * MINUTE;
/// Wall time at the beginning, milliseconds since 1970.
const WALL_MS: i64 = 1_800_000_000_000;
/// A new process of the agent needs so long until it looks.
const START_MS: i64 = 3 * SECOND;

/// What became of a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Run {
    /// The minute at which EC2 was asked to stop the machine.
    pub stopped: Option<f64>,
}

/// A moment of a run, after a step of the engine.
#[derive(Debug)]
pub struct Look<'a> {
    /// Milliseconds since the scenario began; negative before.
    pub at_ms: i64,
    /// The engine's time.
    pub now: Stamp,
    /// The engine after the step.
    pub engine: &'a Engine,
    /// What it decided.
    pub decision: &'a Decision,
    /// The last step of a round of readings.
    pub round: bool,
}

/// Somebody who follows a run.
pub trait Watcher {
    /// After every step of the engine.
    fn looked(&mut self, _look: &Look<'_>) {}

    /// Whether it wants the records of a trace.
    fn records(&self) -> bool {
        false
    }

    /// What came in from outside, as a trace has it.
    fn recorded(&mut self, _record: Record) {}

    /// Puts another reading in the place of a source's, or none at all.
    fn tamper(&mut self, _at_ms: i64, _source: &SourceName, reading: Reading) -> Option<Reading> {
        Some(reading)
    }
}

/// Nobody.
impl Watcher for () {}

/// Runs a scenario in a world under a policy.
pub fn run(scenario: &Scenario, world: &World, policy: &Policy) -> Run {
    run_with(scenario, world, policy, &mut ())
}

/// The same, and somebody follows it.
pub fn run_with(
    scenario: &Scenario,
    world: &World,
    policy: &Policy,
    watcher: &mut dyn Watcher,
) -> Run {
    let mut runner = Runner::new(scenario, world, policy, watcher);
    runner.before();
    runner.follow();
    Run { stopped: runner.asked_ms.map(minutes) }
}

struct Runner<'a> {
    scenario: &'a Scenario,
    world: &'a World,
    policy: &'a Policy,
    watcher: &'a mut dyn Watcher,
    sources: Vec<SourceName>,
    engine: Engine,
    machine: Machine,
    /// What holds now.
    signals: Signals,
    /// Milliseconds since the scenario began, without sleep.
    at_ms: i64,
    /// How far the machine's counters are.
    passed_ms: i64,
    boot_ms: i64,
    slept_ms: i64,
    stepped_ms: i64,
    wake_ms: i64,
    /// The agent is restarted in this scenario.
    restarts: bool,
    /// What it left on the disk.
    saved: (Memory, Option<IdleClock>),
    /// When EC2 was asked.
    asked_ms: Option<i64>,
    inputs: usize,
    events: usize,
}

impl<'a> Runner<'a> {
    fn new(
        scenario: &'a Scenario,
        world: &'a World,
        policy: &'a Policy,
        watcher: &'a mut dyn Watcher,
    ) -> Self {
        let (at_ms, boot_ms) = match scenario.history {
            History::Used | History::Quiet => (-10 * MINUTE, -UP_MS),
            History::Resumed => (-60 * MINUTE, -UP_MS),
            History::FreshBoot | History::Started => (8 * SECOND, 0),
        };
        let mut signals = scenario.signals_at(0);
        world.scale(&mut signals, scenario.ncpu);
        let mut runner = Self {
            scenario,
            world,
            policy,
            watcher,
            sources: policy.sources.keys().cloned().collect(),
            engine: Engine::new(policy.clone(), Recovery::default(), Stamp::default()),
            machine: Machine::default(),
            signals,
            at_ms,
            passed_ms: at_ms,
            boot_ms,
            slept_ms: 0,
            stepped_ms: 0,
            wake_ms: at_ms,
            restarts: scenario.events.iter().any(|(_, event)| *event == Event::Restart),
            saved: (Memory::default(), None),
            asked_ms: None,
            inputs: 0,
            events: 0,
        };
        let memory = (scenario.history == History::Started).then(|| runner.stopped_before());
        let recovery = Recovery { memory, same_boot: false, clock: None };
        runner.note_boot(&recovery);
        runner.engine = Engine::new(policy.clone(), recovery, runner.now());
        runner
    }

    /// What the agent had saved when it stopped the machine.
    fn stopped_before(&self) -> Memory {
        let mut since = self.now();
        since.wall_ms -= i64::from(OFF) * SECOND;
        let intent = Intent {
            power: Power::Stop,
            origin: Origin::Idle,
            because: "no use for 30m".to_owned(),
            since,
            hook: HookState::NotConfigured,
            call: CallState::Accepted,
        };
        Memory { intent: Some(intent), ..Memory::default() }
    }

    fn now(&self) -> Stamp {
        let boot = self.at_ms - self.boot_ms + self.slept_ms;
        let positive = |ms: i64| u64::try_from(ms).unwrap_or(0);
        Stamp::new(
            positive(boot),
            positive(self.slept_ms),
            WALL_MS + self.at_ms + self.slept_ms + self.stepped_ms,
        )
    }

    /// What came before the scenario.
    fn before(&mut self) {
        let used = |until: i64| move |at: i64| if at < until { 1.0 } else { 0.0 };
        match self.scenario.history {
            History::Used => self.live_until(0, &used(0)),
            History::Quiet => self.live_until(0, &|_| 0.0),
            History::Resumed => {
                self.live_until(0, &used(-50 * MINUTE));
                // It hibernated itself; the time between is part of the sleep.
                self.slept_ms += i64::from(OFF) * SECOND;
                self.at_ms = 0;
                self.passed_ms = 0;
                self.wake_ms = 0;
            }
            History::FreshBoot | History::Started => {}
        }
        self.asked_ms = None;
    }

    /// Rounds before the scenario, with so many cores of work at a time.
    fn live_until(&mut self, end_ms: i64, cores: &dyn Fn(i64) -> f64) {
        while self.at_ms < end_ms && self.asked_ms.is_none() {
            self.signals = Signals { user_cpu: cores(self.at_ms), ..Signals::base() };
            self.signals.gpus.clone_from(&self.scenario.signals_at(0).gpus);
            for percent in self.signals.gpus.iter_mut().flatten() {
                *percent = 0.0;
            }
            self.pass_to(self.at_ms + STEP_MS);
            self.round();
        }
    }

    /// The scenario itself.
    fn follow(&mut self) {
        let offset = i64::from(self.world.phase) * 250 / 3 % STEP_MS;
        let end = i64::from(self.scenario.minutes) * MINUTE;
        let mut next = offset;
        if self.scenario.history == History::Resumed {
            self.resume();
        }
        while next < end && self.asked_ms.is_none() {
            if next >= self.at_ms {
                self.go_to(next);
                if self.asked_ms.is_none() {
                    self.round();
                }
            }
            next += STEP_MS;
        }
    }

    /// Moves on to a moment, through the steps of the scenario and the moments at which the engine wants to be called.
    fn go_to(&mut self, to_ms: i64) {
        while self.at_ms < to_ms && self.asked_ms.is_none() {
            let step_end = (self.at_ms.div_euclid(STEP_MS) + 1) * STEP_MS;
            self.enter_step();
            let mut next = step_end.min(to_ms);
            if self.wake_ms > self.at_ms {
                next = next.min(self.wake_ms);
            }
            self.pass_to(next);
            if self.wake_ms <= self.at_ms {
                self.feed(VecDeque::from([Input::Tick]), false);
            }
        }
        self.enter_step();
    }

    /// The signals, keys and events of this moment.
    fn enter_step(&mut self) {
        let second = u32::try_from(self.at_ms.div_euclid(SECOND)).unwrap_or(0);
        let t = second - second % STEP;
        self.signals = self.scenario.signals_at(t);
        self.world.scale(&mut self.signals, self.scenario.ncpu);
        self.machine.open(&self.signals, self.at_ms);
        while let Some(at) = self.scenario.inputs.get(self.inputs).filter(|at| **at <= second) {
            self.machine.key(i64::from(*at) * SECOND);
            self.inputs += 1;
        }
        while let Some((at, event)) = self.scenario.events.get(self.events) {
            if *at > second {
                break;
            }
            self.events += 1;
            self.happen(*event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ClockStep(by) => self.stepped_ms += by * SECOND,
            Event::Sleep(span) => {
                self.slept_ms += i64::from(span) * SECOND;
                self.resume();
            }
            Event::CountersReset => self.machine.reset_counters(),
            Event::Hold(span) => {
                let actor = Actor { uid: 1000, admin: false, name: "alice".to_owned() };
                let for_ms = u64::from(span) * 1000;
                let command = Command::Hold { for_ms, reason: "demo".to_owned(), pid: None };
                self.tell(Input::Command { actor, command });
            }
            Event::Restart => {
                self.pass_to(self.at_ms + START_MS);
                let (memory, clock) = self.saved.clone();
                let recovery = Recovery { memory: Some(memory), same_boot: true, clock };
                self.note_boot(&recovery);
                self.engine = Engine::new(self.policy.clone(), recovery, self.now());
            }
        }
    }

    fn resume(&mut self) {
        self.feed(VecDeque::from([Input::Tick]), false);
        self.tell(Input::Resumed);
    }

    /// An input from outside that is no reading.
    fn tell(&mut self, input: Input) {
        self.note(|| vec![input.clone()]);
        self.feed(VecDeque::from([input]), false);
    }

    fn note(&mut self, inputs: impl FnOnce() -> Vec<Input>) {
        if self.watcher.records() {
            let record = Record::inputs(self.now(), inputs());
            self.watcher.recorded(record);
        }
    }

    fn note_boot(&mut self, recovery: &Recovery) {
        if self.watcher.records() {
            let Recovery { memory, same_boot, clock } = recovery.clone();
            let id = "boot".to_owned();
            let boot = Boot { id, accounts: ACCOUNTS, policy: None, memory, same_boot, clock };
            let now = self.now();
            self.watcher.recorded(Record::boot(now, boot));
        }
    }

    /// Time passes for the machine.
    fn pass_to(&mut self, to_ms: i64) {
        let to_ms = to_ms.max(self.at_ms);
        let span = to_ms - self.passed_ms;
        if span > 0 {
            self.machine.pass(&self.signals, seconds(span));
            self.passed_ms = to_ms;
        }
        self.at_ms = to_ms;
    }

    /// Every source is read.
    fn round(&mut self) {
        let inputs = self.observations();
        self.note(|| inputs.iter().cloned().collect());
        self.feed(inputs, true);
        if self.restarts {
            self.saved = (self.engine.memory().clone(), Some(self.engine.idle_clock()));
        }
    }

    fn observations(&mut self) -> VecDeque<Input> {
        let mut inputs = VecDeque::with_capacity(self.sources.len());
        for source in &self.sources {
            let reading = self.machine.reading(source.as_str(), &self.signals, self.at_ms);
            if let Some(reading) = self.watcher.tamper(self.at_ms, source, reading) {
                let source = source.clone();
                inputs.push_back(Input::Observed(Observation { source, reading }));
            }
        }
        inputs
    }

    /// Hands inputs to the engine, and what the world answers to its requests.
    fn feed(&mut self, mut inputs: VecDeque<Input>, round: bool) {
        let now = self.now();
        while let Some(input) = inputs.pop_front() {
            let decision = self.engine.step(now, input);
            self.wake_ms = self.at_ms
                + i64::try_from(decision.wake_at.since(now).as_millis()).unwrap_or(i64::MAX / 2);
            for request in &decision.actions {
                inputs.extend(self.answer(request));
            }
            let round = round && inputs.is_empty();
            let engine = &self.engine;
            let decision = &decision;
            self.watcher.looked(&Look { at_ms: self.at_ms, now, engine, decision, round });
        }
    }

    fn answer(&mut self, request: &ActionRequest) -> Vec<Input> {
        let key = request.key;
        let done = |detail: &str| Input::Finished {
            key,
            outcome: Outcome::Done { detail: detail.to_owned() },
        };
        match &request.kind {
            ActionKind::Reread => {
                let mut all: Vec<Input> = self.observations().into();
                all.push(done("read"));
                all
            }
            ActionKind::Power { .. } => {
                self.asked_ms.get_or_insert(self.at_ms);
                vec![done("stopping")]
            }
            ActionKind::Describe => vec![Input::Described { key, state: InstanceState::Running }],
            ActionKind::Preflight => vec![Input::Abilities(self.abilities()), done("asked")],
            ActionKind::Tag(_) if self.signals.tag_denied => vec![Input::Finished {
                key,
                outcome: Outcome::Refused(Refusal {
                    code: "unauthorized".to_owned(),
                    detail: "CreateTags is not allowed".to_owned(),
                    hibernation_only: false,
                }),
            }],
            _ => vec![done("done")],
        }
    }

    fn abilities(&self) -> Abilities {
        if self.signals.imds_down {
            return Abilities::default();
        }
        let instance_id = Some("i-0123456789abcdef0".to_owned());
        Abilities { instance_id, hibernate: Ability::Can, stop: Ability::Can, member: false }
    }
}

fn seconds(ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}

fn minutes(ms: i64) -> f64 {
    seconds(ms) / 60.0
}
