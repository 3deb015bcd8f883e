//! What the signals of one reading add up to: each is compared with what is remembered of its subject, and counters are weighed
//! by whose work they tell of.

use super::Track;
use super::subject::{Last, Subject};
use super::sum::{Sum, later};
use crate::policy::Combine;
use crate::reading::{Role, Signal, Stretch, Value};
use crate::stamp::Stamp;
use crate::verdict::Judgement;
use crate::window::to_f64;

impl Track {
    /// Compares every signal with what is remembered of its subject.
    pub(super) fn take_in(&mut self, now: Stamp, signals: Vec<Signal>) -> Sum {
        self.generation = self.generation.wrapping_add(1);
        let mut sum = Sum::default();
        for signal in signals {
            self.take_signal(now, signal, &mut sum);
        }
        self.weigh_upkeep(now, &mut sum);
        let generation = self.generation;
        self.subjects.retain(|_, s| {
            let there = s.generation == generation;
            if !there && s.role != Role::Ignored {
                sum.event_at = later(sum.event_at, s.last.left(now));
            }
            there
        });
        sum
    }

    fn take_signal(&mut self, now: Stamp, signal: Signal, sum: &mut Sum) {
        let name = signal.subject;
        let known = self.subjects.get_mut(&name);
        let blocked = known.as_ref().is_some_and(|s| s.blocks());
        let before = known.map(|s| (s.last, s.last_activity, core::mem::take(&mut s.window)));
        let last = before.as_ref().map(|(last, _, _)| *last);
        let last_activity = before.as_ref().and_then(|(_, at, _)| *at);
        let mut subject = Subject {
            owner: signal.owner,
            role: signal.role,
            last: Last::Shown,
            shown: None,
            judgement: Judgement::Idle,
            last_activity,
            generation: self.generation,
            mean: 0.0,
            window: before.map(|(_, _, window)| window).unwrap_or_default(),
        };
        let counts = subject.role != Role::Ignored;
        match signal.value {
            Value::Counter { total } => {
                self.take_counter(now, &name, &mut subject, last, total, sum);
            }
            Value::Level { value } => {
                subject.levelled(now, value, counts && value >= self.policy.busy_above);
                if counts {
                    sum.rise(&name, value);
                }
            }
            Value::Mark { mark, age_ms } => {
                let old = match last {
                    Some(Last::Mark(old)) => Some(old),
                    _ => self.remembered.remove(&name),
                };
                subject.marked(now, old, mark, age_ms, self.marks_known);
                sum.touched |= counts && subject.judgement == Judgement::Busy;
            }
            Value::Blocks { cap_ms } => {
                let was_expired = matches!(last, Some(Last::Blocks { expired: true, .. }));
                let expired = subject.blocked(now, last, cap_ms);
                sum.blocks |= counts && !expired;
                if expired && !was_expired {
                    sum.expired.push(name.clone());
                }
            }
            Value::Stretches { by } => self.take_presence(now, &mut subject, last, by, sum),
            Value::Shown { value } => {
                subject.shown = Some(value);
                subject.judgement = Judgement::Ignored;
            }
        }
        if !counts {
            subject.judgement = Judgement::Ignored;
        }
        sum.happen(now, blocked && subject.stopped_blocking());
        self.subjects.insert(name, subject);
    }

    /// Something that stretches the required idle time.
    fn take_presence(
        &mut self,
        now: Stamp,
        subject: &mut Subject,
        last: Option<Last>,
        by: Stretch,
        sum: &mut Sum,
    ) {
        let counts = subject.role != Role::Ignored;
        let again = counts && self.visitors.note(now, subject.owner.as_deref());
        let at = subject.present(now, last, by, self.compared_at.is_some(), again);
        if counts {
            sum.stretch = sum.stretch.max(Some(by));
            sum.event_at = later(sum.event_at, at);
        }
    }

    /// A counter: its growth is summed, and weighed by itself where the limit is for each.
    fn take_counter(
        &self,
        now: Stamp,
        name: &str,
        subject: &mut Subject,
        last: Option<Last>,
        total: u64,
        sum: &mut Sum,
    ) {
        let old = match last {
            Some(Last::Counter(old)) => Some(old),
            // A subject that was not there at the last reading has grown all it is since then.
            _ => self.compared_at.map(|_| 0),
        };
        let limit = self.policy.limit_of(name, subject.role);
        let growth = subject.counted(now, old, total, self.compared_at, &self.policy);
        let Some(limit) = limit else { return };
        sum.counted = true;
        let Some(growth) = growth else { return sum.ran_back(name) };
        let Some(at) = self.compared_at else { return };
        let rate = subject.rated(now, growth, at, &self.policy, limit);
        if self.policy.combine == Combine::Each {
            return sum.weigh_each(rate);
        }
        let above = rate.in_use || !subject.is_averaged();
        let weight = match subject.role {
            Role::Upkeep => {
                sum.upkeep_all = sum.upkeep_all.saturating_add(growth);
                if !above {
                    sum.upkeep = sum.upkeep.saturating_add(growth);
                    return;
                }
                self.server_weight()
            }
            _ if !above => return,
            _ => self.weight(limit),
        };
        sum.growth += to_f64(growth) * weight;
    }

    /// By how much something with a limit of its own weighs beside people's work.
    pub(super) fn weight(&self, limit: f64) -> f64 {
        // A limit of nothing is no limit of anything: a source that has none is not weighed.
        if limit > 0.0 && self.policy.busy_above > 0.0 {
            self.policy.busy_above / limit
        } else {
            1.0
        }
    }

    /// The same for what keeps the machine once it is above its ceiling.
    pub(super) fn server_weight(&self) -> f64 {
        self.policy.limits.as_ref().map_or(1.0, |limits| self.weight(limits.roles.server_above))
    }

    /// What keeps the machine counts nothing below its ceiling, and all of it counts once it is too much together: a load
    /// that is spread over many such units is a load.
    fn weigh_upkeep(&mut self, now: Stamp, sum: &mut Sum) {
        let Some(together) = self.policy.limits.as_ref().map(|limits| limits.roles.upkeep_together)
        else {
            return;
        };
        let Some(at) = self.compared_at else { return };
        let amount = to_f64(sum.upkeep_all) * self.policy.scale;
        let rate = self.upkeep.push(now, now.since(at), amount, self.policy.average, together);
        self.upkeep_counts = rate.in_use;
        if rate.in_use {
            sum.growth += to_f64(sum.upkeep) * self.server_weight();
        }
    }
}
