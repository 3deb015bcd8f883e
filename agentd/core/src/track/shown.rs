//! A source as people see it.

use super::Track;
use super::subject::{Last, Subject};
use crate::reading::{Role, SourceName, Stretch};
use crate::verdict::{Judgement, SignalView, SourceView};

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
        best.or_else(|| self.largest())
            .map(|(name, subject)| (name.as_str(), subject.owner.as_deref()))
    }

    /// Where many small parts are a use together, the largest of them.
    fn largest(&self) -> Option<(&String, &Subject)> {
        let counts = |s: &Subject| !matches!(s.role, Role::Ignored | Role::Upkeep);
        let share = |name: &str, s: &Subject| {
            let limit = self.policy.limit_of(name, s.role).filter(|limit| *limit > 0.0)?;
            s.shown.map(|value| value / limit)
        };
        let parts =
            self.subjects.iter().filter(|(_, s)| self.judgement == Judgement::Busy && counts(s));
        let shares = parts.filter_map(|part| share(part.0, part.1).map(|share| (share, part)));
        shares.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, part)| part)
    }

    /// The subject that stretches the required idle time in this way, the latest used first.
    pub(crate) fn stretching(&self, by: Stretch) -> Option<(&str, Option<&str>)> {
        let counts = self.subjects.iter().filter(|(_, s)| {
            s.role == Role::Workload && matches!(s.last, Last::Stretches(p) if p.by == by)
        });
        let latest = counts.max_by_key(|(_, s)| s.last_activity);
        latest.map(|(name, s)| (name.as_str(), s.owner.as_deref()))
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
            last_activity: self.last_activity,
            since: self.since,
            read_at: self.read_at,
            detail,
            signals,
        }
    }
}
