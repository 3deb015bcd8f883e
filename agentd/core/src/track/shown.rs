//! A source as people see it.

use super::Track;
use super::subject::{Last, Subject};
use crate::policy::Combine;
use crate::reading::{Account, Role, SourceName, Stretch};
use crate::verdict::{Judgement, SignalView, SourceView, UncountedView};

/// Processor time below this is not worth a word, cores …
const LEAST_CORES: f64 = 0.002;
/// … and bytes below this, a second …
const LEAST_BYTES: f64 = 200.0;
/// … and anything below this part of people's limit, where that is more than so many bytes.
const LEAST_PART: f64 = 0.04;

impl Track {
    /// The subject with the largest share in the present judgement.
    pub(crate) fn leading(&self) -> Option<(&str, Option<&str>)> {
        let mut best: Option<(&String, &Subject)> = None;
        for (name, subject) in &self.subjects {
            if subject.role == Role::Ignored || subject.judgement != self.judgement {
                continue;
            }
            let larger = |other: &Subject| {
                (subject.shown.unwrap_or(0.0), subject.last_activity)
                    > (other.shown.unwrap_or(0.0), other.last_activity)
            };
            if best.is_none_or(|(_, other)| larger(other)) {
                best = Some((name, subject));
            }
        }
        best.map(|(name, subject)| (name.as_str(), subject.owner.as_deref()))
    }

    /// The subject that stretches the required idle time in this way, the latest used first.
    pub(crate) fn stretching(&self, by: Stretch) -> Option<(&str, Option<&str>)> {
        let counts = self.subjects.iter().filter(|(_, s)| {
            s.role == Role::Workload && matches!(s.last, Last::Stretches(p) if p.by == by)
        });
        let latest = counts.max_by_key(|(_, s)| s.last_activity);
        latest.map(|(name, s)| (name.as_str(), s.owner.as_deref()))
    }

    /// Adds what runs and is not counted. Only what is measured by roles can be told apart from what is counted.
    pub(crate) fn uncounted(&self, source: &SourceName, all: &mut Vec<UncountedView>) {
        let policy = &self.policy;
        if policy.limits.is_none() {
            return;
        }
        let part = policy.busy_above * LEAST_PART;
        let least = match policy.unit.as_str() {
            "core" => LEAST_CORES,
            "B/s" => part.max(LEAST_BYTES),
            _ => part,
        };
        let counted = self.judgement == Judgement::Busy;
        for (name, subject) in &self.subjects {
            let Some(value) = subject.shown.filter(|value| *value >= least) else { continue };
            let by_itself = subject.judgement == Judgement::Busy;
            let left_out = match subject.role {
                Role::Workload => false,
                Role::Ignored => !Account::is(name),
                Role::Upkeep => !by_itself,
                // Below its limit it is a part of the sum that made a busy source busy.
                Role::Local | Role::Server | Role::Unexplained => !by_itself && !counted,
            };
            if left_out {
                all.push(UncountedView {
                    source: source.clone(),
                    subject: name.clone(),
                    owner: subject.owner.clone(),
                    role: subject.role,
                    value,
                    limit: policy.limit_of(name, subject.role).filter(|limit| *limit > 0.0),
                    work: policy.busy_above,
                    unit: policy.unit.clone(),
                });
            }
        }
    }

    /// The one subject without which the source would not be in use, if there is one: with its owner and role.
    pub(crate) fn sole(&self) -> Option<(&str, Option<&str>, Role)> {
        if self.judgement != Judgement::Busy {
            return None;
        }
        let (mut best, mut sum, mut busy) = (None::<(&str, &Subject, f64)>, 0.0, 0);
        for (name, subject) in &self.subjects {
            let by_itself = subject.judgement == Judgement::Busy;
            if subject.role == Role::Ignored || (subject.is_averaged() && !by_itself) {
                continue;
            }
            let limit = self.policy.limit_of(name, subject.role).filter(|limit| *limit > 0.0);
            let (Some(value), Some(limit)) = (subject.shown, limit) else { continue };
            let counter = matches!(subject.last, Last::Counter(_));
            let share = if counter { subject.mean } else { value } / limit;
            busy += i32::from(by_itself);
            sum += share;
            if best.is_none_or(|(.., most)| share > most) {
                best = Some((name, subject, share));
            }
        }
        let (name, subject, share) = best?;
        let others = match self.policy.combine {
            Combine::Sum => sum - share < 1.0,
            Combine::Each => busy <= 1,
        };
        let alone = others && busy <= 1;
        alone.then_some((name, subject.owner.as_deref(), subject.role))
    }

    /// The source as shown.
    pub(crate) fn view(&self, source: &SourceName) -> SourceView {
        let policy = &self.policy;
        let mut signals: Vec<SignalView> = self
            .subjects
            .iter()
            .map(|(subject, s)| SignalView {
                subject: subject.clone(),
                owner: s.owner.clone(),
                role: s.role,
                limit: policy.limit_of(subject, s.role).filter(|limit| *limit > 0.0),
                value: s.shown,
                judgement: s.judgement,
                last_activity: s.last_activity,
            })
            .collect();
        signals.sort_by(|a, b| {
            b.value
                .unwrap_or(0.0)
                .total_cmp(&a.value.unwrap_or(0.0))
                .then(b.last_activity.cmp(&a.last_activity))
        });
        let detail = match self.judgement {
            Judgement::Blocks => self.leading().map(|(subject, owner)| match owner {
                Some(owner) => format!("{subject} ({owner})"),
                None => subject.to_owned(),
            }),
            _ => self.detail.clone(),
        };
        SourceView {
            source: source.clone(),
            judgement: if policy.enabled { self.judgement } else { Judgement::Disabled },
            value: self.value,
            limit: policy.busy_above,
            unit: policy.unit.clone(),
            cause: self.cause(),
            last_activity: self.last_activity,
            since: self.since,
            read_at: self.read_at,
            detail,
            signals,
        }
    }
}
