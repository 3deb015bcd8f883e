//! The drain: hooks, one after the other, within what time is left.

use core::time::Duration;

use super::{Engine, Out, Running, Stamp, UNTIMED, clock_text, left_ms};
use crate::action::{ActionKind, Key, Outcome};
use crate::engine::millis;
use crate::interruption::{
    Alert, Drain, HookOrder, HookRun, Hurry, Moment, Notice, RunState, SpotAction,
};
use crate::reason::Event;

/// A hook is told to end (SIGTERM) so long before the deadline.
const END_BEFORE: Duration = Duration::from_secs(20);
/// And killed (SIGKILL) so long before it.
const KILL_BEFORE: Duration = Duration::from_secs(10);
/// With less time than this the deadlines are parts of what is left.
const SHORT_MS: u64 = 40_000;
/// All fast hooks together, from the notice on: the machine is being hibernated already.
const FAST_END: Duration = Duration::from_secs(2);
const FAST_KILL: Duration = Duration::from_millis(2500);
/// A deadline that has just passed, or is too near for hooks of a scheduled event, leaves them this long.
const LEAST_WINDOW: Duration = Duration::from_mins(1);
/// The hooks of a recommendation, which has no deadline.
const REBALANCE_WINDOW: Duration = Duration::from_mins(10);
/// A drain that began within this time serves another alert, too.
const JOINS: Duration = Duration::from_mins(10);
/// A hook whose end is not reported this long after it was to be killed is given up.
const NO_REPORT: Duration = Duration::from_secs(5);
/// A hook of a drill that gives way is killed after this.
const GIVES_WAY_MS: u64 = 2000;

/// When a hook of this drain is given up.
pub(super) fn gives_up_at(drain: &Drain) -> Stamp {
    drain.kill_at.after(NO_REPORT)
}

/// The deadline that a drain without one of EC2's works towards.
pub(super) fn deadline(drain: &Drain) -> Stamp {
    drain.kill_at.after(KILL_BEFORE)
}

/// "2 hooks run", "no hook is configured".
pub(super) fn hooks_text(hooks: usize) -> String {
    match hooks {
        0 => "no hook is configured".to_owned(),
        1 => "1 hook runs".to_owned(),
        _ => format!("{hooks} hooks run"),
    }
}

/// When hooks are told to end and killed, for a deadline.
fn within(now: Stamp, due: Stamp) -> (Stamp, Stamp) {
    let left = left_ms(now, due);
    if left >= SHORT_MS {
        (due.before(END_BEFORE), due.before(KILL_BEFORE))
    } else if left > 0 {
        let after = |ms| now.after(Duration::from_millis(ms));
        (after(left / 2), after(left / 4 * 3))
    } else {
        let due = now.after(LEAST_WINDOW);
        (due.before(END_BEFORE), due.before(KILL_BEFORE))
    }
}

impl Engine {
    /// The hooks for a notice, in order.
    pub(super) fn hooks_for(&self, notice: &Notice) -> &[String] {
        match notice {
            Notice::Spot { action: SpotAction::Hibernate } => &self.policy.interruption.fast_hooks,
            _ => &self.policy.interruption.hooks,
        }
    }

    /// The drains that have not ended.
    pub(super) fn draining(&self) -> Vec<String> {
        let drains = |alert: &&Alert| alert.drain.as_ref().is_some_and(|d| d.ended.is_none());
        self.memory.interruptions.alerts.iter().filter(drains).map(|a| a.id.clone()).collect()
    }

    /// Runs the hooks for an alert, or says why not; what follows, one line.
    pub(super) fn drain_or_say(&mut self, now: Stamp, id: &str, out: &mut Out) -> String {
        let Some(alert) = self.alert(id).cloned() else { return String::new() };
        let hooks = self.hooks_for(&alert.notice).to_vec();
        if hooks.is_empty() {
            return hooks_text(0);
        }
        if !self.may_run_hooks(alert.drill) {
            let count = u32::try_from(hooks.len()).unwrap_or(u32::MAX);
            let alerts = &self.memory.interruptions.alerts;
            let said = &mut self.interrupted.would_run;
            said.retain(|said| alerts.iter().any(|alert| alert.id == *said));
            said.push(id.to_owned());
            let (alert, what) = (id.to_owned(), alert.notice.to_string());
            out.events.push(Event::WouldDrain { alert, what, hooks: count });
            return format!("only observing: {} in enforce mode", hooks_text(hooks.len()));
        }
        let (end_at, kill_at) = self.window(now, &alert);
        if let Some(other) = self.joins(now, &alert, &hooks) {
            if let Some(alert) = self.alert_mut(id) {
                alert.joined = Some(other.clone());
            }
            out.dirty = true;
            self.shorten(now, &other, end_at, kill_at, out);
            return format!("its hooks are those of {other}, which ran a moment before");
        }
        self.start_drain(now, &alert, &hooks, (end_at, kill_at), out);
        format!("{} until {}", hooks_text(hooks.len()), clock_text(end_at.wall_ms))
    }

    fn start_drain(
        &mut self,
        now: Stamp,
        alert: &Alert,
        hooks: &[String],
        (end_at, kill_at): (Stamp, Stamp),
        out: &mut Out,
    ) {
        let run = |hook: &String| HookRun {
            hook: hook.clone(),
            state: RunState::Waiting,
            started: None,
            took_ms: None,
            detail: String::new(),
        };
        let runs: Vec<HookRun> = hooks.iter().map(run).collect();
        let started = Event::DrainStarted {
            alert: alert.id.clone(),
            what: alert.notice.to_string(),
            hooks: u32::try_from(runs.len()).unwrap_or(u32::MAX),
            for_ms: left_ms(now, end_at),
            drill: alert.drill,
        };
        if let Some(alert) = self.alert_mut(&alert.id) {
            alert.drain = Some(Drain { since: now, end_at, kill_at, runs, ended: None });
        }
        if matches!(alert.notice, Notice::Rebalance { .. }) {
            self.memory.interruptions.rebalance_drained_wall_ms = Some(now.wall_ms);
        }
        out.events.push(started);
        self.proceed(now, &alert.id, out);
        if !alert.drill {
            self.drills_give_way(now, out);
        }
    }

    /// When the hooks of an alert are told to end, and killed.
    fn window(&self, now: Stamp, alert: &Alert) -> (Stamp, Stamp) {
        match &alert.notice {
            Notice::Spot { action: SpotAction::Hibernate } => {
                (alert.seen.after(FAST_END), alert.seen.after(FAST_KILL))
            }
            Notice::Spot { .. } => {
                within(now, alert.due.unwrap_or_else(|| alert.seen.after(UNTIMED)))
            }
            Notice::Rebalance { .. } => within(now, alert.seen.after(REBALANCE_WINDOW)),
            Notice::Maintenance { .. } => {
                let least = now.after(LEAST_WINDOW);
                within(now, alert.due.map_or(least, |due| least.max(due)))
            }
            Notice::AutoScaling { .. } => {
                within(now, alert.seen.after(self.policy.interruption.autoscaling_drain))
            }
        }
    }

    /// The real alert whose hooks are these and run, or began a short while ago.
    fn joins(&self, now: Stamp, alert: &Alert, hooks: &[String]) -> Option<String> {
        let serves = |other: &&Alert| {
            !other.drill
                && other.id != alert.id
                && other.drain.as_ref().is_some_and(|drain| {
                    let lately = drain.ended.is_none() || now.since(drain.since) < JOINS;
                    lately && drain.runs.iter().map(|run| &run.hook).eq(hooks)
                })
        };
        let found = self.memory.interruptions.alerts.iter().filter(|_| !alert.drill).find(serves);
        found.map(|other| other.id.clone())
    }

    /// The deadline of an alert came nearer: so do the ends of its hooks, wherever they run.
    pub(super) fn hurry(&mut self, now: Stamp, id: &str, out: &mut Out) {
        let Some(alert) = self.alert(id) else { return };
        let (end_at, kill_at) = self.window(now, alert);
        let id = alert.joined.clone().unwrap_or_else(|| id.to_owned());
        self.shorten(now, &id, end_at, kill_at, out);
    }

    /// Moves the ends of a drain to earlier times, never to later ones.
    fn shorten(&mut self, now: Stamp, id: &str, end_at: Stamp, kill_at: Stamp, out: &mut Out) {
        let Some(drain) = self.alert_mut(id).and_then(|alert| alert.drain.as_mut()) else { return };
        let nearer =
            end_at.boot_ms < drain.end_at.boot_ms || kill_at.boot_ms < drain.kill_at.boot_ms;
        if drain.ended.is_some() || !nearer {
            return;
        }
        let earlier = |a: Stamp, b: Stamp| if b.boot_ms < a.boot_ms { b } else { a };
        drain.end_at = earlier(drain.end_at, end_at);
        drain.kill_at = earlier(drain.kill_at, kill_at);
        let (end_in_ms, kill_in_ms) = (left_ms(now, drain.end_at), left_ms(now, drain.kill_at));
        out.dirty = true;
        let running = self.interrupted.running.iter().find(|running| running.alert == id);
        if let Some(hook) = running.map(|running| running.key) {
            self.request(ActionKind::Hurry(Hurry { hook, end_in_ms, kill_in_ms }), out);
        }
    }

    /// Real hooks run: those of a drill end.
    fn drills_give_way(&mut self, now: Stamp, out: &mut Out) {
        for id in self.draining() {
            let Some(alert) = self.alert_mut(&id).filter(|alert| alert.drill) else { continue };
            if let Some(drain) = alert.drain.as_mut() {
                skip_rest(drain, "a real notice came");
            }
            let kill_at = now.after(Duration::from_millis(GIVES_WAY_MS));
            self.shorten(now, &id, now, kill_at, out);
            self.proceed(now, &id, out);
        }
    }

    /// Starts the next hook of a drain, or ends it.
    pub(super) fn proceed(&mut self, now: Stamp, id: &str, out: &mut Out) {
        let acts = self.may_act_on_it();
        let Some(alert) = self.alert_mut(id) else { return };
        let (deadline_known, notice, drill) = (alert.due, alert.notice.clone(), alert.drill);
        let Some(drain) = alert.drain.as_mut().filter(|drain| drain.ended.is_none()) else {
            return;
        };
        if drain.runs.iter().any(|run| run.state == RunState::Started) {
            return;
        }
        if now.boot_ms >= drain.end_at.boot_ms {
            skip_rest(drain, "no time was left");
        } else if !acts && !drill {
            skip_rest(drain, "only observing now");
        }
        out.dirty = true;
        let waiting = drain.runs.iter().position(|run| run.state == RunState::Waiting);
        let Some(index) = waiting else {
            self.end_drain(now, id, out);
            return;
        };
        let Some(run) = drain.runs.get_mut(index) else { return };
        run.state = RunState::Started;
        run.started = Some(now);
        let hook = run.hook.clone();
        let due = deadline_known.unwrap_or_else(|| deadline(drain));
        let order = HookOrder {
            alert: id.to_owned(),
            hook,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            event: notice.event().to_owned(),
            action: notice.action().to_owned(),
            deadline_wall_ms: due.wall_ms,
            left_ms: left_ms(now, due),
            end_in_ms: left_ms(now, drain.end_at),
            kill_in_ms: left_ms(now, drain.kill_at),
            drill,
            undo: false,
        };
        let key = self.request(ActionKind::Drain(order), out);
        self.interrupted.running.push(Running { key, alert: id.to_owned(), index });
    }

    fn end_drain(&mut self, now: Stamp, id: &str, out: &mut Out) {
        let Some(alert) = self.alert_mut(id) else { return };
        let Some(drain) = alert.drain.as_mut() else { return };
        drain.ended = Some(now);
        let took_ms = millis(now.since(drain.since));
        let ok = drain.runs.iter().all(|run| run.state == RunState::Done);
        let because = runs_text(&drain.runs);
        let alert = alert.clone();
        out.events.push(Event::DrainEnded {
            alert: alert.id.clone(),
            what: alert.notice.to_string(),
            took_ms,
            ok,
            drill: alert.drill,
        });
        self.notify(now, &alert, Moment::Drained, because, out);
    }

    /// Takes in how a hook ended; false when the key is not of one that runs.
    pub(super) fn drain_hook_finished(
        &mut self,
        now: Stamp,
        key: Key,
        outcome: &Outcome,
        out: &mut Out,
    ) -> bool {
        let place = self.interrupted.running.iter().position(|running| running.key == key);
        let Some(place) = place else { return false };
        let running = self.interrupted.running.remove(place);
        let (state, detail) = match outcome {
            Outcome::Done { detail } | Outcome::Already { detail } => (RunState::Done, detail),
            Outcome::Withheld { because } => (RunState::Failed, because),
            Outcome::Refused(refusal) => (RunState::Failed, &refusal.detail),
            Outcome::Failed { error, .. } => (RunState::Failed, error),
        };
        self.hook_is(now, &running.alert, running.index, state, detail, out);
        self.proceed(now, &running.alert, out);
        true
    }

    /// Notes the end of a hook.
    fn hook_is(
        &mut self,
        now: Stamp,
        id: &str,
        index: usize,
        state: RunState,
        detail: &str,
        out: &mut Out,
    ) {
        let Some(alert) = self.alert_mut(id) else { return };
        let drill = alert.drill;
        let run = alert.drain.as_mut().and_then(|drain| drain.runs.get_mut(index));
        let Some(run) = run else { return };
        run.state = state;
        run.took_ms =
            run.started.filter(|_| state != RunState::Lost).map(|at| millis(now.since(at)));
        detail.clone_into(&mut run.detail);
        out.events.push(Event::DrainHookEnded { alert: id.to_owned(), run: run.clone(), drill });
        out.dirty = true;
    }

    /// Hooks whose end was never reported.
    pub(super) fn give_up_hooks(&mut self, now: Stamp, out: &mut Out) {
        for id in self.draining() {
            let drain = self.alert(&id).and_then(|alert| alert.drain.as_ref());
            if drain.is_none_or(|drain| now.boot_ms < gives_up_at(drain).boot_ms) {
                continue;
            }
            let runs = drain.map(|drain| drain.runs.iter().enumerate()).into_iter().flatten();
            let lost = runs.filter(|(_, run)| run.state == RunState::Started);
            let lost: Vec<usize> = lost.map(|(index, _)| index).collect();
            self.interrupted.running.retain(|running| running.alert != id);
            for index in lost {
                self.hook_is(now, &id, index, RunState::Failed, "did not report", out);
            }
            self.proceed(now, &id, out);
        }
    }

    /// The agent was restarted: a hook that was started then may have run, and is not started again. The others follow
    /// in the first step.
    pub(super) fn recover_drains(&mut self, now: Stamp, out: &mut Out) {
        for id in self.draining() {
            let drain = self.alert(&id).and_then(|alert| alert.drain.as_ref());
            let runs = drain.map(|drain| drain.runs.iter().enumerate()).into_iter().flatten();
            let started = runs.filter(|(_, run)| run.state == RunState::Started);
            let started: Vec<usize> = started.map(|(index, _)| index).collect();
            for index in started {
                let detail = "the agent was restarted meanwhile; it is not started again";
                self.hook_is(now, &id, index, RunState::Lost, detail, out);
            }
            self.interrupted.resume = true;
        }
    }
}

/// What waits is not run.
pub(super) fn skip_rest(drain: &mut Drain, why: &str) {
    for run in drain.runs.iter_mut().filter(|run| run.state == RunState::Waiting) {
        run.state = RunState::Skipped;
        why.clone_into(&mut run.detail);
    }
}

/// "'/opt/save' done in 1.2 s, 'stop web' failed in 0.1 s".
pub(super) fn runs_text(runs: &[HookRun]) -> String {
    let one = |run: &HookRun| match run.took_ms {
        Some(ms) => {
            format!("'{}' {} in {}.{} s", run.hook, run.state.as_str(), ms / 1000, ms / 100 % 10)
        }
        None => format!("'{}' {}", run.hook, run.state.as_str()),
    };
    runs.iter().map(one).collect::<Vec<_>>().join(", ")
}
