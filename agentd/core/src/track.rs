//! One source as the engine follows it: raw readings in, a judgement and moments of use out.

mod cause;
mod intake;
mod shown;
mod subject;
mod sum;
mod visitors;

use core::time::Duration;
use std::collections::BTreeMap;

use crate::policy::{Combine, SourcePolicy};
use crate::reading::{Reading, Signal, Stretch};
use crate::stamp::{Stamp, millis};
use crate::verdict::{Judgement, WAITING_FOR_SECOND_READING};
use crate::window::{Rate, RateWindow};
use subject::{Last, Subject};
use sum::{Sum, later};
use visitors::Visitors;

/// More signals than this from one source cannot be right; the reading is refused as a whole.
const MAX_SIGNALS: usize = 4096;

/// What one reading changed, for the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Effect {
    /// The latest moment of use that this reading proves.
    pub used_at: Option<Stamp>,
    /// The use was seen in a mark: a person touched something.
    pub touched: bool,
    /// The source became blind now.
    pub became_blind: bool,
    /// The source came back, after this many milliseconds of blindness.
    pub back_after_ms: Option<u64>,
    /// A block outlived its cap now.
    pub expired: Vec<String>,
}

/// A source.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each said in its own sentence"
)]
pub(crate) struct Track {
    policy: SourcePolicy,
    judgement: Judgement,
    since: Stamp,
    read_at: Option<Stamp>,
    /// The last good reading: counters are compared with it. None: there is nothing to compare with.
    compared_at: Option<Stamp>,
    /// The source has counters, so its value is a rate.
    counts: bool,
    /// It blocked when it was last read: what cannot be read any more has not ended.
    blocking: bool,
    /// What stretched the required idle time when it was last read.
    stretch: Option<Stretch>,
    /// Terminals are known; one that appears now is new.
    marks_known: bool,
    last_activity: Option<Stamp>,
    blind_since: Option<Stamp>,
    /// The blindness was told; waiting for a second reading is not told.
    told_blind: bool,
    detail: Option<String>,
    value: Option<f64>,
    window: RateWindow,
    /// The rate of all that keeps the machine, whatever each part stays below.
    upkeep: RateWindow,
    /// That is a use.
    upkeep_counts: bool,
    subjects: BTreeMap<String, Subject>,
    generation: u64,
    /// Marks known from before a restart of the agent.
    remembered: BTreeMap<String, u64>,
    /// Who was connected when.
    visitors: Visitors,
}

impl Track {
    /// A source that was not read yet.
    pub(crate) fn new(now: Stamp, policy: SourcePolicy) -> Self {
        Self {
            policy,
            judgement: Judgement::Blind,
            since: now,
            read_at: None,
            compared_at: None,
            counts: false,
            blocking: false,
            stretch: None,
            marks_known: false,
            last_activity: None,
            blind_since: Some(now),
            told_blind: false,
            detail: Some("not read yet".to_owned()),
            value: None,
            window: RateWindow::default(),
            upkeep: RateWindow::default(),
            upkeep_counts: false,
            subjects: BTreeMap::new(),
            generation: 0,
            remembered: BTreeMap::new(),
            visitors: Visitors::default(),
        }
    }

    /// Judges by these limits from now on.
    pub(crate) fn judge_by(&mut self, policy: SourcePolicy) {
        self.policy = policy;
    }

    /// How often it is read.
    pub(crate) fn interval(&self) -> Duration {
        self.policy.interval
    }

    /// Whether it has counters, as far as that is known.
    pub(crate) fn counts(&self) -> bool {
        self.counts || self.read_at.is_none()
    }

    /// Marks that an earlier run of the agent saw on this boot, so that an old terminal is not taken for a new one.
    pub(crate) fn remember(&mut self, subject: String, mark: u64) {
        self.remembered.insert(subject, mark);
    }

    /// The earlier run knew all of its marks: one that is not remembered is new.
    pub(crate) fn remember_all(&mut self) {
        self.marks_known = true;
    }

    /// The marks to be remembered over a restart.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (&str, u64)> {
        self.subjects.iter().filter_map(|(subject, s)| match s.last {
            Last::Mark(mark) => Some((subject.as_str(), mark)),
            _ => None,
        })
    }

    /// The judgement that stands.
    pub(crate) fn judgement(&self) -> Judgement {
        self.judgement
    }

    /// Whether it blocks, or blocked when it was last read.
    pub(crate) fn is_blocking(&self) -> bool {
        self.blocking
    }

    /// What stretches the required idle time, or did when it was last read.
    pub(crate) fn stretch(&self) -> Option<Stretch> {
        self.stretch
    }

    /// Whether it shows that somebody is at the machine: a terminal, or a connection of a person.
    pub(crate) fn shows_people(&self) -> bool {
        self.stretch.is_some() || self.marks().next().is_some()
    }

    /// Whether its blindness is a fault, not just the wait for a second reading.
    pub(crate) fn is_fault(&self) -> bool {
        self.told_blind
    }

    /// When it was last read well.
    pub(crate) fn read_at(&self) -> Option<Stamp> {
        self.read_at
    }

    /// Why it is blind, absent or blocking.
    pub(crate) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The value that is compared with the limit.
    pub(crate) fn value(&self) -> Option<f64> {
        self.value
    }

    /// When it was last used.
    pub(crate) fn last_activity(&self) -> Option<Stamp> {
        self.last_activity
    }

    /// Forgets all counters and windows: what was counted before this moment can no longer be compared.
    pub(crate) fn rebase(&mut self) {
        self.window.clear();
        self.upkeep.clear();
        self.compared_at = None;
        self.subjects.retain(|_, s| !matches!(s.last, Last::Counter(_)));
    }

    /// The same, and the source is unknown until it was read again.
    pub(crate) fn restart(&mut self, now: Stamp) {
        self.rebase();
        self.go_blind(now, "not read since the machine came back");
    }

    /// A reading that is too old says nothing: for how many milliseconds it has been so.
    pub(crate) fn expire(&mut self, now: Stamp) -> Option<u64> {
        let read_at = self.read_at.filter(|_| self.judgement != Judgement::Blind)?;
        let age_ms = now.boot_ms.saturating_sub(read_at.boot_ms);
        let limit_ms = millis(self.policy.interval).saturating_mul(3).saturating_add(1000);
        if age_ms <= limit_ms {
            return None;
        }
        self.go_blind(now, &format!("no reading for {} s", age_ms / 1000));
        self.told_blind = true;
        Some(age_ms - limit_ms)
    }

    /// Takes in a reading.
    pub(crate) fn observe(&mut self, now: Stamp, reading: Reading) -> Effect {
        match reading {
            Reading::Blind { why } => self.observe_blind(now, &why),
            Reading::Absent { why } => {
                let over = self.subjects.values().any(Subject::blocks);
                self.subjects.clear();
                self.window.clear();
                self.upkeep.clear();
                self.compared_at = Some(now);
                self.marks_known = true;
                self.blocking = false;
                self.stretch = None;
                self.value = None;
                let mut effect = self.see(now);
                effect.used_at = over.then_some(now);
                self.last_activity = later(self.last_activity, effect.used_at);
                self.judge(now, Judgement::Absent, Some(why));
                effect
            }
            Reading::Signals(signals) if signals.len() > MAX_SIGNALS => self
                .observe_blind(now, &format!("{} signals are too many to follow", signals.len())),
            Reading::Signals(signals) => self.observe_signals(now, signals),
        }
    }

    fn observe_blind(&mut self, now: Stamp, why: &str) -> Effect {
        let first = !self.told_blind;
        self.go_blind(now, why);
        self.told_blind = true;
        Effect { became_blind: first, ..Effect::default() }
    }

    fn observe_signals(&mut self, now: Stamp, signals: Vec<Signal>) -> Effect {
        let compared = self.compared_at;
        let span = now.since(compared.unwrap_or(now));
        let sum = self.take_in(now, signals);
        self.compared_at = Some(now);
        self.marks_known = true;
        let mut effect = if let Some(why) = &sum.garbage {
            self.observe_blind(now, why)
        } else if sum.counted && compared.is_none() {
            // A counter says nothing until it was read twice. This is no fault, so it is not told.
            self.told_blind = false;
            self.go_blind(now, WAITING_FOR_SECOND_READING);
            self.read_at = Some(now);
            Effect::default()
        } else {
            let mut effect = self.see(now);
            let growth = compared.map(|_| (span, sum.growth * self.policy.scale));
            effect.used_at = self.weigh(now, &sum, growth);
            effect
        };
        // What was touched was touched, whatever else of the reading is unknown.
        effect.touched = sum.touched;
        effect.used_at = later(effect.used_at, sum.touched.then_some(now));
        self.last_activity = later(self.last_activity, effect.used_at);
        effect.expired = sum.expired;
        effect
    }

    /// Turns the sum of one reading into value and judgement; the moment of use that it proves.
    fn weigh(&mut self, now: Stamp, sum: &Sum, growth: Option<(Duration, f64)>) -> Option<Stamp> {
        let limit = self.policy.busy_above;
        let busy_level = sum.level.is_some_and(|level| level >= limit);
        let mut used_at = later((sum.touched || busy_level).then_some(now), sum.event_at);
        let mut in_use = sum.touched || busy_level;
        self.value = sum.level;
        self.counts |= sum.counted;
        if let Some((span, amount)) = growth
            && self.counts
        {
            let rate = match self.policy.combine {
                Combine::Sum => self.window.push(now, span, amount, self.policy.average, limit),
                Combine::Each => sum.each.unwrap_or(Rate::NONE),
            };
            self.value = Some(self.value.map_or(rate.value, |level| level.max(rate.value)));
            used_at = later(used_at, rate.used_at);
            in_use |= rate.in_use;
        }
        self.read_at = Some(now);
        self.blocking = sum.blocks;
        self.stretch = sum.stretch;
        let judgement = if sum.blocks {
            Judgement::Blocks
        } else if in_use {
            Judgement::Busy
        } else if sum.stretch.is_some() {
            Judgement::Stretches
        } else {
            Judgement::Idle
        };
        self.judge(now, judgement, None);
        used_at
    }

    fn go_blind(&mut self, now: Stamp, why: &str) {
        if self.blind_since.is_none() {
            self.blind_since = Some(now);
        }
        self.value = None;
        if self.judgement != Judgement::Blind || self.detail.as_deref() != Some(why) {
            self.judge(now, Judgement::Blind, Some(why.to_owned()));
        }
    }

    /// The source can be read.
    fn see(&mut self, now: Stamp) -> Effect {
        let blind_ms = self.blind_since.take().map(|since| millis(now.since(since)));
        let told = core::mem::take(&mut self.told_blind);
        Effect { back_after_ms: if told { blind_ms } else { None }, ..Effect::default() }
    }

    fn judge(&mut self, now: Stamp, judgement: Judgement, detail: Option<String>) {
        if self.judgement != judgement {
            self.judgement = judgement;
            self.since = now;
        }
        self.detail = detail;
        if judgement == Judgement::Absent {
            self.read_at = Some(now);
        }
    }
}

#[cfg(test)]
mod roles;
#[cfg(test)]
mod tests;
