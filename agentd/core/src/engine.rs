//! One step: the time and one input in, one decision out.
//!
//! The engine is a struct that one task owns. Its parts: `clock` (gaps, resumes, the idle clock), `commands`, `idle` (the
//! way to an action), `acting` (hook and call), `outcome` (what became of an action), `recovery` (what an earlier run
//! left), `preflight`, `tagging`, `stage`, `picture` (the view), `words`; `stretch`, `cycles` and `wishes` (what makes it wait
//! longer), `notice` (how long before it people are told), `uncounted` (what ran), `keeper` (what alone kept it up).
//! `interrupted` comes before all of them: what EC2 announces, and the drain.

mod acting;
mod clock;
mod commands;
mod cycles;
mod idle;
mod interrupted;
mod keeper;
mod notice;
mod outcome;
mod picture;
mod preflight;
mod recovery;
mod stage;
mod stretch;
mod tagging;
mod uncounted;
mod users;
mod wishes;
mod words;

use std::collections::BTreeMap;

use crate::action::{ActionKind, ActionRequest, Key, Power, Refusal};
use crate::decision::Decision;
use crate::input::{Abilities, Ability, Input, Reply, Wishes};
use crate::memory::{CallState, HookState, IdleClock, Memory, Origin, Recovery};
use crate::policy::{Mode, Policy};
use crate::reading::{Observation, SourceName, Stretch};
use crate::reason::Event;
use crate::stamp::{Stamp, millis};
use crate::track::Track;
use crate::verdict::{Judgement, LastAction, Stage, UseView};

pub(crate) use idle::Phase;
use interrupted::Interrupted;
use keeper::Keeper;
use preflight::Preflight;
use tagging::Tagging;
use wishes::TagHold;
pub use words::{of_limit, quantity};

/// So many keys are reserved by one saving of the durable part.
const KEYS_AT_ONCE: u64 = 1000;

/// The decision engine.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each said in its own sentence"
)]
pub struct Engine {
    policy: Policy,
    memory: Memory,
    tracks: BTreeMap<SourceName, Track>,
    seen: Seen,
    abilities: Abilities,
    wishes: Wishes,
    tag_hold: Option<TagHold>,
    /// The stamp of the last step.
    last: Stamp,
    /// The clock runs behind a stamp that it gave before, which was told.
    ran_back: bool,
    /// Known idleness so far, milliseconds.
    quiet_ms: u64,
    /// The machine was used, or unknown for long, since the running countdown or intent began.
    used: bool,
    /// The source whose use was seen last since the idle clock was last set to zero for another reason.
    last_use: Option<SourceName>,
    /// The use that was seen last at all.
    last_seen: Option<UseView>,
    /// The latest moment of use that is known.
    last_use_at: Option<Stamp>,
    /// What alone has used the machine since when, while nobody was seen.
    keeper: Option<Keeper>,
    /// Since when at least one source is blind.
    blind_from: Option<Stamp>,
    resumed_at: Option<Stamp>,
    /// The last pause in which the agent could not look: when it was noticed, and how long it was in milliseconds.
    last_gap: Option<(Stamp, u64)>,
    phase: Phase,
    /// A person was seen on this boot: an action is announced in time.
    people: bool,
    /// The call that was withdrawn, which is asked for once.
    withdrawn: Option<Key>,
    /// After an intent was called off the next begins no sooner.
    pause_until: Stamp,
    /// The tries so far, while a recheck or a look stands between two of them.
    retrying: Option<(u32, Option<Stamp>)>,
    /// The stage that was shown last, and since when.
    stage: Stage,
    stage_since: Stamp,
    quiet_told: bool,
    would_act_told: bool,
    preflight: Preflight,
    tagging: Tagging,
    interrupted: Interrupted,
    /// The last key that was given.
    key: u64,
    /// Events of the recovery, told in the first step.
    pending: Vec<Event>,
    /// The durable part was changed outside of a step.
    unsaved: bool,
}

/// What the sources say together; taken once a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the sources")]
struct Seen {
    /// A source is blind, or no source that exists is looked at: nothing is known then.
    blind: bool,
    /// A source is blind by a fault.
    fault: bool,
    /// A source blocks.
    block: bool,
    /// A source is in use.
    busy: bool,
    /// What stretches the required idle time most.
    stretch: Option<Stretch>,
}

/// What a step collects.
#[derive(Debug, Default)]
struct Out {
    actions: Vec<ActionRequest>,
    events: Vec<Event>,
    reply: Option<Reply>,
    dirty: bool,
}

impl Engine {
    /// An engine at `now`, continuing from what an earlier run left.
    pub fn new(policy: Policy, recovery: Recovery, now: Stamp) -> Self {
        let tracks = tracks(&policy, BTreeMap::new(), now);
        let remembered = recovery.memory.is_some();
        let memory = recovery.memory.unwrap_or_default();
        // Keys must never repeat over restarts, also when the memory was lost.
        let key = memory.next_key.max(u64::try_from(now.wall_ms).unwrap_or(0));
        let mut engine = Self {
            policy,
            memory,
            tracks,
            seen: Seen { blind: true, ..Seen::default() },
            abilities: Abilities::default(),
            wishes: Wishes::default(),
            tag_hold: None,
            last: now,
            ran_back: false,
            quiet_ms: 0,
            used: false,
            last_use: None,
            last_seen: None,
            last_use_at: None,
            keeper: None,
            blind_from: Some(now),
            resumed_at: None,
            last_gap: None,
            phase: Phase::Watching,
            // What an earlier run saw on this boot is not known without its clock.
            people: recovery.same_boot && recovery.clock.is_none(),
            withdrawn: None,
            pause_until: now,
            retrying: None,
            stage: Stage::Active,
            stage_since: now,
            quiet_told: false,
            would_act_told: false,
            preflight: Preflight::due(now),
            tagging: Tagging::default(),
            interrupted: Interrupted::default(),
            key,
            pending: Vec::new(),
            unsaved: !remembered,
        };
        if recovery.same_boot || recovery.clock.is_some() {
            engine.tagging = Tagging::restarted(now);
        }
        let clock = recovery.clock.filter(|_| remembered);
        engine.recover(now, clock, remembered && recovery.same_boot);
        engine.stage = engine.current_stage(now);
        engine
    }

    /// Takes in one input at `now` and decides.
    pub fn step(&mut self, now: Stamp, input: Input) -> Decision {
        let mut out = Out { events: core::mem::take(&mut self.pending), ..Out::default() };
        out.dirty = core::mem::take(&mut self.unsaved) || !out.events.is_empty();
        let now = self.advance_clock(now, &mut out);
        self.go_on(now, &mut out);
        self.take(now, input, &mut out);
        self.look_around(now, &mut out);
        self.attend(now, &mut out);
        self.advance(now, &mut out);
        let stage = self.current_stage(now);
        self.plan_preflight(now, stage, &mut out);
        if stage != self.stage {
            self.stage = stage;
            self.stage_since = now;
        }
        self.plan_tags(now, &mut out);
        // Whatever else this step asks for: seconds count for these.
        out.actions.sort_by_key(|request| !request.kind.is_urgent());
        let wake_at = self.wake_at(now);
        Decision {
            stage: self.stage,
            actions: out.actions,
            events: out.events,
            reply: out.reply,
            wake_at,
            dirty: out.dirty,
        }
    }

    /// The durable part, to be saved whenever a decision is dirty, before its actions run.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The instance's id, once IMDS told it.
    pub fn instance_id(&self) -> Option<&str> {
        self.abilities.instance_id.as_deref()
    }

    /// The latest moment of use that is known; none since this engine began.
    pub fn last_use_at(&self) -> Option<Stamp> {
        self.last_use_at
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The idle clock, to be saved after every round of readings.
    pub fn idle_clock(&self) -> IdleClock {
        let marks = self
            .tracks
            .iter()
            .flat_map(|(name, track)| {
                track.marks().map(|(subject, mark)| (name.clone(), subject.to_owned(), mark))
            })
            .collect();
        IdleClock {
            at: self.last,
            // The idle time begins anew when a block ends, also when that happens while nobody looks.
            quiet_ms: if self.seen.block { 0 } else { self.quiet_ms },
            blind_from: self.blind_from,
            resumed_at: self.resumed_at,
            people: self.people,
            intent: self.memory.intent.as_ref().map(|intent| intent.since),
            marks,
        }
    }

    fn take(&mut self, now: Stamp, input: Input, out: &mut Out) {
        match input {
            Input::Tick => {}
            Input::Observed(observation) => self.observe(now, observation, out),
            Input::PolicyChanged(policy) => self.change_policy(now, *policy, out),
            Input::Abilities(abilities) => self.learn(now, abilities),
            Input::Wished(wishes) => self.wished(now, wishes, out),
            Input::Finished { key, outcome } => self.finished(now, key, outcome, out),
            Input::Described { key, state } => self.described(now, key, state, out),
            Input::Noticed(noticed) => self.noticed(now, noticed, out),
            Input::Withdrawn { id, because } => self.withdrawn_notice(now, &id, &because, out),
            Input::Resumed => self.resumed(now, out),
            Input::Command { actor, command } => self.command(now, &actor, command, out),
            Input::ProcessGone { pid } => {
                let gone = self.memory.holds.process_gone(pid);
                self.holds_ended(now, &gone, "process gone", out);
            }
        }
    }

    fn observe(&mut self, now: Stamp, observation: Observation, out: &mut Out) {
        let Observation { source, reading } = observation;
        let Some(track) = self.tracks.get_mut(&source) else { return };
        let effect = track.observe(now, reading);
        self.people |= track.shows_people();
        if effect.became_blind {
            let why = track.detail().unwrap_or_default().to_owned();
            out.events.push(Event::SourceBlind { source: source.to_string(), why });
        }
        if let Some(blind_ms) = effect.back_after_ms {
            out.events.push(Event::SourceBack { source: source.to_string(), blind_ms });
        }
        for subject in effect.expired {
            out.events.push(Event::BlockExpired { source: source.to_string(), subject });
        }
        if effect.touched {
            self.person_seen(now, out);
        }
        // The hook works for us: its own CPU and I/O are not somebody's use. What people touch is.
        let hook_runs = matches!(self.phase, Phase::Draining { .. });
        if let Some(at) = effect.used_at
            && (effect.touched || !hook_runs)
        {
            self.note_keeper(now, at, &source, effect.touched);
            self.note_use(now, at, source);
        }
    }

    fn change_policy(&mut self, now: Stamp, policy: Policy, out: &mut Out) {
        self.policy = policy;
        self.tracks = tracks(&self.policy, core::mem::take(&mut self.tracks), now);
        self.know_membership();
        self.preflight.ask_at(now);
        self.would_act_told = false;
        out.events.push(Event::PolicyChanged);
        if matches!(self.phase, Phase::Warned { .. } | Phase::WouldAct) {
            self.call_off(now, "the configuration was changed".to_owned(), out);
        }
    }

    /// The power action that would be taken now, if any.
    fn power(&self) -> Option<Power> {
        let wanted = self.policy.idle.action.filter(|_| self.policy.idle.enabled)?;
        if self.usable(wanted) {
            return Some(wanted);
        }
        // A refusal that is not about hibernation alone holds for a plain stop too.
        let falls_back = wanted == Power::Hibernate
            && self.policy.idle.fallback_stop
            && self.refusal(wanted).is_some_and(|refusal| refusal.hibernation_only);
        (falls_back && self.usable(Power::Stop)).then_some(Power::Stop)
    }

    /// Whether a power action is possible. Only observing, what is not known yet is taken for possible.
    fn usable(&self, power: Power) -> bool {
        if self.refusal(power).is_some() {
            return false;
        }
        let known = self.abilities.instance_id.is_some() && *self.found(power) == Ability::Can;
        known || self.mode() == Mode::Observe
    }

    /// What preflight says of a power action.
    fn found(&self, power: Power) -> &Ability {
        match power {
            Power::Hibernate => &self.abilities.hibernate,
            Power::Stop => &self.abilities.stop,
        }
    }

    /// Why a power action is impossible: EC2 refused the call itself, or preflight says so.
    fn refusal(&self, power: Power) -> Option<&Refusal> {
        let standing = self
            .memory
            .refusals
            .iter()
            .find(|s| s.power == power || !s.refusal.hibernation_only)
            .map(|s| &s.refusal);
        let standing = standing.or(self.interrupted.membership.as_ref());
        standing.or(match self.found(power) {
            Ability::Cannot(refusal) => Some(refusal),
            Ability::Can | Ability::Unknown => None,
        })
    }

    /// The same with what is known, for people.
    fn ability(&self, power: Power) -> Ability {
        match self.refusal(power) {
            Some(refusal) => Ability::Cannot(refusal.clone()),
            None => self.found(power).clone(),
        }
    }

    fn request(&mut self, kind: ActionKind, out: &mut Out) -> Key {
        self.key = self.key.saturating_add(1);
        if self.key >= self.memory.next_key {
            self.memory.next_key = self.key.saturating_add(KEYS_AT_ONCE);
            out.dirty = true;
        }
        let key = Key(self.key);
        out.actions.push(ActionRequest { key, kind });
        key
    }

    /// Notes how an action ended, for `status` and the tags.
    fn conclude(&mut self, now: Stamp, power: Power, result: &str, detail: String, out: &mut Out) {
        let not_counted = self.memory.intent.as_ref().and_then(|intent| intent.not_counted.clone());
        let result = result.to_owned();
        self.memory.last_action = Some(LastAction { power, at: now, result, detail, not_counted });
        out.dirty = true;
    }

    /// Takes together what the sources say.
    fn survey(&mut self) {
        let mut seen = Seen::default();
        let mut looked = false;
        for track in self.tracks.values() {
            let judgement = track.judgement();
            looked |= judgement != Judgement::Absent;
            seen.blind |= judgement == Judgement::Blind;
            seen.fault |= judgement == Judgement::Blind && track.is_fault();
            seen.block |= track.is_blocking();
            seen.busy |= judgement == Judgement::Busy;
            seen.stretch = seen.stretch.max(track.stretch());
        }
        seen.blind |= !looked;
        self.seen = seen;
    }
}

impl Out {
    fn hold_ended(&mut self, hold: &crate::hold::Hold, how: &str) {
        self.events.push(Event::HoldEnded {
            hold: hold.id,
            owner: hold.owner.clone(),
            how: how.to_owned(),
        });
        self.dirty = true;
    }
}

/// The enabled sources; those that were followed already keep what is known of them.
fn tracks(
    policy: &Policy,
    mut known: BTreeMap<SourceName, Track>,
    now: Stamp,
) -> BTreeMap<SourceName, Track> {
    let enabled = policy.sources.iter().filter(|(_, p)| p.enabled);
    enabled
        .map(|(name, policy)| {
            let mut track = known.remove(name).unwrap_or_else(|| Track::new(now, policy.clone()));
            track.judge_by(policy.clone());
            (name.clone(), track)
        })
        .collect()
}

#[cfg(test)]
mod tests;
