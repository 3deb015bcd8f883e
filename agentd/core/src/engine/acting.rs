//! The action itself: rechecking → pre-stop hook → settling → rechecking → calling, or calling it off.

use core::time::Duration;

use super::idle::Barrier;
use super::{
    ActionKind, CallState, Engine, Event, HookState, Judgement, Origin, Out, Phase, Power, Stamp,
};
use crate::memory::Intent;

/// Between an intent that was called off and the next.
const PAUSE: Duration = Duration::from_mins(1);

impl Engine {
    /// Decides to act: the intent is made and every source is read once more.
    pub(super) fn begin(&mut self, now: Stamp, origin: Origin, out: &mut Out) {
        let Some(power) = self.power() else { return };
        self.begin_with(now, power, origin, out);
    }

    /// The same with a given action.
    pub(super) fn begin_with(&mut self, now: Stamp, power: Power, origin: Origin, out: &mut Out) {
        let hook =
            if self.policy.idle.hook { HookState::NotStarted } else { HookState::NotConfigured };
        let because = match origin {
            Origin::Idle => self.because(now),
            Origin::Operator => "an administrator asked for it".to_owned(),
        };
        let call = CallState::NotSent;
        let not_counted = self.not_counted();
        let intent = Intent { power, origin, because, not_counted, since: now, hook, call };
        self.memory.intent = Some(intent);
        out.dirty = true;
        self.recheck(now, out);
    }

    /// Asks for a fresh reading of every source.
    pub(super) fn recheck(&mut self, now: Stamp, out: &mut Out) {
        let key = self.request(ActionKind::Reread, out);
        self.phase = Phase::Rechecking { key, asked: now };
    }

    /// The sources were read again: go on to the hook or to the call.
    pub(super) fn rechecked(&mut self, now: Stamp, asked: Stamp, out: &mut Out) {
        let Some(intent) = self.memory.intent.clone() else {
            self.phase = Phase::Watching;
            return;
        };
        let fresh = self.tracks.values().all(|t| {
            t.judgement() == Judgement::Absent
                || t.read_at().is_some_and(|at| at.boot_ms >= asked.boot_ms)
        });
        if let Some(barrier) = self.barrier(now, now) {
            self.call_off_for(now, barrier, out);
        } else if !fresh && intent.origin == Origin::Idle {
            self.call_off(now, "a source could not be read again".to_owned(), out);
        } else if intent.hook == HookState::NotStarted {
            self.start_hook(intent, out);
        } else if self.needs_standby() {
            self.enter_standby(now, out);
        } else {
            self.start_call(intent, out);
        }
    }

    fn start_hook(&mut self, mut intent: Intent, out: &mut Out) {
        let power = intent.power;
        intent.hook = HookState::Started;
        self.memory.intent = Some(intent);
        out.dirty = true;
        out.events.push(Event::HookStarted { power });
        let key = self.request(ActionKind::Hook { power }, out);
        self.phase = Phase::Draining { key };
    }

    fn start_call(&mut self, mut intent: Intent, out: &mut Out) {
        let power = intent.power;
        let (attempt, not_ready_since) = self.retrying.take().unwrap_or_default();
        // What was seen when it was decided: the rates of the second look are over a moment and say little.
        intent.not_counted = intent.not_counted.or_else(|| self.not_counted());
        out.events.push(Event::Asking {
            power,
            because: intent.because.clone(),
            not_counted: intent.not_counted.clone(),
        });
        intent.call = CallState::Sent;
        self.memory.intent = Some(intent);
        out.dirty = true;
        let key = self.request(ActionKind::Power { power }, out);
        self.phase = Phase::Calling { key, attempt, not_ready_since };
    }

    /// After the hook: the counters are compared anew, so that the hook's own work is not taken for somebody's.
    pub(super) fn settle(&mut self, now: Stamp) {
        for track in self.tracks.values_mut() {
            track.rebase();
        }
        self.phase = Phase::Settling { until: now.after(self.settling_time()) };
    }

    /// How long counters need for two readings after they were forgotten.
    pub(super) fn settling_time(&self) -> Duration {
        let counting = self.tracks.values().filter(|t| t.counts());
        counting.map(crate::track::Track::interval).max().unwrap_or_default().saturating_mul(3)
    }

    /// Calls a due or running action off.
    pub(super) fn call_off(&mut self, now: Stamp, because: String, out: &mut Out) {
        let power = self.memory.intent.as_ref().map(|i| i.power).or_else(|| self.power());
        let power = power.or(self.policy.idle.action).unwrap_or(Power::Stop);
        if !matches!(self.phase, Phase::WouldAct | Phase::Watching) {
            out.events.push(Event::CalledOff { power, because: because.clone() });
            self.tell_people(&because, out);
        }
        if self.memory.intent.is_some() {
            // What called it off may call off the next at once, as fast as the sources can be read.
            self.pause_until = now.after(PAUSE);
        }
        self.close_intent(now, "called-off", because, out);
        self.quiet_told = false;
    }

    /// Tells those who were warned that nothing will happen.
    pub(super) fn tell_people(&mut self, because: &str, out: &mut Out) {
        let by_operator = self.memory.intent.as_ref().is_some_and(|i| i.origin == Origin::Operator);
        if !by_operator && !self.lead().is_zero() {
            self.request(ActionKind::CallOff { because: because.to_owned() }, out);
        }
    }

    pub(super) fn call_off_for(&mut self, now: Stamp, barrier: Barrier, out: &mut Out) {
        let because = self.barrier_text(now, barrier);
        self.call_off(now, because, out);
    }

    /// The next action needs a whole period of idleness from now on, also after a restart of the agent.
    pub(super) fn idle_anew(&mut self, now: Stamp) {
        self.quiet_ms = 0;
        self.quiet_told = false;
        self.memory.idle_from = Some(now);
    }

    /// Closes the open intent with a result, and watches again. A hook that ran is not run again before the machine was
    /// idle for a whole period more.
    pub(super) fn close_intent(&mut self, now: Stamp, result: &str, detail: String, out: &mut Out) {
        if let Some(intent) = self.memory.intent.clone() {
            self.conclude(now, intent.power, result, detail, out);
            self.memory.intent = None;
            if matches!(intent.hook, HookState::Started | HookState::Ended) {
                self.idle_anew(now);
            }
        }
        self.retrying = None;
        self.phase = Phase::Watching;
    }
}
