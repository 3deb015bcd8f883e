//! Notices and the alerts that are made of them.

use core::time::Duration;

use super::{
    EVENT_STANDS, Engine, Out, SPOT_AHEAD, SPOT_STANDS, Stamp, UNTIMED, clock_text, drain, left_ms,
    moment,
};
use crate::engine::millis;
use crate::input::{Actor, Denial, Reply};
use crate::interruption::{
    Alert, AlertEnd, Due, Moment, Notice, Noticed, Reaction, SpotAction, TargetState,
};
use crate::reason::Event;

/// So many alerts are kept at most.
const MOST_ALERTS: usize = 32;
/// So many closed notices are remembered at most.
const MOST_CLOSED: usize = 64;
/// A time that was closed and is read again may differ by this: it was rounded, or told by another clock.
const SAME_TIME_MS: i64 = 60_000;
/// How far away the end of a drill may be.
const DRILL_MS: core::ops::RangeInclusive<u64> = 5_000..=3_600_000;
/// What an untimed reading changes is saved no more often than this.
const SAVE_SEEN: Duration = Duration::from_mins(1);

impl Engine {
    /// EC2 announces something.
    pub(in crate::engine) fn noticed(&mut self, now: Stamp, noticed: Noticed, out: &mut Out) {
        if !self.policy.interruption.enabled {
            return;
        }
        if let Notice::AutoScaling { target } = noticed.notice {
            self.target_is(now, target, out);
            return;
        }
        let id = noticed.notice.id();
        if self.alert(&id).is_some() {
            self.seen_again(now, &id, noticed.due, out);
        } else if self.is_closed(&noticed) {
            // It was dealt with, and is read for ever.
        } else if let Some(because) = self.implausible(&noticed) {
            self.tell_stale(now, &noticed, because, out);
        } else {
            self.open(now, id, noticed.notice, noticed.due, false, out);
        }
    }

    /// EC2 took something back.
    pub(in crate::engine) fn withdrawn_notice(
        &mut self,
        now: Stamp,
        id: &str,
        because: &str,
        out: &mut Out,
    ) {
        self.end_alert(now, id, AlertEnd::Withdrawn, because, out);
    }

    /// Begins a drill.
    pub(in crate::engine) fn drill(
        &mut self,
        now: Stamp,
        actor: &Actor,
        action: SpotAction,
        in_ms: u64,
        out: &mut Out,
    ) -> Result<Reply, Denial> {
        if !actor.admin {
            return Err(Denial::NotPermitted(format!(
                "'{}' may not begin a drill; root and members of group 'agentd' may",
                actor.name
            )));
        }
        if !self.policy.interruption.enabled {
            return Err(Denial::Policy("[interruption] enabled = false".to_owned()));
        }
        if !DRILL_MS.contains(&in_ms) {
            let text = "a drill ends in 5 seconds at least and in an hour at most";
            return Err(Denial::Invalid(text.to_owned()));
        }
        let drains = |alert: &&Alert| {
            !alert.drill && alert.drain.as_ref().is_some_and(|d| d.ended.is_none())
        };
        let goes = self.interruption().or(self.memory.interruptions.alerts.iter().find(drains));
        if let Some(alert) = goes {
            return Err(Denial::Policy(format!("this is no drill: {}", alert.notice)));
        }
        if self.memory.interruptions.alerts.iter().any(|alert| alert.drill) {
            return Err(Denial::Policy("another drill has not ended yet".to_owned()));
        }
        let id = format!("drill-{}-{}", action.as_str(), self.key.saturating_add(1));
        let due = now.after(Duration::from_millis(in_ms));
        let left_ms = i64::try_from(in_ms).unwrap_or(i64::MAX);
        let notice = Notice::Spot { action };
        let hooks = u32::try_from(self.hooks_for(&notice).len()).unwrap_or(u32::MAX);
        self.open(now, id.clone(), notice, Some(Due { wall_ms: due.wall_ms, left_ms }), true, out);
        Ok(Reply::Drilling { alert: id, hooks, deadline_wall_ms: due.wall_ms })
    }

    /// The group's target state was read.
    fn target_is(&mut self, now: Stamp, target: TargetState, out: &mut Out) {
        let notice = Notice::AutoScaling { target };
        let id = notice.id();
        let known = self.alert(&id).is_some();
        if target.is_termination() && !known {
            self.open(now, id.clone(), notice, None, false, out);
        }
        if self.memory.interruptions.target == Some(target) {
            return;
        }
        self.memory.interruptions.target = Some(target);
        self.know_membership();
        out.dirty = true;
        out.events.push(Event::TargetChanged { target: target.as_str().to_owned() });
        let is_other =
            |alert: &&Alert| matches!(alert.notice, Notice::AutoScaling { .. }) && alert.id != id;
        let others = self.memory.interruptions.alerts.iter().filter(is_other);
        let others: Vec<String> = others.map(|alert| alert.id.clone()).collect();
        for other in others {
            let because = format!("the target state is {} now", target.as_str());
            self.end_alert(now, &other, AlertEnd::Withdrawn, &because, out);
        }
    }

    /// A new alert, and what follows from it at once. The hooks come first.
    fn open(
        &mut self,
        now: Stamp,
        id: String,
        notice: Notice,
        due: Option<Due>,
        drill: bool,
        out: &mut Out,
    ) {
        self.make_room(now, &notice, out);
        let alert = Alert {
            id: id.clone(),
            notice,
            drill,
            seen: now,
            last_seen: now,
            due: due.map(|due| moment(now, due.left_ms, due.wall_ms)),
            stale: false,
            drain: None,
            joined: None,
            completed: false,
        };
        self.memory.interruptions.alerts.push(alert);
        out.dirty = true;
        // People read of the notice first, although what follows from it comes first.
        let place = out.events.len();
        let because = self.decide(now, &id, out);
        let Some(alert) = self.alert(&id).cloned() else { return };
        let noticed = Event::Noticed {
            alert: id,
            what: alert.notice.to_string(),
            deadline_wall_ms: alert.due.map(|due| due.wall_ms),
            left_ms: alert.due.map(|due| left_ms(now, due)),
            drill,
            because: because.clone(),
        };
        out.events.insert(place, noticed);
        self.notify(now, &alert, Moment::Noticed, because, out);
    }

    /// Begins the drain of a new alert where there is to be one now; says what follows.
    fn decide(&mut self, now: Stamp, id: &str, out: &mut Out) -> String {
        let Some(alert) = self.alert(id) else { return String::new() };
        let policy = &self.policy.interruption;
        let reaction = match &alert.notice {
            Notice::Spot { .. } => Reaction::Drain,
            Notice::Rebalance { .. } => policy.rebalance,
            Notice::Maintenance { .. } => return self.later_text(alert),
            Notice::AutoScaling { .. } => policy.autoscaling,
        };
        if reaction == Reaction::Notify {
            return "people and programs are told, no hook runs".to_owned();
        }
        if matches!(alert.notice, Notice::Rebalance { .. }) && self.drained_lately(now) {
            return "hooks ran for another recommendation a short while ago".to_owned();
        }
        self.drain_or_say(now, id, out)
    }

    /// A recommendation led to a drain within the interval.
    fn drained_lately(&self, now: Stamp) -> bool {
        let least = i64::try_from(millis(self.policy.interruption.rebalance_interval));
        let drained = self.memory.interruptions.rebalance_drained_wall_ms;
        // A wall clock that was set back says nothing: then it was not lately.
        drained.is_some_and(|at| {
            (0..least.unwrap_or(i64::MAX)).contains(&now.wall_ms.saturating_sub(at))
        })
    }

    fn later_text(&self, alert: &Alert) -> String {
        match self.drains_at(alert) {
            Some(at) => {
                let hooks = self.hooks_for(&alert.notice).len();
                format!("{} from {}", drain::hooks_text(hooks), clock_text(at.wall_ms))
            }
            None => "people and programs are told, no hook runs".to_owned(),
        }
    }

    /// When the hooks begin for an event that is still away.
    pub(super) fn drains_at(&self, alert: &Alert) -> Option<Stamp> {
        let Notice::Maintenance { code, .. } = &alert.notice else { return None };
        let policy = &self.policy.interruption;
        let wanted = policy.maintenance == Reaction::Drain
            && code.takes_it_down()
            && !policy.hooks.is_empty()
            && alert.drain.is_none()
            && alert.joined.is_none()
            && !self.interrupted.would_run.contains(&alert.id);
        alert.due.filter(|_| wanted).map(|due| due.before(policy.maintenance_lead))
    }

    /// Begins the drain for events whose time has come.
    pub(super) fn events_come_near(&mut self, now: Stamp, out: &mut Out) {
        let near = |alert: &&Alert| {
            self.drains_at(alert).is_some_and(|at| at.boot_ms <= now.boot_ms)
                && alert.due.is_some_and(|due| now.since(due) < EVENT_STANDS)
        };
        let alerts = &self.memory.interruptions.alerts;
        let near: Vec<String> = alerts.iter().filter(near).map(|a| a.id.clone()).collect();
        for id in near {
            self.drain_or_say(now, &id, out);
        }
    }

    /// The same notice was read again: its deadline only moves earlier.
    fn seen_again(&mut self, now: Stamp, id: &str, due: Option<Due>, out: &mut Out) {
        let Some(due) = due else { return };
        let read = moment(now, due.left_ms, due.wall_ms);
        let stale = due.left_ms < -signed(SPOT_STANDS);
        let Some(alert) = self.alert_mut(id) else { return };
        let Some(known) = alert.due else {
            alert.due = Some(read);
            out.dirty = true;
            self.hurry(now, id, out);
            return;
        };
        if matches!(alert.notice, Notice::Maintenance { .. }) {
            // The window is part of its identity: only how far away it is may be known better now.
            if alert.drain.is_none() && read.boot_ms.abs_diff(known.boot_ms) > 5000 {
                alert.due = Some(read);
                out.dirty = true;
            }
            return;
        }
        if due.wall_ms != known.wall_ms && !stale {
            out.dirty |= now.since(alert.last_seen) >= SAVE_SEEN;
            alert.last_seen = now;
        }
        // Both must say so: how far away it is alone jitters with every answer.
        if due.wall_ms >= known.wall_ms || read.boot_ms >= known.boot_ms {
            return;
        }
        alert.due = Some(read);
        let moved = Event::NoticeMoved {
            alert: id.to_owned(),
            what: alert.notice.to_string(),
            deadline_wall_ms: due.wall_ms,
            left_ms: left_ms(now, read),
        };
        out.events.push(moved);
        out.dirty = true;
        self.hurry(now, id, out);
    }

    /// Why a notice cannot be one of what is about to happen.
    fn implausible(&self, noticed: &Noticed) -> Option<String> {
        let left_ms = noticed.due?.left_ms;
        let (past, ahead) = match &noticed.notice {
            Notice::Spot { .. } => (SPOT_STANDS, Some(SPOT_AHEAD)),
            Notice::Rebalance { .. } => (self.policy.interruption.rebalance_expires, None),
            Notice::Maintenance { .. } => (EVENT_STANDS, None),
            Notice::AutoScaling { .. } => return None,
        };
        let by = if noticed.own_clock { " by this machine's clock" } else { "" };
        let away = crate::engine::words::span_ms(left_ms.unsigned_abs());
        if left_ms < -signed(past) {
            Some(format!("its time passed {away} ago{by}"))
        } else if ahead.is_some_and(|ahead| left_ms > signed(ahead)) {
            Some(format!("it is {away} away{by}, and such a notice comes two minutes ahead"))
        } else {
            None
        }
    }

    /// Says once that nothing is done about a notice.
    fn tell_stale(&mut self, now: Stamp, noticed: &Noticed, because: String, out: &mut Out) {
        let Some(due) = noticed.due else { return };
        let name = format!("stale {}", noticed.notice.id());
        let told = self.closed_time(&name);
        let lately = self.interrupted.stale_told.is_some_and(|at| now.since(at) < SPOT_STANDS);
        if told.is_some_and(|told| lately || told.abs_diff(due.wall_ms) < millis(SPOT_STANDS)) {
            return;
        }
        self.interrupted.stale_told = Some(now);
        self.close_time(&name, due.wall_ms);
        out.dirty = true;
        let what = noticed.notice.to_string();
        out.events.push(Event::NoticeStale { what, deadline_wall_ms: due.wall_ms, because });
    }

    /// Whether this notice was dealt with.
    fn is_closed(&self, noticed: &Noticed) -> bool {
        let id = noticed.notice.id();
        if !matches!(noticed.notice, Notice::Spot { .. }) {
            return self.memory.interruptions.closed.contains(&id);
        }
        // What has not passed yet is announced anew: the machine was booted in between.
        noticed.due.filter(|due| due.left_ms <= 0).is_some_and(|due| {
            let closed = self.closed_time(&id);
            closed.is_some_and(|closed| closed.abs_diff(due.wall_ms) <= SAME_TIME_MS.unsigned_abs())
        })
    }

    fn closed_time(&self, name: &str) -> Option<i64> {
        let mut closed = self.memory.interruptions.closed.iter().rev();
        closed.find_map(|entry| entry.strip_prefix(name)?.strip_prefix('@')?.parse().ok())
    }

    /// Remembers the time of a closed notice whose identity has none.
    pub(super) fn close_time(&mut self, name: &str, wall_ms: i64) {
        let is_older =
            |entry: &str| entry.strip_prefix(name).is_some_and(|rest| rest.starts_with('@'));
        self.memory.interruptions.closed.retain(|entry| !is_older(entry));
        self.close_id(format!("{name}@{wall_ms}"));
    }

    /// Remembers a closed notice.
    pub(super) fn close_id(&mut self, id: String) {
        let closed = &mut self.memory.interruptions.closed;
        closed.retain(|entry| *entry != id);
        closed.push(id);
        let over = closed.len().saturating_sub(MOST_CLOSED);
        closed.drain(..over);
    }

    /// Before another alert: an event that was moved has a new identity, and a list without end is cut.
    fn make_room(&mut self, now: Stamp, notice: &Notice, out: &mut Out) {
        if let Notice::Maintenance { event, .. } = notice {
            let same = |alert: &&Alert| matches!(&alert.notice, Notice::Maintenance { event: other, .. } if other == event);
            let alerts = &self.memory.interruptions.alerts;
            let moved: Vec<String> = alerts.iter().filter(same).map(|a| a.id.clone()).collect();
            for id in moved {
                self.end_alert(now, &id, AlertEnd::Withdrawn, "it was moved to another time", out);
            }
        }
        let alerts = &self.memory.interruptions.alerts;
        if alerts.len() >= MOST_ALERTS {
            let events = |alert: &Alert| matches!(alert.notice, Notice::Maintenance { .. });
            let place = alerts.iter().position(events).unwrap_or(0);
            let alert = self.memory.interruptions.alerts.remove(place);
            self.interrupted.running.retain(|running| running.alert != alert.id);
            self.close_id(alert.id);
        }
    }

    /// When an alert has passed if nothing more is heard of it.
    pub(super) fn passes_at(&self, alert: &Alert) -> Option<Stamp> {
        if alert.drill {
            let busy = alert.drain.as_ref().filter(|d| d.ended.is_none()).map(drain::gives_up_at);
            return alert.due.map(|due| busy.map_or(due, |busy| due.max(busy)));
        }
        match &alert.notice {
            Notice::Spot { .. } => {
                let due = alert.due.unwrap_or_else(|| alert.seen.after(UNTIMED));
                let busy = alert.drain.as_ref().filter(|d| d.ended.is_none());
                let end = due.max(alert.last_seen).after(SPOT_STANDS);
                Some(busy.map_or(end, |busy| end.max(drain::gives_up_at(busy))))
            }
            Notice::Rebalance { .. } => {
                Some(alert.seen.after(self.policy.interruption.rebalance_expires))
            }
            Notice::Maintenance { .. } => alert.due.map(|due| due.after(EVENT_STANDS)),
            Notice::AutoScaling { .. } => None,
        }
    }

    /// Closes the alerts that have passed.
    pub(super) fn alerts_pass(&mut self, now: Stamp, out: &mut Out) {
        let passed =
            |alert: &&Alert| self.passes_at(alert).is_some_and(|at| at.boot_ms <= now.boot_ms);
        let alerts = &self.memory.interruptions.alerts;
        let passed: Vec<(String, AlertEnd)> = alerts
            .iter()
            .filter(passed)
            .map(|alert| {
                let end = match alert.notice {
                    _ if alert.drill => AlertEnd::DrillOver,
                    Notice::Rebalance { .. } => AlertEnd::Expired,
                    _ => AlertEnd::NeverCame,
                };
                (alert.id.clone(), end)
            })
            .collect();
        for (id, end) in passed {
            self.end_alert(now, &id, end, "", out);
        }
    }
}

fn signed(span: Duration) -> i64 {
    i64::try_from(millis(span)).unwrap_or(i64::MAX)
}
