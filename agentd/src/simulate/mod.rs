//! `agentd simulate`: replays the recording or a trace under a policy and tells what would have happened, what that
//! would have saved, and whom it would have interrupted. The running agent is not asked.

mod anonymous;
mod command;
mod export;
mod services;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::input::Input;
use agent_core::policy::Policy;
use agent_core::reading::SourceName;
use agent_core::replay::{self, After, Down, Happening, Replay};
use agent_core::stamp::Stamp;
use agent_core::trace::{Content, Record};
use serde::Serialize;
use serde_json::json;

use crate::config::duration;
use crate::ledger::recorder::read::TraceError;
use services::{Follower, Unaccounted};

pub use command::{ExportRequest, SimulateRequest, SimulateTask, simulate};

/// From so many records at the beginning it is learned which sources a trace has and how often they were read.
const LEARN_FROM: usize = 200;

/// A pause in a trace that is longer than this is one of the recording, not of the sources.
const LONGEST_PAUSE: Duration = Duration::from_mins(16);

/// Which policies a simulation needs.
#[derive(Clone, Debug)]
struct Policies {
    /// The one to be tried; none: the one that the trace carries.
    tried: Option<Policy>,
    /// The one of this machine, where the trace carries none.
    own: Policy,
}

/// What a simulation gave.
#[derive(Debug)]
struct Simulation {
    policy: Policy,
    /// The policy is the one that the trace carries.
    carried: bool,
    first: Stamp,
    last: Stamp,
    records: u64,
    boots: u32,
    /// For so long the recorded machine was awake and recorded.
    recorded: Duration,
    happened: Vec<Happening>,
    downs: Vec<Down>,
    /// The stage at the end and why, where nothing would have been done.
    end: String,
    notes: Vec<String>,
    /// A part of the trace keeps no accounts of services.
    unaccounted: Option<Unaccounted>,
}

impl Simulation {
    fn off(&self) -> Duration {
        Duration::from_millis(self.downs.iter().map(|down| down.saved_ms).sum())
    }

    fn interrupted(&self) -> usize {
        self.downs.iter().filter(|down| !down.interrupted.is_empty()).count()
    }

    /// The document for programs.
    fn document(&self, name: &str, under: &str, price: Option<f64>) -> serde_json::Value {
        json!({
            "schema": "agentd/simulation/v1",
            "trace": {
                "name": name,
                "from": self.first,
                "to": self.last,
                "records": self.records,
                "boots": self.boots,
                "recorded_ms": millis(self.recorded),
            },
            "policy": Under {
                from: under,
                profile: &self.policy.profile,
                act_after_ms: millis(self.policy.idle.act_after),
                action: self.policy.idle.action.filter(|_| self.policy.idle.enabled),
            },
            "happened": self.happened,
            "downs": self.downs,
            "end": self.end,
            "sum": {
                "actions": self.downs.len(),
                "off_ms": millis(self.off()),
                "saved_usd": price.map(|price| saved(self.off(), price)),
                "interrupting": self.interrupted(),
            },
            "notes": self.notes,
            "unaccounted": self.unaccounted,
        })
    }
}

#[derive(Debug, Serialize)]
struct Under<'a> {
    from: &'a str,
    profile: &'a str,
    act_after_ms: u64,
    action: Option<agent_core::action::Power>,
}

/// What so long costs at a price an hour, rounded to cents.
fn saved(off: Duration, price: f64) -> f64 {
    (off.as_secs_f64() / 3600.0 * price * 100.0).round() / 100.0
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Replays records. `tick` is called now and then with the moment that was reached.
fn run(
    mut records: impl Iterator<Item = Result<Record, TraceError>>,
    policies: Policies,
    tick: &mut dyn FnMut(Stamp),
) -> Result<Option<Simulation>, TraceError> {
    let head = records.by_ref().take(LEARN_FROM).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = head.first().map(|record| record.at) else { return Ok(None) };
    let known = Known::learn(&head);
    let ceilings = policies.tried.as_ref().unwrap_or(&policies.own);
    let mut follower = Follower::new(ceilings, &policies.own);
    let mut notes = Vec::new();
    let carried = policies.tried.is_none() && known.policy.is_some();
    let judge = known.judge(&policies.own);
    let tried = policies.tried.or_else(|| known.policy.clone()).unwrap_or(policies.own);
    let policy = known.fit(replay::enforced(tried), &mut notes);
    let replay = match head.first().map(|record| &record.content) {
        Some(Content::Boot(boot)) => Replay::at_boot(policy.clone(), boot, first),
        _ => Replay::new(policy.clone(), first),
    };
    let mut replay = replay.then(After::GoOn).judged_by(judge);
    let mut tally =
        Tally { last: first, records: 0, boots: 1, recorded: Duration::ZERO, boot: None };
    for (place, record) in head.into_iter().map(Ok).chain(records).enumerate() {
        let record = record?;
        tally.count(&record);
        follower.take(&record);
        // The replay began with the first record, if that is a boot.
        if place > 0 || !matches!(record.content, Content::Boot(_)) {
            replay.record(record);
        }
        follower.judge(replay.happened());
        tick(tally.last);
    }
    replay.finish(tally.last);
    follower.judge(replay.happened());
    let view = replay.view();
    Ok(Some(Simulation {
        policy,
        carried,
        first,
        last: tally.last,
        records: tally.records,
        boots: tally.boots,
        recorded: tally.recorded,
        end: format!("{}: {}", view.stage.as_str(), view.because),
        happened: replay.happened().to_vec(),
        downs: replay.downs().to_vec(),
        notes,
        unaccounted: follower.finish(),
    }))
}

/// What is counted of the records.
struct Tally {
    last: Stamp,
    records: u64,
    boots: u32,
    recorded: Duration,
    boot: Option<String>,
}

impl Tally {
    fn count(&mut self, record: &Record) {
        self.records = self.records.saturating_add(1);
        let slept = record.at.asleep_ms.saturating_sub(self.last.asleep_ms);
        let span = record.at.since(self.last).saturating_sub(Duration::from_millis(slept));
        if let Content::Boot(boot) = &record.content {
            if self.boot.as_ref().is_some_and(|before| *before != boot.id) {
                self.boots = self.boots.saturating_add(1);
            }
            self.boot = Some(boot.id.clone());
        } else if span <= LONGEST_PAUSE {
            self.recorded += span;
        }
        self.last = record.at;
    }
}

/// What the beginning of a trace tells of it.
#[derive(Debug, Default)]
struct Known {
    policy: Option<Policy>,
    /// How often each source was read, as far as that can be told.
    sources: BTreeMap<SourceName, Option<Duration>>,
}

impl Known {
    fn learn(head: &[Record]) -> Self {
        let mut known = Self::default();
        let mut moments: BTreeMap<SourceName, Vec<Stamp>> = BTreeMap::new();
        for record in head {
            match &record.content {
                Content::Boot(boot) if known.policy.is_none() => {
                    known.policy.clone_from(&boot.policy);
                }
                Content::Boot(_) => {}
                Content::Inputs(inputs) => {
                    for input in inputs {
                        if let Input::Observed(observation) = input {
                            moments.entry(observation.source.clone()).or_default().push(record.at);
                        }
                    }
                }
            }
        }
        for (source, moments) in moments {
            let pairs = moments.iter().zip(moments.iter().skip(1));
            let mut spans: Vec<Duration> = pairs.map(|(a, b)| b.since(*a)).collect();
            spans.sort_unstable();
            known.sources.insert(source, spans.get(spans.len() / 2).copied());
        }
        known
    }

    /// The policy that tells what was use, whatever is tried: that of the time with every source.
    fn judge(&self, own: &Policy) -> Policy {
        let mut judge = self.policy.clone().unwrap_or_else(|| own.clone());
        for (source, policy) in &own.sources {
            judge.sources.entry(source.clone()).or_insert_with(|| policy.clone());
        }
        judge.sources.retain(|source, _| self.sources.contains_key(source));
        for (source, policy) in &mut judge.sources {
            policy.enabled = true;
            policy.interval = policy.interval.max(self.interval(source));
        }
        judge
    }

    fn interval(&self, source: &SourceName) -> Duration {
        let carried = self.policy.as_ref().and_then(|policy| policy.sources.get(source));
        let measured = self.sources.get(source).copied().flatten().unwrap_or_default();
        carried.map_or(measured, |policy| policy.interval)
    }

    /// The policy made to go with the trace: what was not recorded cannot be asked for, and nothing was read more
    /// often than it was.
    fn fit(&self, mut policy: Policy, notes: &mut Vec<String>) -> Policy {
        let mut slowed = Duration::ZERO;
        for (source, source_policy) in policy.sources.iter_mut().filter(|(_, p)| p.enabled) {
            if !self.sources.contains_key(source) {
                source_policy.enabled = false;
                notes.push(format!("source '{source}' is not in the trace and is left out"));
                continue;
            }
            let recorded = self.interval(source);
            if recorded > source_policy.interval {
                source_policy.interval = recorded;
                slowed = slowed.max(recorded);
            }
        }
        if !slowed.is_zero() {
            let span = duration::format(slowed);
            notes.push(format!("the policy reads more often than the trace; its {span} are kept"));
            policy.gap = policy.gap.max(slowed.saturating_mul(6).min(Duration::from_mins(1)));
        }
        policy
    }
}

#[cfg(test)]
mod tests;
