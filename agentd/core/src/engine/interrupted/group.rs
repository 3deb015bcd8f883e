//! The Auto Scaling group: it is told that the drain goes on, and that it is over.

use core::time::Duration;

use super::{Engine, Out, Stamp};
use crate::action::{ActionKind, Key, Outcome, Refusal, Retry};
use crate::interruption::{Alert, GroupCall, Notice, Reaction};
use crate::reason::Event;

/// Between two heartbeats; the shortest heartbeat timeout of a lifecycle hook is 30 s (Auto Scaling API,
/// `PutLifecycleHook`).
const HEARTBEAT: Duration = Duration::from_secs(20);
/// That the drain is over is said again at most this often.
const MOST_TRIES: u32 = 5;
/// The longest pause before that.
const MOST_PAUSE: Duration = Duration::from_mins(1);
/// An answer that has not come after this long never comes.
const NO_ANSWER: Duration = Duration::from_mins(2);

/// What is being said to the group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    /// The alert that it is about.
    alert: String,
    /// The call that is under way, and since when.
    calling: Option<(Key, GroupCall, Stamp)>,
    /// When the next heartbeat is due.
    beat_at: Option<Stamp>,
    /// No lifecycle action waits: there is nobody to tell.
    silent: bool,
    /// Completions that failed.
    tries: u32,
    /// The completion is tried again then.
    again_at: Option<Stamp>,
}

impl Engine {
    /// The termination by the group that it still has to be told about.
    fn awaited(&self) -> Option<&Alert> {
        let waits = |alert: &&Alert| {
            matches!(&alert.notice, Notice::AutoScaling { target } if target.is_termination())
                && !alert.completed
        };
        let may = self.may_act_on_it() && self.policy.interruption.autoscaling == Reaction::Drain;
        self.memory.interruptions.alerts.iter().filter(|_| may).find(waits)
    }

    /// Whether the hooks of an alert, or those that it joined, still run.
    fn is_draining(&self, alert: &Alert) -> bool {
        let by = alert.joined.as_ref().map_or(Some(alert), |id| self.alert(id));
        by.and_then(|alert| alert.drain.as_ref()).is_some_and(|drain| drain.ended.is_none())
    }

    /// Says to the group what is due.
    pub(super) fn tell_group(&mut self, now: Stamp, out: &mut Out) {
        let Some(alert) = self.awaited() else { return };
        let (id, draining) = (alert.id.clone(), self.is_draining(alert));
        if self.interrupted.group.alert != id {
            self.interrupted.group = Group { alert: id, ..Group::default() };
        }
        let group = &mut self.interrupted.group;
        if group.calling.is_some_and(|(_, _, since)| now.since(since) >= NO_ANSWER) {
            group.calling = None;
        }
        let due = |at: Option<Stamp>| at.is_none_or(|at| at.boot_ms <= now.boot_ms);
        if draining && !group.silent && group.calling.is_none() && due(group.beat_at) {
            group.beat_at = Some(now.after(HEARTBEAT));
            self.call_group(now, GroupCall::Heartbeat, out);
        } else if !draining && due(group.again_at) {
            // A heartbeat that is still under way does not hold it up.
            let completing = matches!(group.calling, Some((_, GroupCall::Complete, _)));
            if !completing {
                self.call_group(now, GroupCall::Complete, out);
            }
        }
    }

    fn call_group(&mut self, now: Stamp, call: GroupCall, out: &mut Out) {
        let key = self.request(ActionKind::AutoScaling(call), out);
        self.interrupted.group.calling = Some((key, call, now));
    }

    /// Takes in what Auto Scaling answered; false when the key is not of a call to it.
    pub(super) fn group_answered(
        &mut self,
        now: Stamp,
        key: Key,
        outcome: &Outcome,
        out: &mut Out,
    ) -> bool {
        let calling = self.interrupted.group.calling.take_if(|(mine, ..)| *mine == key);
        let Some((_, call, _)) = calling else { return false };
        let (ok, detail) = told(outcome);
        let over = matches!(outcome, Outcome::Refused(_) | Outcome::Already { .. });
        if call == GroupCall::Heartbeat {
            self.interrupted.group.silent |= over;
            if !ok {
                out.events.push(answered("heartbeat", ok, detail));
            }
            return true;
        }
        let group = &mut self.interrupted.group;
        let again_ms = match outcome {
            Outcome::Failed { retry: Retry::After { ms } | Retry::NotReady { ms }, .. } => {
                Some(*ms)
            }
            Outcome::Failed { retry: Retry::InDoubt, .. } => Some(1000),
            _ => None,
        };
        if let Some(ms) = again_ms.filter(|_| group.tries < MOST_TRIES) {
            group.tries = group.tries.saturating_add(1);
            group.again_at = Some(now.after(Duration::from_millis(ms.max(1)).min(MOST_PAUSE)));
            return true;
        }
        let id = group.alert.clone();
        if let Some(alert) = self.alert_mut(&id) {
            alert.completed = true;
        }
        out.dirty = true;
        out.events.push(answered("complete", ok, detail));
        true
    }

    pub(super) fn group_wakes(&self) -> Vec<Stamp> {
        let group = &self.interrupted.group;
        if self.awaited().is_none() {
            return Vec::new();
        }
        let unanswered = group.calling.map(|(_, _, since)| since.after(NO_ANSWER));
        group.beat_at.into_iter().chain(group.again_at).chain(unanswered).collect()
    }

    /// Notes whether the group forbids that this instance is stopped.
    pub(in crate::engine) fn know_membership(&mut self) {
        let target = self.memory.interruptions.target;
        let member = target.filter(|target| target.is_member() && !self.policy.idle.standby);
        self.interrupted.membership = member.map(|target| Refusal {
            code: "auto-scaling-member".to_owned(),
            detail: format!(
                "an Auto Scaling group owns this instance (target state {}) and would replace it when it stops; \
                 set idle.autoscaling = \"standby\" to put it on standby before",
                target.as_str()
            ),
            hibernation_only: false,
        });
    }
}

/// Whether a call did what it was to do, and what was answered.
pub(super) fn told(outcome: &Outcome) -> (bool, String) {
    match outcome {
        Outcome::Done { detail } | Outcome::Already { detail } => (true, detail.clone()),
        Outcome::Withheld { because } => (false, because.clone()),
        Outcome::Refused(refusal) => (false, refusal.detail.clone()),
        Outcome::Failed { error, .. } => (false, error.clone()),
    }
}

pub(super) fn answered(call: &str, ok: bool, detail: String) -> Event {
    Event::GroupAnswered { call: call.to_owned(), ok, detail }
}
