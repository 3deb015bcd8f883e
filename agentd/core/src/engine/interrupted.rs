//! Interruptions: what EC2 announces, and the drain. They come before everything else.
//!
//! A notice makes an alert, which lives until it has passed (`alerts`); an alert may lead to a drain, which runs the hooks
//! one after the other (`drain`); an Auto Scaling group is told how far it is (`group`), and is asked to do without the
//! instance before it is stopped (`standby`); in the end it is said what became of it (`after`).

mod after;
mod alerts;
mod drain;
mod group;
pub(super) mod standby;

use core::time::Duration;

use super::{ActionKind, Engine, Key, Mode, Out, Stamp};
use crate::action::{ActionRequest, Outcome, Refusal};
use crate::interruption::{Alert, Moment, Notice, Notification, SpotAction};

use group::Group;
use standby::Standby;

/// A spot notice this long past is one that EC2 did not keep; and a spot alert stands so long after its time.
const SPOT_STANDS: Duration = Duration::from_mins(10);
/// A spot notice comes two minutes ahead; one further away than this cannot be true.
const SPOT_AHEAD: Duration = Duration::from_hours(1);
/// A scheduled event is over this long after the beginning of its window.
const EVENT_STANDS: Duration = Duration::from_hours(1);
/// A spot notice without a time is taken for one of this long.
const UNTIMED: Duration = Duration::from_mins(2);

/// What is known of interruptions only as long as the agent runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Interrupted {
    /// Hooks that run: at most one a drain.
    running: Vec<Running>,
    /// Alerts of which it was said that their hooks would run.
    would_run: Vec<String>,
    /// When a stale notice was told of last.
    stale_told: Option<Stamp>,
    /// An earlier run left drains that go on in the first step.
    resume: bool,
    /// What the recovery asked for, handed out in the first step.
    pending: Vec<ActionRequest>,
    group: Group,
    standby: Standby,
    /// Why no action is possible in the Auto Scaling group.
    pub(super) membership: Option<Refusal>,
}

/// A hook that runs.
#[derive(Clone, Debug, PartialEq)]
struct Running {
    key: Key,
    alert: String,
    index: usize,
}

impl Engine {
    /// The first thing of every step: what an earlier run left goes on.
    pub(super) fn go_on(&mut self, now: Stamp, out: &mut Out) {
        out.actions.append(&mut self.interrupted.pending);
        if core::mem::take(&mut self.interrupted.resume) {
            for id in self.draining() {
                self.proceed(now, &id, out);
            }
        }
    }

    /// What follows from the time: hooks that never report, events that come near, alerts that have passed.
    pub(super) fn attend(&mut self, now: Stamp, out: &mut Out) {
        if self.memory.interruptions.alerts.is_empty() && !self.memory.interruptions.standby {
            return;
        }
        self.give_up_hooks(now, out);
        self.events_come_near(now, out);
        self.alerts_pass(now, out);
        self.tell_group(now, out);
        self.leave_standby(now, out);
    }

    /// Takes in how an action for an interruption ended; false when the key is not of one.
    pub(super) fn interruption_finished(
        &mut self,
        now: Stamp,
        key: Key,
        outcome: &Outcome,
        out: &mut Out,
    ) -> bool {
        self.drain_hook_finished(now, key, outcome, out)
            || self.group_answered(now, key, outcome, out)
            || self.standby_answered(now, key, outcome, out)
    }

    /// When something follows from the time alone.
    pub(super) fn interruption_wakes(&self) -> Vec<Stamp> {
        let mut wakes = Vec::new();
        for alert in &self.memory.interruptions.alerts {
            wakes.extend(self.passes_at(alert));
            wakes.extend(self.drains_at(alert));
            let runs = alert.drain.as_ref().filter(|drain| drain.ended.is_none());
            wakes.extend(runs.map(drain::gives_up_at));
        }
        wakes.extend(self.group_wakes());
        wakes.extend(self.standby_wake());
        wakes
    }

    /// The real alert for which the machine goes soon, if there is one.
    pub(super) fn interruption(&self) -> Option<&Alert> {
        self.memory.interruptions.alerts.iter().find(|alert| takes_it_away(alert))
    }

    /// Why nothing else is done, one line.
    pub(super) fn interruption_text(&self) -> Option<String> {
        let alert = self.interruption()?;
        let at =
            alert.due.map_or_else(String::new, |due| format!(" at {}", clock_text(due.wall_ms)));
        Some(match &alert.notice {
            Notice::Spot { action: SpotAction::Terminate } => {
                format!("EC2 terminates this instance{at}")
            }
            Notice::Spot { action: SpotAction::Stop } => format!("EC2 stops this instance{at}"),
            Notice::Spot { action: SpotAction::Hibernate } => {
                format!("EC2 hibernates this instance{at}")
            }
            _ => "the Auto Scaling group terminates this instance".to_owned(),
        })
    }

    /// Tells people and programs of a moment of an alert.
    fn notify(
        &mut self,
        now: Stamp,
        alert: &Alert,
        moment: Moment,
        because: String,
        out: &mut Out,
    ) {
        let deadline = alert.due.or_else(|| alert.drain.as_ref().map(drain::deadline));
        let hooks = alert.drain.as_ref().map(|drain| drain.runs.clone()).unwrap_or_default();
        let notification = Notification {
            moment,
            alert: alert.id.clone(),
            event: alert.notice.event().to_owned(),
            action: alert.notice.action().to_owned(),
            what: alert.notice.to_string(),
            deadline_wall_ms: deadline.map(|at| at.wall_ms),
            left_ms: deadline.map(|at| left_ms(now, at)),
            because,
            drill: alert.drill,
            hooks,
        };
        self.request(ActionKind::Notify(notification), out);
    }

    pub(super) fn alert(&self, id: &str) -> Option<&Alert> {
        self.memory.interruptions.alerts.iter().find(|alert| alert.id == id)
    }

    fn alert_mut(&mut self, id: &str) -> Option<&mut Alert> {
        self.memory.interruptions.alerts.iter_mut().find(|alert| alert.id == id)
    }

    /// Whether the agent acts at all.
    fn may_act_on_it(&self) -> bool {
        self.mode() == Mode::Enforce
    }

    /// Whether hooks run: in enforce mode, and in a drill, which an administrator asked for in so many words.
    fn may_run_hooks(&self, drill: bool) -> bool {
        drill || self.may_act_on_it()
    }
}

/// Whether the machine goes soon and not by us.
fn takes_it_away(alert: &Alert) -> bool {
    let goes = match &alert.notice {
        Notice::Spot { .. } => true,
        Notice::AutoScaling { target } => target.is_termination(),
        Notice::Rebalance { .. } | Notice::Maintenance { .. } => false,
    };
    goes && !alert.drill && !alert.stale
}

fn left_ms(now: Stamp, at: Stamp) -> u64 {
    at.boot_ms.saturating_sub(now.boot_ms)
}

/// The moment that is `ms` away, with what EC2 calls it.
fn moment(now: Stamp, ms: i64, wall_ms: i64) -> Stamp {
    Stamp { boot_ms: now.boot_ms.saturating_add_signed(ms), asleep_ms: now.asleep_ms, wall_ms }
}

/// `12:02:00 UTC`.
fn clock_text(wall_ms: i64) -> String {
    let secs = wall_ms.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02} UTC", secs / 3600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::clock_text;

    #[test]
    fn a_time_is_said_to_the_second_before_1970_too() {
        assert_eq!(clock_text(1_800_000_000_000), "08:00:00 UTC");
        assert_eq!(clock_text(-1), "23:59:59 UTC");
    }
}
