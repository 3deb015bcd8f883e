//! After the fact: how an alert ended, what is undone, and what is told of it.

use super::{Engine, Out, Stamp, clock_text, drain};
use crate::action::ActionKind;
use crate::interruption::{
    Alert, AlertEnd, Drain, HookOrder, Moment, Notice, PastAlert, RunState, SpotAction,
};
use crate::reason::Event;

/// So many alerts that have passed are kept.
const MOST_PAST: usize = 16;
/// A hook that undoes another may take this long, milliseconds.
const UNDO_MS: u64 = 90_000;

impl Engine {
    /// Closes an alert: says so, undoes what is to be undone, and remembers it.
    pub(super) fn end_alert(
        &mut self,
        now: Stamp,
        id: &str,
        end: AlertEnd,
        because: &str,
        out: &mut Out,
    ) {
        let alerts = &mut self.memory.interruptions.alerts;
        let Some(place) = alerts.iter().position(|alert| alert.id == id) else { return };
        let mut alert = alerts.remove(place);
        out.dirty = true;
        let inherited = self.inherit(&alert);
        if !inherited {
            self.interrupted.running.retain(|running| running.alert != id);
        }
        if let Some(drain) = alert.drain.as_mut() {
            close_runs(drain, inherited);
        }
        let story = story(&alert, end, because);
        let hooks = alert.drain.as_ref().map(|drain| drain.runs.clone()).unwrap_or_default();
        out.events.push(Event::AlertOver {
            alert: alert.id.clone(),
            what: alert.notice.to_string(),
            end,
            because: story.clone(),
            drill: alert.drill,
            hooks,
        });
        if let Some(moment) = told_as(&alert, end) {
            self.notify(now, &alert, moment, story, out);
        }
        let stays = !matches!(end, AlertEnd::StartedAgain | AlertEnd::Resumed);
        if stays && !inherited {
            self.undo(now, &alert, out);
        }
        self.remember_closed(&alert);
        let past = &mut self.memory.interruptions.past;
        past.push(PastAlert { alert, closed: now, end });
        let over = past.len().saturating_sub(MOST_PAST);
        past.drain(..over);
    }

    /// An alert that joined this one takes its drain over, so that it goes on and nothing is undone under it.
    fn inherit(&mut self, alert: &Alert) -> bool {
        let alerts = &mut self.memory.interruptions.alerts;
        let heir = alerts.iter().position(|other| other.joined.as_ref() == Some(&alert.id));
        let Some(heir) = heir.and_then(|place| alerts.get_mut(place)) else { return false };
        heir.joined = None;
        heir.drain.clone_from(&alert.drain);
        let heir = heir.id.clone();
        for other in alerts.iter_mut().filter(|other| other.joined.as_ref() == Some(&alert.id)) {
            other.joined = Some(heir.clone());
        }
        for running in self.interrupted.running.iter_mut().filter(|r| r.alert == alert.id) {
            running.alert.clone_from(&heir);
        }
        true
    }

    /// Starts again what the hooks stopped. Nobody waits for it.
    fn undo(&mut self, now: Stamp, alert: &Alert, out: &mut Out) {
        let Some(drain) = &alert.drain else { return };
        for (index, run) in drain.runs.iter().enumerate() {
            let ran = matches!(run.state, RunState::Done | RunState::Started | RunState::Lost);
            let Some(unit) = run.hook.strip_prefix("stop ").filter(|_| ran) else { continue };
            let stopped_again = self.memory.interruptions.alerts.iter().any(|other| {
                let runs = other.drain.iter().flat_map(|drain| &drain.runs);
                !other.drill && runs.map(|run| &run.hook).any(|hook| *hook == run.hook)
            });
            if stopped_again {
                continue;
            }
            let order = HookOrder {
                alert: alert.id.clone(),
                hook: format!("start {unit}"),
                index: u32::try_from(index).unwrap_or(u32::MAX),
                event: alert.notice.event().to_owned(),
                action: alert.notice.action().to_owned(),
                deadline_wall_ms: alert.due.map_or(now.wall_ms, |due| due.wall_ms),
                left_ms: 0,
                end_in_ms: UNDO_MS,
                kill_in_ms: UNDO_MS + 10_000,
                drill: alert.drill,
                undo: true,
            };
            self.request(ActionKind::Drain(order), out);
        }
    }

    /// A closed notice may still be readable, and must not be taken for a new one.
    fn remember_closed(&mut self, alert: &Alert) {
        if alert.drill {
            return;
        }
        match (&alert.notice, alert.due) {
            (Notice::Spot { .. }, Some(due)) => self.close_time(&alert.id, due.wall_ms),
            // The group's state is what it is: a target that still stands after a boot leads to a drain there.
            (Notice::Spot { .. } | Notice::AutoScaling { .. }, _) => {}
            (Notice::Rebalance { .. } | Notice::Maintenance { .. }, _) => {
                self.close_id(alert.id.clone());
            }
        }
    }

    /// Takes up the alerts that an earlier run left.
    pub(in crate::engine) fn recover_alerts(&mut self, now: Stamp, same_boot: bool, out: &mut Out) {
        let due_later = |alert: &Alert| {
            matches!(alert.notice, Notice::Maintenance { .. })
                && alert.drain.is_none()
                && alert.due.is_some_and(|due| due.wall_ms > now.wall_ms)
        };
        let mut left = Vec::new();
        for alert in &mut self.memory.interruptions.alerts {
            let slept = now.asleep_ms.saturating_sub(alert.seen.asleep_ms);
            if same_boot && slept >= super::super::clock::SLEPT_MS && may_resume(alert) {
                left.push((alert.id.clone(), AlertEnd::Resumed));
            } else if same_boot {
                // It goes on.
            } else if alert.drill {
                left.push((alert.id.clone(), AlertEnd::DrillOver));
            } else if due_later(alert) {
                // It is still to come, counted on this boot's clock, until it is read again.
                let ms = alert.due.map_or(0, |due| due.wall_ms.saturating_sub(now.wall_ms));
                alert.due = alert.due.map(|due| super::moment(now, ms, due.wall_ms));
                (alert.seen, alert.last_seen) = (now, now);
            } else {
                left.push((alert.id.clone(), AlertEnd::StartedAgain));
            }
        }
        if same_boot {
            self.recover_drains(now, out);
        }
        for (id, end) in left {
            self.end_alert(now, &id, end, "", out);
        }
        self.interrupted.pending.append(&mut out.actions);
        self.know_membership();
    }

    /// The machine was resumed: what was announced has happened.
    pub(in crate::engine) fn alerts_resumed(&mut self, now: Stamp, out: &mut Out) {
        let alerts = self.memory.interruptions.alerts.iter();
        let over: Vec<String> = alerts.filter(|a| may_resume(a)).map(|a| a.id.clone()).collect();
        for id in over {
            self.end_alert(now, &id, AlertEnd::Resumed, "", out);
        }
    }
}

/// Whether a machine that was resumed was down for this.
fn may_resume(alert: &Alert) -> bool {
    let comes_back = SpotAction::Terminate;
    !alert.drill && matches!(&alert.notice, Notice::Spot { action } if *action != comes_back)
}

/// The hooks of a closed alert are what they were last.
fn close_runs(drain: &mut Drain, go_on: bool) {
    if go_on {
        return;
    }
    drain::skip_rest(drain, "it was over before");
    for run in drain.runs.iter_mut().filter(|run| run.state == RunState::Started) {
        run.state = RunState::Lost;
        "nobody saw its end".clone_into(&mut run.detail);
    }
}

/// As which moment the end of an alert is told; none where it is no news to anybody.
fn told_as(alert: &Alert, end: AlertEnd) -> Option<Moment> {
    match (end, &alert.notice) {
        (AlertEnd::DrillOver, _) | (AlertEnd::NeverCame, Notice::Maintenance { .. }) => None,
        (AlertEnd::StartedAgain | AlertEnd::Resumed, _) => Some(Moment::CameBack),
        (AlertEnd::NeverCame, _) => Some(Moment::NeverCame),
        (AlertEnd::Withdrawn | AlertEnd::Expired, _) => Some(Moment::Withdrawn),
    }
}

/// The whole story, one line.
fn story(alert: &Alert, end: AlertEnd, because: &str) -> String {
    let mut text = format!("announced at {}", clock_text(alert.seen.wall_ms));
    if let Some(due) = alert.due {
        text = format!("{text} for {}", clock_text(due.wall_ms));
    }
    text = format!("{text}; {}", end.as_str());
    if !because.is_empty() {
        text = format!("{text} ({because})");
    }
    match &alert.drain {
        Some(drain) => format!("{text}; {}", drain::runs_text(&drain.runs)),
        None => text,
    }
}
