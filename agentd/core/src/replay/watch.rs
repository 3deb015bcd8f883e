//! Looks for use in a trace while the replayed machine would be down: what an action interrupts.

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::input::Input;
use crate::memory::Recovery;
use crate::policy::{Mode, Policy};
use crate::reading::{Observation, SourceName, Stretch};
use crate::stamp::{Stamp, millis};
use crate::verdict::{Judgement, SignalView};

/// A use that begins within this time after an action is one that the action interrupts: somebody who was still there.
pub(super) const INTERRUPTED_MS: u64 = 10 * 60 * 1000;

/// A use in a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// When.
    pub at: Stamp,
    /// Seen by which source.
    pub source: SourceName,
    /// Of what: a terminal, a cgroup, a device.
    pub subject: Option<String>,
    /// Whose.
    pub owner: Option<String>,
    /// The value in `unit`, where the source has one.
    pub value: Option<f64>,
    /// The unit.
    pub unit: String,
}

impl Use {
    /// Whether it is of the same subject of the same source.
    pub fn is_of(&self, other: &Self) -> bool {
        (&self.source, &self.subject) == (&other.source, &other.subject)
    }
}

/// An engine that never acts and only recognizes use.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    policy: Policy,
    engine: Engine,
}

impl Watch {
    pub(super) fn new(mut policy: Policy, now: Stamp) -> Self {
        policy.mode = Mode::Observe;
        policy.idle.enabled = false;
        policy.tags.enabled = false;
        let engine = Engine::new(policy.clone(), Recovery::default(), now);
        Self { policy, engine }
    }

    /// Another boot: nothing that was read before can be compared.
    pub(super) fn restart(&mut self, now: Stamp) {
        self.engine = Engine::new(self.policy.clone(), Recovery::default(), now);
    }

    /// Takes in a reading; the moment of the use that it proves, if it is later than every use before.
    pub(super) fn observe(&mut self, at: Stamp, observation: &Observation) -> Option<Stamp> {
        let before = self.engine.last_use_at();
        self.engine.step(at, Input::Observed(observation.clone()));
        self.engine.last_use_at().filter(|at| Some(*at) != before)
    }

    /// What is in use at `at`, and the job that waits in the foreground of a terminal.
    pub(super) fn in_use(&self, at: Stamp) -> Vec<Use> {
        let view = self.engine.view(at);
        let busy = view.sources.iter().filter(|source| source.judgement == Judgement::Busy);
        let fresh = busy.filter(|source| {
            source.read_at.is_some_and(|read_at| millis(at.since(read_at)) <= INTERRUPTED_MS)
        });
        let mut uses: Vec<Use> =
            fresh.filter_map(|source| self.describe(at, at, &source.source)).collect();
        // A job that waits in the foreground uses nothing, and its loss is somebody's all the same.
        let job = view.stretch.iter().filter(|stretch| stretch.by == Stretch::Job);
        uses.extend(job.map(|job| Use {
            at,
            source: job.source.clone(),
            subject: Some(job.subject.clone()),
            owner: job.owner.clone(),
            value: None,
            unit: String::new(),
        }));
        uses
    }

    /// A use that `source` saw, by its latest signal.
    pub(super) fn describe(&self, now: Stamp, used_at: Stamp, source: &SourceName) -> Option<Use> {
        let view = self.engine.view(now);
        let seen = view.sources.into_iter().find(|seen| seen.source == *source)?;
        let newest = |a: &&SignalView, b: &&SignalView| {
            let rank = |s: &SignalView| s.last_activity.map_or(0, |at| at.boot_ms);
            rank(a).cmp(&rank(b)).then(a.value.unwrap_or(0.0).total_cmp(&b.value.unwrap_or(0.0)))
        };
        let counted = seen.signals.iter().filter(|s| s.judgement != Judgement::Ignored);
        let signal = counted.max_by(newest);
        Some(Use {
            at: used_at,
            source: seen.source.clone(),
            subject: signal.map(|s| s.subject.clone()),
            owner: signal.and_then(|s| s.owner.clone()),
            value: seen.value,
            unit: seen.unit.clone(),
        })
    }
}
