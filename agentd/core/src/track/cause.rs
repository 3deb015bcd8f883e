//! What a source's judgement rests on, for people: the one thing that contributes most to it, measured by itself.
//!
//! What is compared with the limit is a sum in which everything is weighed by a limit of its own. That sum is nobody's measure: a unit
//! of 0.22 core is 0.14 in it. So it is said only where no single thing is a use by itself.

use super::Track;
use super::subject::{Last, Subject};
use crate::reading::Role;
use crate::verdict::{Cause, Judgement, Sum};

/// What lives makes up so much of a sum that nothing of it is missing: one of rounding and of different moments is.
const WHOLE: f64 = 0.95;

/// One subject, its own limit, and by how much it weighs in the sum.
struct Part<'a> {
    name: &'a str,
    subject: &'a Subject,
    limit: f64,
    weight: f64,
}

impl Part<'_> {
    fn shown(&self) -> f64 {
        self.subject.shown.unwrap_or(0.0)
    }

    fn weighed(&self) -> f64 {
        self.subject.mean * self.weight
    }

    fn cause(&self) -> Cause {
        cause(self.name, self.subject, self.subject.shown, self.limit)
    }

    /// Whether the limits of both are for the same.
    fn is_like(&self, other: &Self) -> bool {
        let upkeep = |part: &Self| part.subject.role == Role::Upkeep;
        self.limit.total_cmp(&other.limit).is_eq() && upkeep(self) == upkeep(other)
    }
}

impl Track {
    /// What is in use, and how much of it; else what comes nearest to its limit. None where nothing can be named.
    pub(crate) fn cause(&self) -> Option<Cause> {
        if self.judgement == Judgement::Blind {
            return None;
        }
        let parts = self.parts();
        if self.judgement != Judgement::Busy {
            let nearest = most(parts.iter(), |it| it.shown() * it.weight);
            return nearest.filter(|it| it.shown() > 0.0).map(Part::cause);
        }
        let alone = parts.iter().filter(|it| it.subject.judgement == Judgement::Busy);
        match most(alone, |it| it.weighed()) {
            Some(part) => Some(part.cause()),
            None => self.touched().or_else(|| self.together(&parts)),
        }
    }

    /// What was used when a use was noticed: what is in use, or what has just come, gone or changed.
    pub(crate) fn used(&self) -> Option<Cause> {
        if self.judgement == Judgement::Busy {
            return self.cause();
        }
        let (subject, owner) = self.leading()?;
        let (subject, owner) = (Some(subject.to_owned()), owner.map(str::to_owned));
        Some(Cause { subject, owner, value: self.value, ..Cause::default() })
    }

    /// Everything that counts in the sum, or may by itself.
    fn parts(&self) -> Vec<Part<'_>> {
        let counters = self.subjects.iter().filter(|(_, s)| matches!(s.last, Last::Counter(_)));
        let parts = counters.filter_map(|(name, subject)| {
            let limit = self.policy.limit_of(name, subject.role).filter(|limit| *limit > 0.0)?;
            let by_itself = subject.judgement == Judgement::Busy;
            let counts = match subject.role {
                Role::Workload | Role::Local | Role::Server => true,
                Role::Upkeep => by_itself || self.upkeep_counts,
                Role::Unexplained => by_itself,
                Role::Ignored => false,
            };
            let weight = if subject.role == Role::Upkeep {
                self.server_weight()
            } else {
                self.weight(limit)
            };
            counts.then_some(Part { name, subject, limit, weight })
        });
        parts.collect()
    }

    /// What was touched, or is at a level above the limit.
    fn touched(&self) -> Option<Cause> {
        let busy = self.subjects.iter().filter(|(_, s)| s.judgement == Judgement::Busy);
        let (name, subject) = most(busy, |(_, s)| (s.shown.unwrap_or(0.0), s.last_activity))?;
        Some(cause(name, subject, subject.shown, self.policy.busy_above))
    }

    /// Several that are a use only together.
    fn together(&self, parts: &[Part<'_>]) -> Option<Cause> {
        let all = self.value?;
        let grew = || parts.iter().filter(|part| part.subject.mean > 0.0);
        let top = most(grew(), |part| part.weighed());
        let living: f64 = grew().map(Part::weighed).sum();
        // What has ended is still in the sum, and cannot be named any more.
        let whole = living >= all * WHOLE;
        let like = top.filter(|top| whole && grew().all(|part| part.is_like(top)));
        let upkeep = self.policy.limits.as_ref().map(|limits| limits.roles.upkeep_together);
        let (value, limit, sum) = match like {
            Some(top) => {
                let measured = grew().map(|part| part.subject.mean).sum();
                let upkeep = upkeep.filter(|_| top.subject.role == Role::Upkeep);
                (measured, upkeep.unwrap_or(top.limit), Sum::Together)
            }
            None => (all, self.policy.busy_above, Sum::Weighed),
        };
        let top = top.filter(|_| living * 2.0 >= all);
        Some(Cause {
            subject: top.map(|top| top.name.to_owned()),
            owner: top.and_then(|top| top.subject.owner.clone()),
            value: Some(value),
            limit: Some(limit),
            sum,
        })
    }
}

fn cause(name: &str, subject: &Subject, value: Option<f64>, limit: f64) -> Cause {
    Cause {
        subject: Some(name.to_owned()),
        owner: subject.owner.clone(),
        value,
        limit: value.map(|_| limit),
        sum: Sum::One,
    }
}

/// The one with the highest key, the first of several.
fn most<T, K: PartialOrd>(all: impl Iterator<Item = T>, key: impl Fn(&T) -> K) -> Option<T> {
    let mut best: Option<(K, T)> = None;
    for one in all {
        let its = key(&one);
        if best.as_ref().is_none_or(|(highest, _)| its > *highest) {
            best = Some((its, one));
        }
    }
    best.map(|(_, one)| one)
}
