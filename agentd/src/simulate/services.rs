//! What an old trace cannot tell, and what it tells all the same.
//!
//! Before `accounts` 1 what root and services did was one sum that was shown and never counted. From such a trace it cannot be
//! told whether they worked, and nothing is guessed. One thing is certain: where the whole sum was above the ceiling that all
//! upkeep has together, it is use today, whoever it was. A stop with such a use in the idle time before it would be
//! no more.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent_core::input::Input;
use agent_core::policy::Policy;
use agent_core::reading::{Observation, Reading, Role, SourceName, Value};
use agent_core::replay::{Happening, What};
use agent_core::stamp::Stamp;
use agent_core::trace::{ACCOUNTS, Content, Record};
use serde::Serialize;

/// The sum of all services in old traces: a control group.
const SERVICES: &str = "system.slice";
/// Sources that keep accounts.
const ACCOUNTING: &[SourceName] =
    &[SourceName::new("cpu"), SourceName::new("disk"), SourceName::new("network")];
/// More runs of use than this are not remembered; the oldest go first.
const MOST_RUNS: usize = 4096;

/// What an old part of a trace says of services.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Unaccounted {
    /// The first moment of which the work of services is unknown.
    pub(super) from: Stamp,
    /// The last.
    pub(super) to: Stamp,
    /// Stops in that time that would be no more: the trace shows that services were at work in the idle time before.
    pub(super) no_more: Vec<NoMore>,
    /// Stops in that time of which nothing can be said.
    pub(super) unknown: usize,
}

/// A stop that would be no more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct NoMore {
    /// When it would have come.
    pub(super) at: Stamp,
    /// The source that shows the work.
    pub(super) source: SourceName,
    /// The highest mean of all services in the idle time before it, in `unit`.
    pub(super) value: f64,
    /// The ceiling of all upkeep together.
    pub(super) limit: f64,
    /// The unit.
    pub(super) unit: String,
}

/// A time in which the sum of all services was above the ceiling.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: Stamp,
    to: Stamp,
    highest: f64,
}

/// One source's sum.
#[derive(Debug)]
struct Services {
    limit: f64,
    unit: String,
    scale: f64,
    average: Duration,
    samples: VecDeque<(Stamp, u64)>,
    runs: VecDeque<Run>,
}

/// Follows the sums of services through a trace.
#[derive(Debug)]
pub(super) struct Follower {
    sources: BTreeMap<SourceName, Services>,
    /// The readings keep accounts from the last boot on.
    accounted: bool,
    /// The boot, and whether another one began at the last record.
    boot: Option<String>,
    began: bool,
    said: Option<Unaccounted>,
    /// So much of what happened was judged.
    judged: usize,
}

impl Follower {
    /// A follower with the ceilings of a policy; where it has none, those of another.
    pub(super) fn new(policy: &Policy, own: &Policy) -> Self {
        let services = |source: &SourceName| {
            let of = |policy: &Policy| {
                let found = policy.sources.get(source)?;
                Some((found.limits.as_ref()?.roles.upkeep_together, found.clone()))
            };
            let (limit, found) = of(policy).or_else(|| of(own))?;
            let services = Services {
                limit,
                unit: found.unit,
                scale: found.scale,
                average: found.average,
                samples: VecDeque::new(),
                runs: VecDeque::new(),
            };
            Some((source.clone(), services))
        };
        let sources = ACCOUNTING.iter().filter_map(services).collect();
        Self { sources, accounted: false, boot: None, began: false, said: None, judged: 0 }
    }

    /// Takes in the next record. What happened up to it must be judged before the one after it.
    pub(super) fn take(&mut self, record: &Record) {
        if core::mem::take(&mut self.began) {
            self.sources.values_mut().for_each(|services| services.runs.clear());
        }
        match &record.content {
            Content::Boot(boot) => {
                self.accounted = boot.accounts >= ACCOUNTS;
                // Moments of two boots cannot be compared.
                self.began = self.boot.as_ref().is_some_and(|known| *known != boot.id);
                self.boot = Some(boot.id.clone());
                self.sources.values_mut().for_each(|services| services.samples.clear());
            }
            Content::Inputs(inputs) if !self.accounted => {
                for input in inputs {
                    if let Input::Observed(observation) = input {
                        self.observe(record.at, observation);
                    }
                }
            }
            Content::Inputs(_) => {}
        }
    }

    fn observe(&mut self, at: Stamp, observation: &Observation) {
        let Observation { source, reading: Reading::Signals(signals) } = observation else {
            return;
        };
        if !ACCOUNTING.contains(source) {
            return;
        }
        let sum = signals.iter().find_map(|signal| match signal.value {
            Value::Counter { total }
                if signal.role == Role::Ignored && signal.subject == SERVICES =>
            {
                Some(total)
            }
            _ => None,
        });
        let Some(total) = sum else { return };
        let nothing = || Unaccounted { from: at, to: at, no_more: Vec::new(), unknown: 0 };
        self.said.get_or_insert_with(nothing).to = at;
        if let Some(services) = self.sources.get_mut(source) {
            services.grow(at, total);
        }
    }

    /// Judges the stops among what happened since it was called last.
    pub(super) fn judge(&mut self, happened: &[Happening]) {
        let new = happened.get(self.judged..).unwrap_or_default();
        self.judged = happened.len();
        for happening in new {
            let What::Acted { idle_ms, .. } = happening.what else { continue };
            let Some(said) = self.said.as_mut().filter(|_| !self.accounted) else { continue };
            let at = happening.at;
            let idle_since = at.before(Duration::from_millis(idle_ms));
            let seen = self.sources.iter().filter_map(|(source, services)| {
                let value = services.highest(idle_since, at)?;
                let (limit, unit) = (services.limit, services.unit.clone());
                Some(NoMore { at, source: source.clone(), value, limit, unit })
            });
            match seen.max_by(|a, b| (a.value / a.limit).total_cmp(&(b.value / b.limit))) {
                Some(most) => said.no_more.push(most),
                None => said.unknown = said.unknown.saturating_add(1),
            }
        }
    }

    /// What can be said; none where every reading keeps accounts.
    pub(super) fn finish(self) -> Option<Unaccounted> {
        self.said
    }
}

impl Services {
    /// The sum is so much now.
    fn grow(&mut self, at: Stamp, total: u64) {
        let fell = self.samples.back().is_some_and(|(before, known)| {
            total < *known || at.since(*before) > super::LONGEST_PAUSE || at < *before
        });
        if fell {
            self.samples.clear();
        }
        self.samples.push_back((at, total));
        // The newest that is old enough is where the mean begins.
        while self.samples.get(1).is_some_and(|(then, _)| at.since(*then) >= self.average) {
            self.samples.pop_front();
        }
        let Some((then, begin)) = self.samples.front().copied() else { return };
        let span = at.since(then);
        if span < self.average || span.is_zero() {
            return;
        }
        let mean = to_f64(total - begin) * self.scale / span.as_secs_f64();
        if mean < self.limit {
            return;
        }
        match self.runs.back_mut() {
            Some(run) if run.to >= then => {
                run.to = at;
                run.highest = run.highest.max(mean);
            }
            _ => {
                if self.runs.len() >= MOST_RUNS {
                    self.runs.pop_front();
                }
                self.runs.push_back(Run { from: at, to: at, highest: mean });
            }
        }
    }

    /// The highest mean above the ceiling between two moments.
    fn highest(&self, from: Stamp, to: Stamp) -> Option<f64> {
        let within = self.runs.iter().filter(|run| run.from <= to && run.to > from);
        within.map(|run| run.highest).max_by(f64::total_cmp)
    }
}

/// A growth as a number with a fraction; beyond 2^53 the last digits do not matter.
#[expect(clippy::cast_precision_loss, reason = "a growth of 2^53 microseconds is 285 years")]
fn to_f64(growth: u64) -> f64 {
    growth as f64
}
