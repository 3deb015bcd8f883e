//! What became of an action.

use core::time::Duration;

use super::{CallState, Engine, Event, HookState, Key, Origin, Out, Phase, Power, Stamp, millis};
use crate::action::{HookOutput, InstanceState, Outcome, Refusal, Retry};
use crate::memory::{Intent, Standing};

/// A call that fails in passing is tried again at most this often in one idle period.
const MAX_ATTEMPTS: u32 = 10;
/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_mins(5);
/// "Not ready to hibernate yet" is believed for this long.
const NOT_READY_LIMIT: Duration = Duration::from_mins(10);
/// A refusal stands for this long before the call may be tried again.
const REFUSAL_STANDS: Duration = Duration::from_hours(6);
/// In doubt, EC2 is asked this often before it is believed that the call did not arrive (it is eventually consistent).
const LOOKS_IN_DOUBT: u32 = 3;
/// An accepted action is awaited for at most this many periods while EC2 says "stopping".
const LOOKS_ACCEPTED: u32 = 6;

impl Engine {
    /// An action ended.
    pub(super) fn finished(&mut self, now: Stamp, key: Key, outcome: Outcome, out: &mut Out) {
        if self.interruption_finished(now, key, &outcome, out)
            || self.tags_written(key, &outcome)
            || self.preflight_ended(now, key, &outcome)
        {
            return;
        }
        match self.phase.clone() {
            Phase::Rechecking { key: mine, asked } if mine == key => {
                self.rechecked(now, asked, out);
            }
            Phase::Draining { key: mine } if mine == key => self.hook_ended(now, outcome, out),
            Phase::Calling { key: mine, attempt, not_ready_since } if mine == key => {
                self.call_ended(now, outcome, attempt, not_ready_since, out);
            }
            Phase::Verifying { looking: Some(mine), since, accepted, looks, .. } if mine == key => {
                // The look itself failed: look again later, that proves nothing.
                let look_at = now.after(self.look_pause(looks));
                self.phase = Phase::Verifying { since, accepted, look_at, looks, looking: None };
                self.give_up_looking(now, since, accepted, looks, out);
            }
            // A warning or a call-off ended, or something that was called off meanwhile.
            _ => {}
        }
    }

    fn hook_ended(&mut self, now: Stamp, outcome: Outcome, out: &mut Out) {
        let (ok, detail) = match outcome {
            Outcome::Done { detail } | Outcome::Already { detail } => (true, detail),
            Outcome::Withheld { because } => (false, because),
            Outcome::Refused(refusal) => (false, refusal.detail),
            Outcome::Failed { error, .. } => (false, error),
        };
        let (detail, output) = HookOutput::split(&detail);
        out.events.push(Event::HookEnded { detail: detail.clone(), output, ok });
        if let Some(intent) = self.memory.intent.as_mut() {
            intent.hook = HookState::Ended;
            out.dirty = true;
        }
        if ok {
            self.settle(now);
        } else {
            // A hook that fails may have left work unsaved: it vetoes.
            self.fail(now, format!("the pre-stop hook failed: {detail}"), out);
        }
    }

    fn call_ended(
        &mut self,
        now: Stamp,
        outcome: Outcome,
        attempt: u32,
        not_ready_since: Option<Stamp>,
        out: &mut Out,
    ) {
        let Some(mut intent) = self.memory.intent.clone() else {
            self.phase = Phase::Watching;
            return;
        };
        let power = intent.power;
        match outcome {
            Outcome::Done { detail } | Outcome::Already { detail } => {
                out.events.push(Event::Accepted { power, detail: detail.clone() });
                intent.call = CallState::Accepted;
                self.memory.intent = Some(intent);
                self.conclude(now, power, "accepted", detail, out);
                self.phase = self.verifying(now, true);
            }
            Outcome::Withheld { because } => self.withheld(now, because, out),
            Outcome::Refused(refusal) => self.call_refused(now, intent, refusal, out),
            Outcome::Failed { retry: Retry::InDoubt, error } => {
                out.events.push(Event::Failed { power, error, retry_ms: None });
                self.retrying = Some((attempt, not_ready_since));
                self.phase = self.verifying(now, false);
            }
            Outcome::Failed { retry: Retry::Never, error } => {
                out.events.push(Event::Failed { power, error: error.clone(), retry_ms: None });
                self.fail(now, error, out);
            }
            Outcome::Failed { retry: Retry::NotReady { ms }, error } => {
                let since = not_ready_since.unwrap_or(now);
                if now.since(since) >= NOT_READY_LIMIT {
                    let refusal = Refusal {
                        code: "hibernation-not-ready".to_owned(),
                        detail: error,
                        hibernation_only: true,
                    };
                    self.call_refused(now, intent, refusal, out);
                } else {
                    self.wait(now, intent, ms, error, (attempt, Some(since)), out);
                }
            }
            Outcome::Failed { retry: Retry::After { ms }, error } => {
                self.wait(now, intent, ms, error, (attempt, not_ready_since), out);
            }
        }
    }

    /// The call is tried again later, unless it was tried often enough or the machine is used by then.
    fn wait(
        &mut self,
        now: Stamp,
        mut intent: Intent,
        ms: u64,
        error: String,
        (attempt, not_ready_since): (u32, Option<Stamp>),
        out: &mut Out,
    ) {
        let power = intent.power;
        if attempt >= MAX_ATTEMPTS {
            out.events.push(Event::Failed { power, error: error.clone(), retry_ms: None });
            self.fail(now, error, out);
            return;
        }
        let pause = Duration::from_millis(ms.saturating_mul(1 << attempt.min(5))).min(MAX_PAUSE);
        out.events.push(Event::Failed { power, error, retry_ms: Some(millis(pause)) });
        intent.call = CallState::NotSent;
        self.memory.intent = Some(intent);
        out.dirty = true;
        let attempt = attempt.saturating_add(1);
        self.retrying = Some((attempt, not_ready_since));
        self.phase = Phase::Waiting { until: now.after(pause), attempt, not_ready_since };
    }

    pub(super) fn call_refused(
        &mut self,
        now: Stamp,
        mut intent: Intent,
        refusal: Refusal,
        out: &mut Out,
    ) {
        let power = intent.power;
        let (code, detail) = (refusal.code.clone(), refusal.detail.clone());
        out.events.push(Event::Refused { power, code: code.clone(), detail: detail.clone() });
        let hibernation_only = refusal.hibernation_only && power == Power::Hibernate;
        self.memory.refusals.retain(|s| s.power != power);
        self.memory.refusals.push(Standing { power, refusal, until: now.after(REFUSAL_STANDS) });
        out.dirty = true;
        // An administrator who asks to keep the memory is not served by losing it.
        let may_stop = intent.origin == Origin::Idle && self.usable(Power::Stop);
        if hibernation_only && self.policy.idle.fallback_stop && may_stop {
            out.events.push(Event::FellBack { because: detail });
            intent.power = Power::Stop;
            intent.call = CallState::NotSent;
            self.memory.intent = Some(intent);
            self.recheck(now, out);
        } else {
            self.tell_people(&format!("EC2 refused: {detail}"), out);
            self.close_intent(now, "refused", format!("{code}: {detail}"), out);
        }
    }

    /// The action failed for this idle period: the next needs a whole, longer one.
    pub(super) fn fail(&mut self, now: Stamp, error: String, out: &mut Out) {
        self.memory.failures = self.memory.failures.saturating_add(1);
        self.idle_anew(now);
        self.tell_people(&error, out);
        self.close_intent(now, "failed", error, out);
    }

    /// A fresh verification.
    pub(super) fn verifying(&self, now: Stamp, accepted: bool) -> Phase {
        let pause = if accepted { self.policy.idle.verify_after } else { self.look_pause(0) };
        Phase::Verifying {
            since: now,
            accepted,
            look_at: now.after(pause),
            looks: 0,
            looking: None,
        }
    }

    /// The pause before the next look in doubt: 2 s, 10 s, 30 s, shorter where the policy is quick.
    fn look_pause(&self, looks: u32) -> Duration {
        let pause = match looks {
            0 => Duration::from_secs(2),
            1 => Duration::from_secs(10),
            _ => Duration::from_secs(30),
        };
        pause.min(self.policy.idle.verify_after / 4)
    }

    /// EC2 told the instance's state.
    pub(super) fn described(&mut self, now: Stamp, key: Key, state: InstanceState, out: &mut Out) {
        let Phase::Verifying { since, accepted, looks, looking: Some(mine), .. } = self.phase
        else {
            return;
        };
        if mine != key {
            return;
        }
        let leaving = matches!(
            state,
            InstanceState::Stopping
                | InstanceState::Stopped
                | InstanceState::ShuttingDown
                | InstanceState::Terminated
        );
        if leaving {
            self.found_leaving(now, since, accepted, looks, out);
        } else if accepted {
            self.never_stopped(now, since, out);
        } else if looks >= LOOKS_IN_DOUBT {
            let Some(intent) = self.memory.intent.clone() else { return };
            let error = "the call did not arrive: EC2 still says 'running'".to_owned();
            let tries = self.retrying.take().unwrap_or_default();
            self.wait(now, intent, 1000, error, tries, out);
        } else {
            let look_at = now.after(self.look_pause(looks));
            self.phase = Phase::Verifying { since, accepted, look_at, looks, looking: None };
        }
    }

    fn found_leaving(
        &mut self,
        now: Stamp,
        since: Stamp,
        accepted: bool,
        looks: u32,
        out: &mut Out,
    ) {
        let looks = if accepted { looks } else { 1 };
        if !accepted && let Some(intent) = self.memory.intent.as_mut() {
            intent.call = CallState::Accepted;
            let power = intent.power;
            let detail = "EC2 says that the instance is stopping".to_owned();
            out.events.push(Event::Accepted { power, detail: detail.clone() });
            self.conclude(now, power, "accepted", detail, out);
        }
        let look_at = now.after(self.policy.idle.verify_after);
        self.phase = Phase::Verifying { since, accepted: true, look_at, looks, looking: None };
        self.give_up_looking(now, since, true, looks, out);
    }

    fn give_up_looking(
        &mut self,
        now: Stamp,
        since: Stamp,
        accepted: bool,
        looks: u32,
        out: &mut Out,
    ) {
        if looks >= if accepted { LOOKS_ACCEPTED } else { 4 * LOOKS_IN_DOUBT } {
            self.never_stopped(now, since, out);
        }
    }

    fn never_stopped(&mut self, now: Stamp, since: Stamp, out: &mut Out) {
        let Some(power) = self.memory.intent.as_ref().map(|i| i.power) else { return };
        let waited_ms = millis(now.since(since));
        out.events.push(Event::NeverStopped { power, waited_ms });
        self.memory.failures = self.memory.failures.saturating_add(1);
        self.idle_anew(now);
        let detail = format!("still running {} after the call", super::words::span_ms(waited_ms));
        self.close_intent(now, "never-stopped", detail, out);
    }
}
