//! Decides a recorded trace again: what would have happened under a policy, and when.
//!
//! The replayer is the world around an engine. It lets the time pass between two records, so that warnings and actions
//! come at their exact moment, and answers what the engine asks for: warnings are delivered, EC2 accepts, a second
//! look at the sources gives what was read last. What is recorded of another engine's actions is passed over.

mod story;
mod watch;

use std::collections::{BTreeMap, VecDeque};

use crate::action::{ActionKind, ActionRequest, InstanceState, Outcome, Power};
use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::{Abilities, Ability, Command, Input};
use crate::memory::{IdleClock, Memory, Recovery};
use crate::policy::{Mode, Policy};
use crate::reading::{Observation, Reading, SourceName};
use crate::stamp::{Stamp, millis};
use crate::trace::{Boot, Content, Record};
use crate::verdict::View;

pub use story::{After, Down, Happening, What};
pub use watch::Use;
use watch::Watch;

/// A sleep that is shorter than this is the jitter between reading two clocks.
const SLEPT_MS: u64 = 1000;

/// The instance that answers when the trace names none.
const SIMULATED: &str = "i-simulated";

/// A replay of a trace under a policy.
#[derive(Clone, Debug)]
pub struct Replay {
    policy: Policy,
    abilities: Abilities,
    after: After,
    engine: Engine,
    watch: Watch,
    /// The stamp of the last step.
    now: Stamp,
    /// When the trace last told something.
    told: Stamp,
    wake_at: Stamp,
    /// The boot of the trace.
    boot: Option<String>,
    /// What was read last of every source, and when.
    latest: BTreeMap<SourceName, (Stamp, Reading)>,
    happened: Vec<Happening>,
    downs: Vec<Down>,
    is_down: bool,
}

impl Replay {
    /// A replay under `policy` that begins at `start`. EC2 can hibernate and stop the instance.
    pub fn new(policy: Policy, start: Stamp) -> Self {
        Self::recovered(policy, Recovery::default(), start)
    }

    /// The same from the start of an agent in a trace: its holds are kept. How long it was idle was judged by the
    /// policy of that time, so the idle clock begins anew.
    pub fn at_boot(policy: Policy, boot: &Boot, start: Stamp) -> Self {
        let memory = boot.memory.as_ref().map(holds_alone);
        let clock = boot.clock.clone().map(|clock| IdleClock {
            quiet_ms: 0,
            blind_from: None,
            intent: None,
            ..clock
        });
        let recovery = Recovery { memory, same_boot: boot.same_boot, clock };
        let mut replay = Self::recovered(policy, recovery, start);
        replay.boot(start, boot);
        replay
    }

    fn recovered(policy: Policy, recovery: Recovery, start: Stamp) -> Self {
        let abilities = Abilities {
            instance_id: Some(SIMULATED.to_owned()),
            hibernate: Ability::Can,
            stop: Ability::Can,
            member: false,
        };
        let mut replay = Self {
            engine: Engine::new(policy.clone(), recovery, start),
            watch: Watch::new(policy.clone(), start),
            policy,
            abilities,
            after: After::End,
            now: start,
            told: start,
            wake_at: start,
            boot: None,
            latest: BTreeMap::new(),
            happened: Vec::new(),
            downs: Vec::new(),
            is_down: false,
        };
        replay.step(start, Input::Tick);
        replay
    }

    /// The replay with what EC2 can do with this instance; by default everything.
    #[must_use]
    pub fn with_abilities(mut self, abilities: Abilities) -> Self {
        self.find(self.now, abilities);
        self
    }

    fn find(&mut self, at: Stamp, mut abilities: Abilities) {
        abilities.instance_id.get_or_insert_with(|| SIMULATED.to_owned());
        self.abilities = abilities.clone();
        self.give(at, Input::Abilities(abilities));
    }

    /// The replay with what comes after an action; by default it is over.
    #[must_use]
    pub fn then(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    /// The replay with the policy by which use after an action is recognized; by default the replayed one itself. A
    /// policy that overlooks use must not be the judge of what it destroys.
    #[must_use]
    pub fn judged_by(mut self, policy: Policy) -> Self {
        self.watch = Watch::new(policy, self.now);
        self
    }

    /// Takes in a record of a trace.
    pub fn record(&mut self, record: Record) {
        let Record { at, content } = record;
        match content {
            Content::Boot(boot) => self.boot(at, &boot),
            Content::Inputs(inputs) => {
                for input in inputs {
                    self.feed(at, input);
                }
            }
        }
    }

    /// An agent started at `at`. Another boot than before starts everything again; the same goes on.
    pub fn boot(&mut self, at: Stamp, boot: &Boot) {
        if self.is_over() {
            return;
        }
        let first = self.boot.is_none();
        let fresh = self.boot.as_ref().is_some_and(|before| *before != boot.id);
        self.boot = Some(boot.id.clone());
        if !fresh {
            self.pass(at);
        }
        self.note(at, What::Booted { id: boot.id.clone(), fresh: fresh || first });
        if fresh {
            // What was started was needed.
            self.note_up(at);
            self.latest.clear();
            self.watch.restart(at);
            let memory = Some(holds_alone(self.engine.memory()));
            self.begin(at, Recovery { memory, same_boot: false, clock: None });
        }
    }

    /// Takes in what came in at `at`. Records must be given in the order of time.
    pub fn feed(&mut self, at: Stamp, input: Input) {
        if self.is_over() {
            return;
        }
        self.pass(at);
        self.told = at;
        if self.is_over() {
            return;
        }
        match input {
            // Answers to what another engine asked for, and another policy than the one that is tried.
            Input::Finished { .. } | Input::Described { .. } | Input::PolicyChanged(_) => {}
            // That an instance cannot hibernate is a fact of the machine; all else is taken to be possible.
            Input::Abilities(found) => {
                if found.stop == Ability::Can && matches!(found.hibernate, Ability::Cannot(_)) {
                    self.find(at, found);
                }
            }
            Input::Command { actor, command: Command::Act { power, dry_run } } => {
                if !dry_run {
                    self.note(at, What::Asked { power, by: actor.name });
                }
            }
            Input::Observed(observation) => {
                let Observation { source, reading } = &observation;
                self.latest.insert(source.clone(), (at, reading.clone()));
                self.look_for_use(at, &observation);
                self.give(at, Input::Observed(observation));
            }
            other => {
                if matches!(other, Input::Resumed) {
                    self.come_up(at);
                }
                self.give(at, other);
            }
        }
    }

    /// Lets the time pass to the end of the trace. Without records nothing is known, so it passes no further than the
    /// sources stay fresh.
    pub fn finish(&mut self, end: Stamp) {
        if !self.is_over() {
            self.pass(end);
        }
    }

    /// Everything that happened so far, in order.
    pub fn happened(&self) -> &[Happening] {
        &self.happened
    }

    /// The times in which the machine would have been down, in order.
    pub fn downs(&self) -> &[Down] {
        &self.downs
    }

    /// The first action: when, and which.
    pub fn first_action(&self) -> Option<(Stamp, Power)> {
        self.downs.first().map(|down| (down.from, down.power))
    }

    /// Whether an action ended the replay.
    pub fn is_over(&self) -> bool {
        self.is_down && self.after == After::End
    }

    /// Whether the machine would be down now.
    pub fn is_down(&self) -> bool {
        self.is_down
    }

    /// The moment that the replay has reached.
    pub fn now(&self) -> Stamp {
        self.now
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine's picture now.
    pub fn view(&self) -> View {
        self.engine.view(self.now)
    }

    /// Lets the time pass to `at`: calls the engine whenever it wants to be called before.
    fn pass(&mut self, at: Stamp) {
        let slept_ms = at.asleep_ms.saturating_sub(self.now.asleep_ms);
        self.count_down_time(at, slept_ms);
        if self.is_down || slept_ms >= SLEPT_MS {
            if slept_ms >= SLEPT_MS {
                self.come_up(at);
            }
            return;
        }
        let silence = at.since(self.told);
        if millis(silence) > self.longest_silence() {
            // Nobody looked: the engine shall see the gap.
            return;
        }
        while self.wake_at.boot_ms < at.boot_ms && !self.is_down {
            let now = self.now.after(self.wake_at.since(self.now));
            self.step(now, Input::Tick);
        }
    }

    /// So many milliseconds without a record mean that nobody recorded, rather than that nothing came in.
    fn longest_silence(&self) -> u64 {
        let slowest = self.policy.sources.values().filter(|s| s.enabled).map(|s| s.interval).max();
        let stale = slowest.map_or(0, millis).saturating_mul(3).saturating_add(1000);
        stale.max(millis(self.policy.gap))
    }

    /// Counts what is saved while the machine would be down.
    fn count_down_time(&mut self, at: Stamp, slept_ms: u64) {
        let span_ms = millis(at.since(self.told.max(self.now))).saturating_sub(slept_ms);
        let most_ms = self.longest_silence();
        let Some(down) = self.downs.last_mut().filter(|_| self.is_down) else { return };
        // Where the recorded machine was down itself, or nobody recorded, nothing is claimed.
        if span_ms <= most_ms {
            down.saved_ms = down.saved_ms.saturating_add(span_ms);
        }
        self.now = at;
    }

    /// Hands an input to the engine, unless the machine would be down.
    fn give(&mut self, at: Stamp, input: Input) {
        if !self.is_down {
            self.step(at, input);
        }
    }

    /// Steps the engine and answers what it asks for until it asks for nothing more.
    fn step(&mut self, at: Stamp, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let decision = self.engine.step(at, input);
            self.now = self.now.max(at);
            let Decision { actions, events, wake_at, .. } = decision;
            self.wake_at = wake_at;
            for event in events {
                self.note(at, What::Told(event));
            }
            for request in actions {
                inputs.extend(self.answer(at, request));
            }
            if self.is_down {
                return;
            }
        }
    }

    /// What the world answers to an action.
    fn answer(&mut self, at: Stamp, request: ActionRequest) -> Vec<Input> {
        let ActionRequest { key, kind } = request;
        let done = || Input::Finished { key, outcome: Outcome::Done { detail: String::new() } };
        match kind {
            ActionKind::Reread => {
                let mut inputs = self.read_again(at);
                inputs.push(done());
                inputs
            }
            ActionKind::Preflight => vec![Input::Abilities(self.abilities.clone()), done()],
            ActionKind::Describe => {
                vec![Input::Described { key, state: InstanceState::Running }]
            }
            ActionKind::Power { power } => {
                self.go_down(at, power);
                Vec::new()
            }
            _ => vec![done()],
        }
    }

    /// The readings of a second look: what was read last, as long as it is fresh. One thing alone a trace cannot tell
    /// is what a source would have said in between.
    fn read_again(&self, at: Stamp) -> Vec<Input> {
        let enabled = self.policy.sources.iter().filter(|(_, policy)| policy.enabled);
        let observed = enabled.map(|(source, policy)| {
            let stale_ms = millis(policy.interval).saturating_mul(3).saturating_add(1000);
            let fresh = self.latest.get(source).filter(|(read_at, reading)| {
                matches!(reading, Reading::Absent { .. }) || millis(at.since(*read_at)) <= stale_ms
            });
            let reading = fresh.map_or_else(
                || Reading::blind("the trace has no fresh reading"),
                |(_, reading)| reading.clone(),
            );
            Input::Observed(Observation { source: source.clone(), reading })
        });
        observed.collect()
    }

    fn go_down(&mut self, at: Stamp, power: Power) {
        let intent = self.engine.memory().intent.as_ref();
        let because = intent.map(|intent| intent.because.clone()).unwrap_or_default();
        let not_counted = intent.and_then(|intent| intent.not_counted.clone());
        let idle_ms = millis(self.engine.quiet());
        self.note(at, What::Acted { power, because, idle_ms, not_counted });
        let interrupted = self.watch.in_use(at);
        self.downs.push(Down { power, from: at, until: None, saved_ms: 0, interrupted });
        self.is_down = true;
        self.told = at;
    }

    /// After an action a use in the trace is what the action interrupts, or what starts the machine again.
    fn look_for_use(&mut self, at: Stamp, observation: &Observation) {
        let Some(used_at) = self.watch.observe(at, observation) else { return };
        let (over, is_down) = (self.after == After::End, self.is_down);
        let Some(down) = self.downs.last_mut() else { return };
        let late = millis(used_at.since(down.from));
        let interrupts = late > 0 && late <= watch::INTERRUPTED_MS;
        if late == 0 || !(interrupts || is_down) {
            return;
        }
        let Some(used) = self.watch.describe(at, used_at, &observation.source) else { return };
        if interrupts && !down.interrupted.iter().any(|known| known.is_of(&used)) {
            down.interrupted.push(used.clone());
        }
        if is_down && !over {
            self.note(at, What::UsedAgain(used));
            self.come_up(at);
        }
    }

    /// The machine is started again, if it was down.
    fn come_up(&mut self, at: Stamp) {
        if !self.is_down || self.after == After::End {
            return;
        }
        self.note_up(at);
        let memory = Some(holds_alone(self.engine.memory()));
        self.begin(at, Recovery { memory, same_boot: true, clock: None });
        self.step(at, Input::Resumed);
    }

    fn note_up(&mut self, at: Stamp) {
        if let Some(down) = self.downs.last_mut().filter(|_| self.is_down) {
            down.until = Some(at);
        }
        self.is_down = false;
    }

    fn begin(&mut self, at: Stamp, recovery: Recovery) {
        self.engine = Engine::new(self.policy.clone(), recovery, at);
        self.now = at;
        self.told = at;
        self.wake_at = at;
        let abilities = self.abilities.clone();
        self.step(at, Input::Abilities(abilities));
    }

    fn note(&mut self, at: Stamp, what: What) {
        self.happened.push(Happening { at, what });
    }
}

/// What outlives a replayed action: the holds. What another engine tried and how it ended is no part of it.
fn holds_alone(memory: &Memory) -> Memory {
    Memory { holds: memory.holds.clone(), next_key: memory.next_key, ..Memory::default() }
}

/// The policy made to act, so that a machine that only observes shows what would have been done. Tags are left out: they
/// change no decision.
#[must_use]
pub fn enforced(mut policy: Policy) -> Policy {
    policy.mode = Mode::Enforce;
    policy.tags.enabled = false;
    policy
}

#[cfg(test)]
mod tests;
